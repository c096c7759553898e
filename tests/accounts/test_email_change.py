"""Moving an account to another address: the new one confirms, the old one is told and may take it back."""

import asyncio
from datetime import timedelta

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth import User
from piccolo_fastapi_auth.testing import FrozenClock
from tests.accounts.helpers import NEW_ADDRESS, Post
from tests.fixtures import PASSWORD, Browsers, People, Person, code_of, log_in


async def ask(client: AsyncClient, email: str) -> None:
    """Ask to move."""
    answer = await client.post("/auth/email/change", json={"email": email})
    assert answer.status_code == 202, answer.text


async def address(client: AsyncClient) -> str:
    """The address that the account has now."""
    return str((await client.get("/auth/me")).json()["email"])


async def confirm(client: AsyncClient, post: Post, email: str) -> int:
    """Open the link that went to the new address."""
    body = {"token": await post.token(email, "change_email")}
    return (await client.post("/auth/email/verify", json=body)).status_code


async def test_nothing_moves_before_the_new_address_confirms(
    client: AsyncClient, new_browser: Browsers, alice: Person, post: Post
) -> None:
    """EML-4: then it is proven, log-in goes by it, and the old one gets a link that takes it back."""
    await log_in(client, alice)
    await ask(client, "Alice@New.Example.com")
    assert await address(client) == alice.email
    assert await post.to(alice.email) == []

    assert await confirm(new_browser(), post, NEW_ADDRESS) == 204

    shown = (await client.get("/auth/me")).json()
    assert (shown["email"], shown["email_verified"]) == (NEW_ADDRESS, True)
    by_new = {"username": NEW_ADDRESS, "password": alice.password}
    assert (await new_browser().post("/auth/login", json=by_new)).status_code == 200
    by_old = {"username": alice.email, "password": alice.password}
    assert (await new_browser().post("/auth/login", json=by_old)).status_code == 401
    assert await post.subjects(alice.email) == ["Your e-mail address was changed"]

    undo = {"token": await post.token(alice.email, "undo_email_change")}
    assert (await new_browser().post("/auth/email/change/undo", json=undo)).status_code == 204
    assert (await client.get("/user")).status_code == 401
    assert await User.exists().where(User.email == alice.email)


async def test_there_and_back_again(client: AsyncClient, new_browser: Browsers, post: Post) -> None:
    """EML-4: an address that is one's own username too is not somebody else's."""
    email = "alice@example.com"
    body = {"username": email, "email": email, "password": PASSWORD}
    assert (await client.post("/auth/register", json=body)).status_code == 201
    await client.post("/auth/login", json={"username": email, "password": PASSWORD})
    for one in (NEW_ADDRESS, email):
        await ask(client, one)
        assert await confirm(new_browser(), post, one) == 204
        assert await address(client) == one


async def test_the_change_needs_a_fresh_log_in(
    client: AsyncClient, alice: Person, post: Post, clock: FrozenClock
) -> None:
    """EML-4: a session that lies about is not enough, none even less."""
    assert (await client.post("/auth/email/change", json={"email": NEW_ADDRESS})).status_code == 401
    await log_in(client, alice)
    clock.move(timedelta(minutes=11))

    answer = await client.post("/auth/email/change", json={"email": NEW_ADDRESS})

    assert (answer.status_code, code_of(answer)) == (401, "reauthentication_required")
    assert await post.to(NEW_ADDRESS) == []


async def test_a_taken_address_answers_alike(
    client: AsyncClient, sign_up: People, post: Post
) -> None:
    """ENU-5: the same bytes; its owner is not bothered; taken in the meantime it is refused, and nothing is half done."""
    alice, bob = await sign_up("alice"), await sign_up("bob")
    await log_in(client, alice)
    free = await client.post("/auth/email/change", json={"email": NEW_ADDRESS})
    link = await post.token(NEW_ADDRESS, "change_email")
    taken = await client.post("/auth/email/change", json={"email": bob.email})

    assert (free.status_code, free.content) == (taken.status_code, taken.content)
    assert await post.to(bob.email) == []
    await User.update({User.email: NEW_ADDRESS}).where(User.id == bob.id)
    for _ in range(2):
        late = await client.post("/auth/email/verify", json={"token": link})
        assert (late.status_code, code_of(late)) == (409, "user_exists")
    assert await address(client) == alice.email


async def test_two_changes_at_once_confirm_their_own_address_only(
    client: AsyncClient, alice: Person, post: Post
) -> None:
    """EML-5: the last request is good, and it leads to the address that its mail went to."""
    await log_in(client, alice)
    both = ["a@new.example.com", "v@new.example.com"]
    for _ in range(5):
        await asyncio.gather(*(ask(client, email) for email in both))
        answers = {email: await confirm(client, post, email) for email in both}

        good = [email for email, status in answers.items() if status == 204]
        assert sorted(answers.values()) == [204, 400]
        assert await address(client) == good[0]
        await User.update({User.email: alice.email}).where(User.id == alice.id)


async def test_of_two_people_who_want_one_address_one_gets_it(
    client: AsyncClient, new_browser: Browsers, sign_up: People, post: Post
) -> None:
    """EML-6: one 204 and one 409, however close."""
    for number in range(5):
        new = f"new{number}@example.com"
        tokens = []
        for name in (f"a{number}", f"b{number}"):
            browser = new_browser()
            await log_in(browser, await sign_up(name))
            await ask(browser, new)
            tokens.append(await post.token(new, "change_email"))

        answers = await asyncio.gather(
            *(client.post("/auth/email/verify", json={"token": token}) for token in tokens)
        )

        assert sorted(answer.status_code for answer in answers) == [204, 409]


@pytest.mark.parametrize("settings_changes", [{"mail_limit_per_address": "3/hour"}], ids=["three"])
async def test_a_signed_in_person_cannot_flood_an_address(
    client: AsyncClient, alice: Person, post: Post
) -> None:
    """LCK-4: counted like the mails that strangers cause."""
    await log_in(client, alice)
    await asyncio.gather(*(ask(client, "victim@example.com") for _ in range(20)))

    assert len(await post.to("victim@example.com")) == 3

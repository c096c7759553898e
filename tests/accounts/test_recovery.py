"""A forgotten password: asked for by anybody, answered alike, and chosen anew by whoever has the mailbox."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from piccolo_fastapi_auth.users.tables import AuthAccount
from tests.accounts.helpers import NEW_PASSWORD, Post
from tests.api_keys.helpers import by_header, make_key
from tests.fixtures import (
    ORIGIN,
    PASSWORD,
    Browsers,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    refresh,
)
from tests.mfa.helpers import challenge, credentials_in, enrol, verify

PATHS = ("/auth/password/forgot", "/auth/email/verify/request", "/auth/magic-link")


async def forgot(client: AsyncClient, email: str) -> None:
    """Ask for a link."""
    answer = await client.post("/auth/password/forgot", json={"email": email})
    assert answer.status_code == 202, answer.text


async def reset_token(client: AsyncClient, person: Person, post: Post) -> str:
    """Ask for a link and read it."""
    await forgot(client, person.email)
    return await post.token(person.email, "reset_password")


async def test_a_reset_ends_everything_and_logs_nobody_in(
    client: AsyncClient, new_browser: Browsers, alice: Person, post: Post
) -> None:
    """RST-4, RST-6: cookies, families and links; a mail says so, and holds nothing."""
    await log_in(client, alice)
    await client.post("/auth/email/verify/request", json={"email": alice.email})
    proof = {"token": await post.token(alice.email, "verify_email")}
    assert (await client.post("/auth/email/verify", json=proof)).status_code == 204
    other, stranger = new_browser(), new_browser()
    tokens = await get_tokens(other, alice)
    await log_in(other, alice)
    key = by_header((await make_key(other))["key"])
    token = await reset_token(stranger, alice, post)

    answer = await stranger.post(
        "/auth/password/reset", json={"token": token, "password": NEW_PASSWORD}
    )

    assert (answer.status_code, answer.content, credentials_in(answer)) == (204, b"", [])
    assert await AuthSession.count() == 0
    for browser in (client, other):
        assert (await browser.get("/user")).status_code == 401
    for headers in (bearer(tokens), key):
        assert (await new_browser().get("/user", headers=headers)).status_code == 401
    assert (await refresh(stranger, tokens["refresh_token"])).status_code == 401
    old = {"username": alice.username, "password": PASSWORD}
    assert (await stranger.post("/auth/login", json=old)).status_code == 401
    assert (
        await stranger.post("/auth/login", json={**old, "password": NEW_PASSWORD})
    ).status_code == 200
    mails = await post.to(alice.email)
    assert mails[-1]["Subject"] == "Your password was changed"
    assert token not in str(mails[-1])
    assert NEW_PASSWORD not in str(mails[-1])


async def test_a_reset_keeps_second_factors_and_ends_open_challenges(
    client: AsyncClient, new_browser: Browsers, alice: Person, post: Post, clock: FrozenClock
) -> None:
    """RST-4, RST-5, ASVS 6.4.3: the mailbox alone never gets past the second factor of a proven account."""
    await log_in(client, alice)
    await client.post("/auth/email/verify/request", json={"email": alice.email})
    proof = {"token": await post.token(alice.email, "verify_email")}
    assert (await client.post("/auth/email/verify", json=proof)).status_code == 204
    phone = await enrol(client, clock)
    stranger = new_browser()
    begun = await challenge(stranger)
    token = await reset_token(stranger, alice, post)

    body = {"token": token, "password": NEW_PASSWORD}
    assert (await stranger.post("/auth/password/reset", json=body)).status_code == 204

    assert code_of(await verify(stranger, begun, phone.code())) == "mfa_token_expired"
    login = {"username": alice.username, "password": NEW_PASSWORD}
    asked = await stranger.post("/auth/login", json=login)
    assert (asked.status_code, code_of(asked)) == (401, "mfa_required")
    finished = await verify(stranger, asked.json()["detail"]["mfa_token"], phone.code())
    assert finished.status_code == 200


async def test_a_weak_password_does_not_use_the_link_up(
    client: AsyncClient, alice: Person, post: Post
) -> None:
    """RST-3, PWD-3: refused with its reason; the account stays as it was, and the link is good for another try."""
    token = await reset_token(client, alice, post)
    before = await User.select(User.password).first()

    for weak in ("short", "password1234567", alice.email):
        body = {"token": token, "password": weak}
        answer = await client.post("/auth/password/reset", json=body)
        assert (answer.status_code, code_of(answer)) == (422, "password_rejected")
    assert await User.select(User.password).first() == before

    body = {"token": token, "password": NEW_PASSWORD}
    assert (await client.post("/auth/password/reset", json=body)).status_code == 204


async def test_asking_changes_nothing(
    client: AsyncClient, new_browser: Browsers, alice: Person, post: Post
) -> None:
    """RST-3: no lock, no end of a session, however often somebody else asks."""
    await log_in(client, alice)
    stranger = new_browser()
    for _ in range(20):
        await forgot(stranger, alice.email)
    await post.to(alice.email)

    assert (await client.get("/user")).status_code == 200
    await log_in(stranger, alice)


@pytest.mark.parametrize("path", PATHS)
async def test_known_and_unknown_addresses_get_the_same_answer(
    client: AsyncClient, new_browser: Browsers, alice: Person, post: Post, path: str
) -> None:
    """ENU-2, ENU-4: bytes and headers; unknown and inactive ones get no mail."""
    inactive = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
    assert (await client.post("/auth/register", json=inactive)).status_code == 201
    await User.update({User.active: False}).where(User.username == "bob")

    answers = [
        await new_browser().post(path, json={"email": email})
        for email in (alice.email, "nobody@example.com", "bob@example.com", "ALICE@example.com")
    ]

    assert len({(one.status_code, one.content, str(one.headers)) for one in answers}) == 1
    await post.auth.outbox.drain()
    assert {mail["To"] for mail in post.mailer.messages} == {alice.email}


@pytest.mark.parametrize("settings_changes", [{"mail_limit_per_address": "5/hour"}], ids=["five"])
async def test_fifty_requests_at_once_are_five_mails(
    client: AsyncClient, alice: Person, post: Post, clock: FrozenClock
) -> None:
    """LCK-4: nobody is told, nobody is locked; an hour later there are mails again, and the last link is good."""
    await asyncio.gather(*(forgot(client, alice.email) for _ in range(25)))
    await asyncio.gather(*(forgot(client, "Alice@Example.com") for _ in range(25)))

    assert len(await post.to(alice.email)) == 5
    token = await post.token(alice.email, "reset_password")
    await log_in(client, alice)
    body = {"token": token, "password": NEW_PASSWORD}
    assert (await client.post("/auth/password/reset", json=body)).status_code == 204
    clock.move(timedelta(hours=2))
    await forgot(client, alice.email)
    assert len(await post.to(alice.email)) == 7  # one says that the password was changed


@pytest.mark.parametrize("settings_changes", [{"login_limit_per_ip": "20/minute"}], ids=["ip"])
@pytest.mark.parametrize("path", PATHS)
async def test_one_client_causes_twenty_mails_a_minute(
    app: FastAPI, auth: Auth[User], post: Post, path: str
) -> None:
    """LCK-4: over many addresses, from one /64; another client is not counted with it."""
    for number in range(30):
        await auth.users.create(
            username=f"p{number}", email=f"p{number}@example.com", password_hash="!"
        )

    def at(address: str) -> AsyncClient:
        return AsyncClient(transport=ASGITransport(app, client=(address, 5000)), base_url=ORIGIN)

    answers = await asyncio.gather(
        *(at(f"2001:db8::{n:x}").post(path, json={"email": f"p{n}@example.com"}) for n in range(30))
    )

    assert {answer.status_code for answer in answers} == {202}
    await auth.outbox.drain()
    assert len(post.mailer.messages) == 20
    assert (await at("192.0.2.1").post(path, json={"email": "p1@example.com"})).status_code == 202
    await auth.outbox.drain()
    assert len(post.mailer.messages) == 21


@pytest.mark.parametrize(
    "settings_changes",
    [{"rate_limit_storage": "redis://127.0.0.1:1", "login_limit_per_ip": "20/minute"}],
    ids=["down"],
)
async def test_counters_that_cannot_be_reached_mean_503(client: AsyncClient, post: Post) -> None:
    """FLT-3: not an unlimited pass."""
    answer = await client.post("/auth/password/forgot", json={"email": "alice@example.com"})

    assert answer.status_code == 503
    assert await post.to("alice@example.com") == []


@pytest.mark.parametrize(
    "email", ["", "x", "a@b@example.com", "a@example.com\r\nBcc: b@example.com", "a＠example.com", "x" * 300, None, ["a@example.com"], 1],
)  # fmt: skip
async def test_what_is_no_address_is_refused(client: AsyncClient, post: Post, email: Any) -> None:
    """EML-6: 422, and no mail."""
    for path in PATHS:
        assert (await client.post(path, json={"email": email})).status_code == 422
    await post.auth.outbox.drain()
    assert post.mailer.messages == []


async def test_an_account_that_is_switched_off_meanwhile_is_not_reset(
    client: AsyncClient, alice: Person, post: Post
) -> None:
    """RST-1: the link says no more than any bad one."""
    token = await reset_token(client, alice, post)
    await User.update({User.active: False}).where(User.id == alice.id)

    answer = await client.post(
        "/auth/password/reset", json={"token": token, "password": NEW_PASSWORD}
    )

    assert (answer.status_code, code_of(answer)) == (400, "invalid_link")


async def test_an_account_without_a_password_gets_one(
    client: AsyncClient, alice: Person, post: Post
) -> None:
    """ENU-1: without one it answers like any other, and the link gives it one."""
    await User.update({User.password: "!"}).where(User.id == alice.id)
    body = {"username": alice.username, "password": "!"}
    assert code_of(await client.post("/auth/login", json=body)) == "invalid_credentials"
    token = await reset_token(client, alice, post)

    reset = {"token": token, "password": NEW_PASSWORD}
    assert (await client.post("/auth/password/reset", json=reset)).status_code == 204

    body["password"] = NEW_PASSWORD
    assert (await client.post("/auth/login", json=body)).status_code == 200
    assert await AuthAccount.exists().where(AuthAccount.verified_email == alice.email)
    assert await AuthOneTimeToken.count() == 0

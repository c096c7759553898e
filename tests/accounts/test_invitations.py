"""Invitations: who may send them, and what they are good for."""

from typing import Any

import pytest
from httpx import AsyncClient, Response
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.mail import MemoryMailer
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.accounts.helpers import GUEST, Post
from tests.fixtures import PASSWORD, Browsers, People, bearer, code_of, get_tokens, log_in

closed = pytest.mark.parametrize(
    "settings_changes",
    [{"registration": False}, {"registration": False, "email_verification": "required"}],
    ids=["closed", "closed-required"],
)


@pytest.fixture
def auth(
    database: Engine[Any], settings: AuthSettings, clock: FrozenClock, mailer: MemoryMailer
) -> Auth[User]:
    """``admin`` in the database is the scope ``auth:admin``."""
    del database
    return Auth(
        settings,
        user_table=User,
        clock=clock,
        hasher=fast_hasher(),
        mailer=mailer,
        scopes={"auth:admin": "Administer people", "posts:read": "Read posts"},
        scopes_of=lambda user: ["auth:admin", "posts:read"] if user.admin else ["posts:read"],
    )


@pytest.fixture
async def sign_up(auth: Auth[User]) -> People:
    """People with a proven address, also where nobody may sign up."""
    from tests.fixtures import Person  # noqa: PLC0415 - beside its only use

    async def make(username: str) -> Person:
        email = f"{username}@example.com"
        password_hash = await auth.users.hash(PASSWORD)
        key: Any = await auth.users.create(
            username=username, email=email, password_hash=password_hash
        )
        from piccolo_fastapi_auth.users.tables import AuthAccount  # noqa: PLC0415 - as above

        await AuthAccount.update({AuthAccount.verified_email: email}, force=True)
        return Person(key, username, email)

    return make


async def invite(client: AsyncClient, email: str = GUEST, **options: Any) -> Response:
    """Send an invitation."""
    return await client.post("/auth/invitations", json={"email": email}, **options)


async def accept(client: AsyncClient, token: object, **changes: Any) -> Response:
    """Sign up with it."""
    body = {"username": "guest", "email": GUEST, "password": PASSWORD, "invitation": token}
    return await client.post("/auth/register", json={**body, **changes})


@closed
async def test_only_who_is_invited_may_sign_up(
    client: AsyncClient, new_browser: Browsers, sign_up: People, post: Post
) -> None:
    """The invitation proves the address: the guest logs in at once."""
    boss, guest = await sign_up("boss"), new_browser()
    await User.update({User.superuser: True}).where(User.id == boss.id)
    await log_in(client, boss)
    assert (await accept(guest, None)).status_code == 404
    assert (await invite(client, "Guest@Example.com")).status_code == 202
    token = await post.token(GUEST, "invitation")

    other_address = await accept(guest, token, email="other@example.com")
    weak = await accept(guest, token, password="short")
    taken = await accept(guest, token, username="boss")
    assert [code_of(one) for one in (other_address, weak, taken)] == [
        "invalid_link",
        "password_rejected",
        "user_exists",
    ]
    answer = await accept(guest, token)

    assert answer.status_code == 201, answer.text
    assert (answer.json()["user"]["email"], answer.json()["user"]["email_verified"]) == (
        GUEST,
        True,
    )
    login = {"username": GUEST, "password": PASSWORD}
    shown = await guest.post("/auth/login", json=login)
    assert shown.json()["user"] == answer.json()["user"] | {"scopes": ["posts:read"]}
    assert (await invite(client)).status_code == 409


async def test_who_may_invite(
    client: AsyncClient, new_browser: Browsers, sign_up: People, post: Post
) -> None:
    """AUZ-1: superusers and the scope ``auth:admin``, within what the token was given."""
    boss, admin, alice = [await sign_up(name) for name in ("boss", "admin", "alice")]
    await User.update({User.superuser: True}).where(User.id == boss.id)
    await User.update({User.admin: True}).where(User.id == admin.id)
    device = new_browser()

    answers = {
        "nobody": await invite(device),
        "alice": await invite(device, headers=bearer(await get_tokens(device, alice))),
        "narrow admin": await invite(
            device, headers=bearer(await get_tokens(device, admin, "posts:read"))
        ),
        "narrow boss": await invite(
            device, headers=bearer(await get_tokens(device, boss, "posts:read"))
        ),
        "admin": await invite(
            device, headers=bearer(await get_tokens(device, admin, "auth:admin"))
        ),
        "boss": await invite(device, headers=bearer(await get_tokens(device, boss))),
    }

    refused = {name for name, answer in answers.items() if answer.status_code == 403}
    assert answers["nobody"].status_code == 401
    assert refused == {"alice", "narrow admin", "narrow boss"}
    assert {code_of(answers[name]) for name in refused} == {"insufficient_scope"}
    assert len(await post.to(GUEST)) == 2
    await log_in(client, admin)
    assert (await invite(client)).status_code == 202


async def test_an_invitation_ends_with_its_inviter_and_with_the_next_one(
    client: AsyncClient, new_browser: Browsers, sign_up: People, post: Post
) -> None:
    """EML-1: whoever sent the next one; invitations to others stay."""
    boss, other = await sign_up("boss"), await sign_up("other")
    await User.update({User.superuser: True}, force=True)
    second, guest = new_browser(), new_browser()
    await log_in(client, boss)
    await log_in(second, other)
    await invite(client)
    first = await post.token(GUEST, "invitation")
    await invite(second, "someone@example.com")
    await invite(second)
    newest = await post.token(GUEST, "invitation")

    assert (await accept(guest, first)).status_code == 400
    await User.update({User.active: False}).where(User.id == other.id)
    assert (await accept(guest, newest)).status_code == 400
    await User.update({User.active: True}).where(User.id == other.id)
    assert (await accept(guest, newest)).status_code == 201
    someone = await post.token("someone@example.com", "invitation")
    await User.delete().where(User.id == other.id)
    changes = {"username": "someone", "email": "someone@example.com"}
    assert (await accept(guest, someone, **changes)).status_code == 400

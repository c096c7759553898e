"""Proving an address: what is answered before, and what a stranger who signed up with it loses."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from httpx import AsyncClient, Response

from piccolo_fastapi_auth import User
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.accounts.helpers import KINDS, NEW_PASSWORD, Post
from tests.fixtures import (
    PASSWORD,
    Browsers,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    refresh,
)
from tests.mfa.helpers import enrol

required = pytest.mark.parametrize(
    "settings_changes", [{"email_verification": "required"}], ids=["required"]
)


async def register(client: AsyncClient, name: str, email: str = "", **more: Any) -> Response:
    """Sign up."""
    body = {"username": name, "email": email or f"{name}@example.com", "password": PASSWORD}
    return await client.post("/auth/register", json={**body, **more})


async def login(client: AsyncClient, name: str = "alice", password: str = PASSWORD) -> Response:
    """Try to log in."""
    return await client.post("/auth/login", json={"username": name, "password": password})


async def confirm(client: AsyncClient, post: Post, email: str, **more: Any) -> Response:
    """Open the newest link that proves an address."""
    token = await post.token(email, "verify_email")
    return await client.post("/auth/email/verify", json={"token": token, **more})


@required
async def test_an_address_is_proven_before_the_first_log_in(
    client: AsyncClient, new_browser: Browsers, post: Post
) -> None:
    """DESIGN.md 10: 403 for the right password only, at both doors; then the link, then the log-in."""
    assert (await register(client, "alice")).status_code == 202
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    right, wrong = await login(client), await login(client, password="wrong")
    at_token = await client.post("/auth/token", data=form)
    unknown = await login(client, "nobody")

    assert (right.status_code, code_of(right)) == (403, "email_not_verified")
    assert (wrong.status_code, wrong.content) == (unknown.status_code, unknown.content)
    assert wrong.status_code == 401
    assert (at_token.status_code, at_token.json()["error"]) == (403, "email_not_verified")
    assert set(at_token.json()) == {"error", "error_description"}
    assert await AuthSession.count() == 0

    assert (await confirm(client, post, "alice@example.com")).status_code == 204
    answer = await login(new_browser())
    assert (answer.status_code, answer.json()["user"]["email_verified"]) == (200, True)
    assert (await client.post("/auth/token", data=form)).status_code == 200


@required
async def test_a_sign_up_answers_alike_whatever_is_taken(
    client: AsyncClient, new_browser: Browsers, post: Post
) -> None:
    """ENU-2: bytes, headers and the shape of the cookie; the database is unchanged; a mail says what to do."""
    first = await register(client, "alice")
    await confirm(client, post, "alice@example.com")
    await register(client, "carol")
    await post.to("carol@example.com")
    before = await User.select().order_by(User.id)

    answers = [
        await register(new_browser(), "bob", "ALICE@example.com"),
        await register(new_browser(), "alice"),
        await register(new_browser(), "carol", "dave@example.com"),
        await register(new_browser(), "erin", "carol@example.com"),
    ]

    assert await User.select().order_by(User.id) == before
    cookie = first.headers["set-cookie"].partition("=")[2]
    for answer in answers:
        assert (answer.status_code, answer.content) == (202, first.content)
        assert list(answer.headers) == list(first.headers)
        assert len(answer.headers["set-cookie"].partition("=")[2]) == len(cookie)
    taken = "You already have an account"
    assert (await post.subjects("alice@example.com")).count(taken) == 2
    assert await post.subjects("dave@example.com") == ["Choose another username"]
    assert await post.subjects("carol@example.com") == ["Confirm your e-mail address"] * 2


@required
async def test_a_weak_password_is_refused_for_known_and_unknown_alike(
    client: AsyncClient, new_browser: Browsers
) -> None:
    """ENU-2: 422 says something of the password and nothing of the address."""
    await register(client, "alice")

    known, unknown = [
        await register(new_browser(), name, password="short") for name in ("alice", "bobby")
    ]

    assert (known.status_code, known.content) == (422, unknown.content)


@required
async def test_twenty_sign_ups_at_once_make_one_account(client: AsyncClient, post: Post) -> None:
    """ENU-2: each is answered alike, and there is one person."""
    answers = await asyncio.gather(*(register(client, "alice") for _ in range(20)))

    assert {answer.status_code for answer in answers} == {202}
    assert await User.count() == 1
    await post.auth.outbox.drain()


@required
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-browser", "other-browser"])
async def test_whoever_signed_up_keeps_the_password(
    client: AsyncClient, new_browser: Browsers, post: Post, *, elsewhere: bool
) -> None:
    """EML-3: known again by the browser, or by the password typed beside the link; a wrong one uses nothing up."""
    await register(client, "alice")
    await register(client, "alice")  # impatient: the browser still remembers the first time
    browser, more = (new_browser(), {"password": PASSWORD}) if elsewhere else (client, {})
    if elsewhere:
        wrong = await confirm(browser, post, "alice@example.com", password="wrong")
        assert (wrong.status_code, code_of(wrong)) == (401, "invalid_credentials")

    assert (await confirm(browser, post, "alice@example.com", **more)).status_code == 204

    assert (await login(new_browser())).status_code == 200


@required
async def test_a_stranger_s_password_goes_when_the_owner_opens_the_link(
    client: AsyncClient, new_browser: Browsers, post: Post
) -> None:
    """EML-3: also when the owner had tried to sign up later, and so has a cookie of a sign-up of their own."""
    thief, owner = client, new_browser()
    await register(thief, "thief", "alice@example.com")
    await register(owner, "alice", "alice@example.com", password=NEW_PASSWORD)

    assert (await confirm(owner, post, "alice@example.com")).status_code == 204

    assert (await login(thief, "thief")).status_code == 401
    assert (await login(thief, "alice@example.com")).status_code == 401


@dataclass(frozen=True)
class Squat:
    """What a stranger made of an account with somebody else's address."""

    browser: AsyncClient
    person: Person
    tokens: dict[str, str]


@pytest.fixture
async def squat(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> Squat:
    """A cookie, a family, an authenticator app and recovery codes."""
    await log_in(client, alice)
    device = new_browser()
    tokens = await get_tokens(device, alice)
    await enrol(client, clock)  # ends the other sessions
    code_session = await client.get("/user")
    assert code_session.status_code == 200
    return Squat(client, alice, tokens)


@pytest.mark.parametrize("way", ["verify", "reset", "magic"])
async def test_who_proves_an_unproven_address_finds_nothing_of_a_stranger(
    new_browser: Browsers, squat: Squat, post: Post, way: str
) -> None:
    """EML-3, GHSA-qq9h-g4jm-xgf3: password, cookie, refresh token, second factor, links: all are gone."""
    kind, owner, email = KINDS[way], new_browser(), squat.person.email
    path = {
        "verify": "/auth/email/verify/request",
        "reset": "/auth/password/forgot",
        "magic": "/auth/magic-link",
    }
    await squat.browser.post("/auth/email/change", json={"email": "thief@example.com"})
    change = await post.token("thief@example.com", "change_email")
    await owner.post(path[way], json={"email": email})
    use = {
        "verify": ("/auth/email/verify", {}),
        "reset": ("/auth/password/reset", {"password": NEW_PASSWORD}),
        "magic": ("/auth/magic-link/login", {}),
    }[way]
    token = await post.token(email, kind.purpose)

    answer = await owner.post(use[0], json={"token": token, **use[1]})

    assert answer.status_code == kind.good, answer.text
    thief = new_browser()
    assert (await login(thief)).status_code == 401
    assert (await squat.browser.get("/user")).status_code == 401
    assert (await thief.get("/user", headers=bearer(squat.tokens))).status_code == 401
    assert (await refresh(thief, squat.tokens["refresh_token"])).status_code == 401
    assert (await thief.post("/auth/email/verify", json={"token": change})).status_code == 400
    assert await AuthMfaMethod.count() == await AuthRecoveryCode.count() == 0
    assert await AuthSession.count() == (1 if way == "magic" else 0)
    if way == "reset":
        assert (await login(owner, password=NEW_PASSWORD)).status_code == 200
    if way == "magic":
        assert (await owner.get("/auth/me")).json()["email_verified"] is True


async def test_one_s_own_session_keeps_what_is_one_s_own(
    client: AsyncClient, new_browser: Browsers, alice: Person, post: Post, clock: FrozenClock
) -> None:
    """EML-3: whoever is signed in to the account and has its mailbox loses nothing."""
    await log_in(client, alice)
    await enrol(client, clock)
    await client.post("/auth/email/verify/request", json={"email": alice.email})
    dead = new_browser()
    dead.cookies["__Host-session"] = "A" * 43  # a dead cookie is no claim, and no obstacle

    assert (await confirm(client, post, alice.email)).status_code == 204

    assert (await client.get("/auth/me")).json()["email_verified"] is True
    assert (await client.get("/verified")).status_code == 200
    assert await AuthMfaMethod.count() == 1
    # Proven: there is nothing to prove any more, and no mail.
    await dead.post("/auth/email/verify/request", json={"email": alice.email})
    assert (await post.subjects(alice.email)).count("Confirm your e-mail address") == 1


async def test_no_log_in_of_a_stranger_slips_past_the_proof(
    client: AsyncClient, new_browser: Browsers, post: Post
) -> None:
    """EML-3: log-ins at the very moment of the proof are ended or refused."""
    for number in range(5):
        name = f"person{number}"
        email = f"{name}@example.com"
        assert (await register(client, name)).status_code == 201
        await client.post("/auth/email/verify/request", json={"email": email})
        token = await post.token(email, "verify_email")
        owner, thieves = new_browser(), [new_browser() for _ in range(8)]

        answers = await asyncio.gather(
            *(login(thief, name) for thief in thieves[:4]),
            owner.post("/auth/email/verify", json={"token": token}),
            *(login(thief, name) for thief in thieves[4:]),
        )

        assert answers[4].status_code == 204
        assert await AuthSession.count() == 0

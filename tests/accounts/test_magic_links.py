"""Log-in by a link in a mail: the same steps as any other log-in, and off unless it is wanted."""

from typing import Any

import pytest
from fastapi import Request
from httpx import AsyncClient
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthError, AuthSettings, User
from piccolo_fastapi_auth.mail import MemoryMailer
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.accounts.helpers import Post
from tests.fixtures import Browsers, Person, bearer, code_of, log_in
from tests.mfa.helpers import claims, credentials_in, enrol, verify


async def link(client: AsyncClient, post: Post, email: str) -> str:
    """Ask for one and read its token."""
    assert (await client.post("/auth/magic-link", json={"email": email})).status_code == 202
    return await post.token(email, "magic_link")


async def prove(client: AsyncClient, post: Post, person: Person) -> None:
    """Prove the address while signed in."""
    await log_in(client, person)
    await client.post("/auth/email/verify/request", json={"email": person.email})
    body = {"token": await post.token(person.email, "verify_email")}
    assert (await client.post("/auth/email/verify", json=body)).status_code == 204


async def test_a_link_logs_in_with_a_cookie_or_with_tokens(
    client: AsyncClient, new_browser: Browsers, alice: Person, post: Post
) -> None:
    """ASVS 7.6.2: the session says how it was begun; one factor is one factor."""
    await prove(client, post, alice)
    browser, device = new_browser(), new_browser()

    token = await link(browser, post, alice.email)
    answer = await browser.post("/auth/magic-link/login", json={"token": token})
    token = await link(device, post, alice.email)
    body = {"token": token, "transport": "bearer"}
    tokens = (await device.post("/auth/magic-link/login", json=body)).json()

    assert answer.status_code == 200
    assert answer.json()["session"]["methods"] == ["magic_link"]
    assert (await browser.get("/user")).json() == {"username": "alice"}
    assert (await device.get("/user", headers=bearer(tokens))).json() == {"username": "alice"}
    assert "mfa" not in claims(tokens)["amr"]
    assert code_of(await browser.get("/mfa")) == "mfa_enrolment_required"
    assert (await client.get("/user")).status_code == 200  # nothing else ended


async def test_a_second_factor_is_asked_for_after_the_link(
    client: AsyncClient, new_browser: Browsers, alice: Person, post: Post, clock: FrozenClock
) -> None:
    """ASVS 6.4.3: the link is used up and leads to the challenge; nothing is handed out before it is answered."""
    await prove(client, post, alice)
    phone = await enrol(client, clock)
    browser = new_browser()
    token = await link(browser, post, alice.email)

    asked = await browser.post("/auth/magic-link/login", json={"token": token})

    assert (asked.status_code, code_of(asked)) == (401, "mfa_required")
    assert credentials_in(asked) == []
    assert (await browser.get("/user")).status_code == 401
    again = await browser.post("/auth/magic-link/login", json={"token": token})
    assert (again.status_code, code_of(again)) == (400, "invalid_link")
    challenge = asked.json()["detail"]["mfa_token"]
    assert code_of(await verify(browser, challenge, phone.wrong())) == "invalid_code"
    finished = await verify(browser, challenge, phone.code())
    assert finished.json()["session"]["methods"] == ["magic_link", "totp"]
    assert (await browser.get("/mfa")).status_code == 200


async def test_opening_a_link_logs_nobody_in(
    client: AsyncClient, alice: Person, post: Post
) -> None:
    """EML-2, ASVS 7.6.2: neither GET nor HEAD, however often; a foreign page cannot send it either."""
    token = await link(client, post, alice.email)
    for _ in range(5):
        for method in ("GET", "HEAD"):
            answer = await client.request(method, await post.link(alice.email, "magic_link"))
            assert (answer.status_code, credentials_in(answer)) == (200, [])
    foreign = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    body = {"token": token}
    refused = await client.post("/auth/magic-link/login", json=body, headers=foreign)

    assert code_of(refused) == "csrf_failed"
    assert await AuthSession.count() == 0
    assert (await client.post("/auth/magic-link/login", json=body)).status_code == 200


async def test_a_link_ends_the_session_that_the_browser_had(
    client: AsyncClient, alice: Person, post: Post
) -> None:
    """No fixation: as with every log-in."""
    await prove(client, post, alice)
    before = client.cookies["__Host-session"]
    token = await link(client, post, alice.email)

    await client.post("/auth/magic-link/login", json={"token": token})

    assert client.cookies["__Host-session"] != before
    assert await AuthSession.count() == 1


@pytest.mark.parametrize("settings_changes", [{"magic_links": False}], ids=["off"])
async def test_without_the_setting_there_is_no_such_log_in(
    client: AsyncClient, alice: Person
) -> None:
    """Opt-in: the routes are not there."""
    for path, body in (("", {"email": alice.email}), ("/login", {"token": "A" * 43})):
        assert (await client.post(f"/auth/magic-link{path}", json=body)).status_code == 404
    form = {"purpose": "magic_link", "token": "A" * 43}
    assert (await client.post("/auth/confirm", data=form)).status_code == 400


class _AskedError(AuthError):
    code = "asked"


async def _refuse(*, username: str, request: Request, **_: Any) -> None:
    assert request
    if username == "alice@example.com":
        raise _AskedError


class _WithHook:
    @pytest.fixture
    def auth(
        self,
        database: Engine[Any],
        settings: AuthSettings,
        clock: FrozenClock,
        mailer: MemoryMailer,
    ) -> Auth[User]:
        del database
        return Auth(
            settings, clock=clock, hasher=fast_hasher(), mailer=mailer, before_login=_refuse
        )


class TestHooks(_WithHook):
    """Hooks of the application run for this log-in too."""

    async def test_a_hook_refuses(self, client: AsyncClient, alice: Person, post: Post) -> None:
        """DESIGN.md 7.6: one pipeline; what refuses a password refuses a link, and leaves it unused."""
        token = await link(client, post, alice.email)

        answer = await client.post("/auth/magic-link/login", json={"token": token})

        assert (answer.status_code, code_of(answer)) == (403, "asked")
        assert await AuthSession.count() == 0

"""The setting ``require_mfa``: who must use a second factor gets in as far as setting one up."""

from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import (
    ORIGIN,
    PASSWORD,
    SCOPES,
    SECRET,
    Browsers,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    make_app,
    refresh,
)
from tests.mfa.helpers import (
    PASSWORD_FORM,
    begin,
    code_at,
    confirm,
    enrol,
    log_in_with,
    tokens_with,
)

COOKIE = "__Host-session"

everyone = pytest.mark.parametrize(
    "settings_changes", [{"require_mfa": "everyone"}], ids=["everyone"]
)
admins = pytest.mark.parametrize("settings_changes", [{"require_mfa": "admins"}], ids=["admins"])


@everyone
async def test_who_must_enrol_gets_in_as_far_as_enrolment(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """MFA-6: a cookie opens the enrolment routes, the session, its renewal and the log-out; then everything."""
    await log_in(client, alice)
    closed = [
        ("GET", "/user"),
        ("GET", "/optional"),
        ("GET", "/whose-session"),
        ("GET", "/posts"),
        ("GET", "/fresh"),
        ("GET", "/mfa"),
        ("GET", "/auth/me"),
        ("PATCH", "/auth/me"),
        ("DELETE", "/auth/me"),
        ("POST", "/auth/password/change"),
        ("GET", "/auth/sessions"),
        ("DELETE", "/auth/sessions"),
    ]
    for method, path in closed:
        answer = await client.request(method, path, json={} if method != "GET" else None)
        assert (answer.status_code, code_of(answer)) == (403, "mfa_enrolment_required"), path
    assert (await client.get("/auth/session")).status_code == 200
    assert (await client.get("/auth/mfa")).status_code == 200
    again = await client.post("/auth/reauthenticate", json={"password": PASSWORD})
    assert again.status_code == 200

    await enrol(client, clock)

    assert (await client.get("/user")).status_code == 200
    assert (await client.get("/auth/me")).status_code == 200
    assert (await client.post("/auth/logout")).status_code == 204


@everyone
async def test_the_principal_of_who_must_enrol_is_refused_too(
    client: AsyncClient, alice: Person
) -> None:
    """MFA-6: ``auth.principal`` is a guard like the others; with a cookie it knows the session."""
    await log_in(client, alice)

    refused = await client.get("/principal")

    assert refused.status_code == 403, refused.text
    assert code_of(refused) == "mfa_enrolment_required"


@everyone
@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # TestClient has its own loop
async def test_a_websocket_of_who_must_enrol_is_closed(
    app: FastAPI, client: AsyncClient, alice: Person
) -> None:
    """XPT-1: 1008, with the code as the reason."""
    await log_in(client, alice)
    cookie = f"{COOKIE}={client.cookies[COOKIE]}"
    headers = {"origin": ORIGIN, "host": "app.test", "cookie": cookie}
    socket = TestClient(app, base_url=ORIGIN).websocket_connect("/ws", headers=headers)

    with pytest.raises(WebSocketDisconnect) as closed, socket:
        pass

    assert (closed.value.code, closed.value.reason) == (1008, "mfa_enrolment_required")


@everyone
async def test_who_must_enrol_gets_no_token(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """MFA-6: an access token is good without the database, so there is none before; then by the usual way."""
    refused = await client.post("/auth/token", data=PASSWORD_FORM)
    assert (refused.status_code, refused.json()["error"]) == (403, "mfa_enrolment_required")
    assert "access_token" not in refused.text
    assert await AuthSession.count() == 0
    await log_in(client, alice)
    phone = await enrol(client, clock)

    tokens = await tokens_with(new_browser(), phone.code())

    assert (await new_browser().get("/user", headers=bearer(tokens))).status_code == 200
    assert (await refresh(new_browser(), tokens["refresh_token"])).status_code == 200


async def test_the_policy_reaches_sessions_from_before_it(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """MFA-6: switched on, it refuses the next request of a cookie or token, and the next refresh."""
    tokens = await get_tokens(new_browser(), alice)
    await log_in(client, alice)
    strict = AuthSettings(secret_keys=[SECRET], require_mfa="everyone")
    auth = Auth(strict, user_table=User, clock=clock, hasher=fast_hasher(), scopes=SCOPES)
    async with (
        auth.lifespan(),
        AsyncClient(transport=ASGITransport(make_app(auth)), base_url=ORIGIN) as later,
    ):
        by_token = await later.get("/user", headers=bearer(tokens))
        refreshed = await refresh(later, tokens["refresh_token"])
        later.cookies.set(COOKIE, client.cookies[COOKIE], domain="app.test", path="/")
        by_cookie = await later.get("/user")

        for answer in (by_token, refreshed, by_cookie):
            assert (answer.status_code, code_of(answer)) == (403, "mfa_enrolment_required")
        begun = await begin(later)
        good = await confirm(later, begun, code_at(begun["secret"], clock()))
        assert good.status_code == 200
        assert (await later.get("/user")).status_code == 200


@admins
@pytest.mark.parametrize("column", ["admin", "superuser"])
async def test_the_policy_may_be_for_admins(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock, column: str
) -> None:
    """MFA-6: others log in as ever; who is made one is asked at the next request and the next refresh."""
    tokens = await get_tokens(new_browser(), alice)
    await log_in(client, alice)
    assert (await client.get("/user")).status_code == 200
    tokens = (await refresh(new_browser(), tokens["refresh_token"])).json()

    await User.update({column: True}).where(User.id == alice.id)

    assert code_of(await client.get("/user")) == "mfa_enrolment_required"
    refused = await new_browser().get("/user", headers=bearer(tokens))
    assert code_of(refused) == "mfa_enrolment_required"
    refused = await refresh(new_browser(), tokens["refresh_token"])
    assert code_of(refused) == "mfa_enrolment_required"
    phone = await enrol(client, clock)
    assert (await client.get("/user")).status_code == 200
    assert (await log_in_with(new_browser(), phone.code())).status_code == 200


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({}, 15),
        ({"require_mfa": "admins"}, 15),
        ({"require_mfa": "everyone"}, 8),
        ({"require_mfa": "everyone", "password_min_length": 12}, 12),
    ],
)
def test_passwords_may_be_shorter_where_everybody_has_two_factors(
    changes: dict[str, Any], length: int
) -> None:
    """PWD-1: eight characters only where the second factor is enforced for all."""
    assert AuthSettings(secret_keys=[SECRET], **changes).password_min_length == length

"""RFC 7662: whether a token is good, told to those who may ask."""

from datetime import timedelta
from typing import Any, Final

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.api_keys.helpers import by_header, key_of
from tests.fixtures import (
    ORIGIN,
    SECRET,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    make_app,
    refresh,
)

TOKEN: Final = "a-static-token-of-good-length-0123456789"
OTHER: Final = "another-static-token-of-length-0123456789"
SCOPES: Final = {"posts:read": "Read posts", "auth:introspect": "Ask about tokens"}


@pytest.fixture
def settings_changes() -> dict[str, Any]:
    """Two services; one may ask."""
    return {
        "static_tokens": {
            "gateway": {"token": TOKEN, "scopes": ["auth:introspect"]},
            "other": OTHER,
        }
    }


@pytest.fixture
def auth(database: Engine[Any], settings: AuthSettings, clock: FrozenClock) -> Auth[User]:
    """Everybody may read and ask."""
    del database
    return Auth(
        settings, clock=clock, hasher=fast_hasher(), scopes=SCOPES, scopes_of=lambda _: list(SCOPES)
    )


async def ask(
    client: AsyncClient, token: str, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """What is known of a token."""
    answer = await client.post(
        "/auth/token/introspect",
        data={"token": token},
        headers=headers or bearer({"access_token": TOKEN}),
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


async def test_only_programs_with_the_scope_may_ask(client: AsyncClient, alice: Person) -> None:
    """REV-2: 401 without a credential or with a bad one, 403 without the scope, and for a person's session."""
    allowed = await key_of(client, alice, scopes=["auth:introspect"])
    denied = await key_of(client, alice, scopes=["posts:read"])
    tokens = await get_tokens(client, alice)

    async def refusal(headers: dict[str, str]) -> tuple[int, str]:
        answer = await client.post("/auth/token/introspect", data={"token": "x"}, headers=headers)
        return answer.status_code, code_of(answer)

    assert await refusal({}) == (401, "not_authenticated")
    assert await refusal(by_header("x")) == (401, "invalid_token")
    assert await refusal(by_header(allowed[:-1] + "?")) == (401, "invalid_token")
    assert await refusal(by_header(denied)) == (403, "insufficient_scope")
    assert await refusal(by_header(OTHER)) == (403, "insufficient_scope")
    assert await refusal(bearer(tokens)) == (403, "credential_not_accepted")
    await log_in(client, alice)
    assert await refusal({}) == (403, "credential_not_accepted")
    client.cookies.clear()
    for headers in (by_header(allowed), by_header(TOKEN), bearer({"access_token": TOKEN})):
        assert await ask(client, "x", headers) == {"active": False}


async def test_a_good_token_is_described(
    client: AsyncClient, alice: Person, clock: FrozenClock, auth: Auth[User]
) -> None:
    """REV-2: access token, refresh token and API key, each as a guard would take it."""
    key = await key_of(client, alice, scopes=["posts:read"])
    tokens = await get_tokens(client, alice, scope="posts:read")
    now = int(clock().timestamp())
    common = {
        "active": True, "scope": "posts:read", "username": "alice", "sub": str(alice.id),
        "aud": auth.settings.audience, "iss": auth.settings.issuer,
    }  # fmt: skip

    access = await ask(client, tokens["access_token"])
    jti, sid = access.pop("jti"), access.pop("sid")
    assert access == {**common, "token_type": "Bearer", "iat": now, "exp": now + 600}
    assert jti
    again = await ask(client, tokens["refresh_token"])
    assert again == {**common, "sid": sid, "iat": now, "exp": now + 30 * 86_400}
    found = await ask(client, key)
    assert found == {**common, "jti": key.split("_")[1], "exp": now + 90 * 86_400}
    assert (
        await refresh(client, tokens["refresh_token"])
    ).status_code == 200  # asking rotated nothing


async def test_what_is_not_good_is_inactive_and_no_more(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """REV-2: exactly ``{"active": false}`` for expired, revoked, exchanged, foreign, forged and malformed ones."""
    key, tokens = await key_of(client, alice), await get_tokens(client, alice)
    exchanged = tokens["refresh_token"]
    tokens |= (await refresh(client, exchanged)).json()
    for changes in (
        {"audience": "another"},
        {"issuer": "another"},
        {"secret_keys": [SECRET[::-1]]},
    ):
        given = AuthSettings.model_validate({"secret_keys": [SECRET], **changes})
        other = make_app(Auth(given, clock=clock, hasher=fast_hasher(), scopes={}))
        async with AsyncClient(transport=ASGITransport(other), base_url=ORIGIN) as elsewhere:
            foreign = (await get_tokens(elsewhere, alice))["access_token"]
        assert await ask(client, foreign) == {"active": False}, changes
    bad = [
        "x",
        "a.b.c",
        "pfa_",
        key[:-1] + "?",
        f"{tokens['access_token'][:-4]}AAAA",
        exchanged,
        TOKEN,
    ]
    for token in bad:
        assert await ask(client, token) == {"active": False}, token
    assert (await ask(client, tokens["access_token"]))["active"]
    clock.move(timedelta(minutes=10))
    assert await ask(client, tokens["access_token"]) == {"active": False}
    clock.move(timedelta(minutes=-10))
    await AuthSession.delete(force=True)
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert await ask(client, token) == {"active": False}
    await User.update({User.active: False}).where(User.id == alice.id)
    assert await ask(client, key) == {"active": False}


async def test_a_broken_store_is_not_an_inactive_token(
    app: FastAPI, client: AsyncClient, alice: Person
) -> None:
    """REV-1, REV-2: 503 for introspection and revocation, never a 200 that says something."""
    del app
    tokens = await get_tokens(client, alice)
    key = await key_of(client, alice)
    await AuthSession.raw("ALTER TABLE auth_session RENAME TO elsewhere")
    await AuthSession.raw("ALTER TABLE auth_api_key RENAME TO elsewhere_too")

    for token in (tokens["access_token"], tokens["refresh_token"], key):
        for path in ("/auth/token/introspect", "/auth/token/revoke"):
            answer = await client.post(path, data={"token": token}, headers=by_header(TOKEN))
            assert (answer.status_code, code_of(answer)) == (503, "temporarily_unavailable"), path

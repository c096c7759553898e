"""Tokens that a real OpenID provider signed, verified by its published keys."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from httpx import ASGITransport, AsyncClient
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import AuthSettings, ExternalIssuer, User
from piccolo_fastapi_auth.testing import FrozenClock
from tests.external_issuer.helpers import AUDIENCE, app_with, user_of
from tests.external_issuer.providers import NAMES, a_port, running
from tests.fixtures import ORIGIN, PASSWORD, bearer, code_of

ACCOUNT: Final = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}


@pytest.mark.timeout(180)  # the first run installs the package
@pytest.mark.parametrize("name", NAMES)
async def test_a_token_of_a_real_provider(
    name: str, database: Engine[Any], settings: AuthSettings
) -> None:
    """Found by discovery and accepted; wrong audience, issuer, expired and rotated key behave (KEY-1, KEY-2)."""
    del database
    clock, port = FrozenClock(datetime.now(UTC)), a_port()  # noqa: TID251 - the provider's clock is the real one

    def issuer(url: str) -> ExternalIssuer[User]:
        return ExternalIssuer(
            issuer=url, audience=AUDIENCE, user_of=user_of, scope_claim=None, clock=clock
        )

    app = app_with(issuer(f"http://localhost:{port}"), settings, clock)
    elsewhere = app_with(issuer(f"http://127.0.0.1:{port}"), settings, clock)
    async with (
        AsyncClient(transport=ASGITransport(app), base_url=ORIGIN) as client,
        AsyncClient(transport=ASGITransport(elsewhere), base_url=ORIGIN) as other,
    ):
        assert (await client.post("/auth/register", json=ACCOUNT)).status_code == 201

        async def status(browser: AsyncClient, token: str) -> tuple[int, str]:
            answer = await browser.get("/user", headers=bearer({"access_token": token}))
            return answer.status_code, "" if answer.is_success else code_of(answer)

        with running(name, port) as provider:
            token = provider.token(AUDIENCE)
            assert await status(client, token) == (200, "")
            assert await status(client, provider.token("https://other.test")) == (
                401,
                "invalid_token",
            )
            assert await status(other, token) == (401, "invalid_token")
        with running(name, port) as provider:
            successor = provider.token(AUDIENCE)
            assert await status(client, token) == (200, "")  # its key is remembered for a while
            clock.move(timedelta(minutes=1))
            assert await status(client, successor) == (200, "")
            assert await status(client, token) == (401, "invalid_token")
            clock.move(timedelta(hours=1, minutes=2))  # its clock ran on meanwhile
            assert await status(client, successor) == (401, "token_expired")

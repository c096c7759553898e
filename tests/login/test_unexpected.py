"""An error that nobody foresaw."""

from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from piccolo_fastapi_auth import Auth, AuthSettings
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import ORIGIN, PASSWORD, SECRET, make_app

NAMED = {"username": "alice", "password": PASSWORD}


def broken(**_: Any) -> None:
    """A hook of the application with a bug."""
    raise RuntimeError(f"no column ssn in alice, {PASSWORD}")


def app_with(hook: str) -> FastAPI:
    """An application in which one step of the log-in is broken."""
    hooks: dict[str, Any] = {hook: broken}
    auth = Auth(
        AuthSettings(secret_keys=[SECRET]), clock=FrozenClock(), hasher=fast_hasher(), **hooks
    )
    return make_app(auth)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("hook", ["before_login", "after_login"])
async def test_an_unexpected_error_says_nothing(hook: str) -> None:
    """FLT-1, ASVS 16.5.1: 500 with two words, no cookie and no session; at both doors."""
    transport = ASGITransport(app_with(hook), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url=ORIGIN) as client:
        assert (
            await client.post("/auth/register", json={**NAMED, "email": "alice@example.com"})
        ).status_code == 201
        answers = [
            await client.post("/auth/login", json=NAMED),
            await client.post("/auth/token", data={**NAMED, "grant_type": "password"}),
        ]

    assert [answer.status_code for answer in answers] == [500, 500]
    assert [answer.text for answer in answers] == ["Internal Server Error"] * 2
    assert [answer.cookies for answer in answers] == [{}, {}]
    assert await AuthSession.count() == 0

"""XPT-1: every way in, met with every state of an account, on every protected route there is."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from piccolo_fastapi_auth import Auth, User
from tests.fixtures import Browsers, Person, bearer, get_tokens, log_in

Way = Callable[[AsyncClient, Person], Awaitable[dict[str, str]]]


async def by_cookie(client: AsyncClient, person: Person) -> dict[str, str]:
    """A session cookie."""
    token = (await log_in(client, person)).cookies["__Host-session"]
    client.cookies.clear()
    return {"Cookie": f"__Host-session={token}"}


async def by_token(client: AsyncClient, person: Person) -> dict[str, str]:
    """An access token."""
    return bearer(await get_tokens(client, person))


async def by_key(client: AsyncClient, person: Person) -> dict[str, str]:
    """An API key."""
    cookie = await by_cookie(client, person)
    made = await client.post(
        "/auth/api-keys", json={"name": "k", "scopes": ["posts:read"]}, headers=cookie
    )
    return {"X-API-Key": made.json()["key"]}


WAYS: Final[dict[str, Way]] = {"cookie": by_cookie, "token": by_token, "key": by_key}
STATES: Final = ("good", "closed", "deleted", "closed by an administrator")


async def bring_about(auth: Auth[User], person: Person, state: str) -> None:
    """Change the account behind the library's back, or by its own route's service."""
    if state == "closed":
        await User.update({User.active: False}).where(User.id == person.id)
    elif state == "deleted":
        await User.delete().where(User.id == person.id)
    elif state == "closed by an administrator":
        await auth.operators.set_active(person.username, active=False)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("way", WAYS)
async def test_a_bad_account_comes_in_nowhere(  # noqa: PLR0917 - fixtures
    app: FastAPI, auth: Auth[User], new_browser: Browsers, alice: Person, way: str, state: str
) -> None:
    """Each mounted route with a guard, taken from the list of routes; only ``principal`` of a token needs no database."""
    client = new_browser()
    headers = await WAYS[way](client, alice)
    await bring_about(auth, alice, state)
    seen = 0
    for row in auth.audit_routes(app):
        guarded = row.protection not in {"public", "none", "machine"}
        if not guarded or "WEBSOCKET" in row.methods or row.path.startswith("/auth/admin"):
            continue
        without_database = row.protection == "principal" and way == "token"
        for method in set(row.methods) & {"GET"}:
            answer = await client.get(row.path, headers=headers)
            seen += 1
            if state != "good" and not without_database:
                assert answer.status_code == 401, (method, row.path, answer.text)
            else:
                assert answer.status_code != 401 or row.protection == "require(mfa)", row.path
    assert seen >= 12
    refused = [
        await client.post("/auth/login", json={"username": "alice", "password": alice.password}),
        await client.post(
            "/auth/token",
            data={"grant_type": "password", "username": "alice", "password": alice.password},
        ),
    ]
    if state != "good":
        assert [one.status_code for one in refused] == [401, 400]

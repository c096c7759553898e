"""Every way in, after every way to lose it: refused on the very next request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import (
    ORIGIN,
    PASSWORD,
    People,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    refresh,
)


@dataclass
class World:
    """A person signed in by cookie and by token, and once more on the device from which things are done."""

    app: FastAPI
    auth: Auth[User]
    clock: FrozenClock
    device: AsyncClient
    person: Person
    cookie: dict[str, str]
    tokens: dict[str, str]

    async def get(self, path: str, headers: dict[str, str]) -> Response:
        """Ask without any memory of earlier answers."""
        async with AsyncClient(transport=ASGITransport(self.app), base_url=ORIGIN) as browser:
            return await browser.get(path, headers=headers)

    async def post(self, path: str, headers: dict[str, str]) -> int:
        """Ask for a change; return the status."""
        async with AsyncClient(transport=ASGITransport(self.app), base_url=ORIGIN) as browser:
            return (await browser.post(path, headers=headers)).status_code


async def _deactivated(world: World) -> None:
    await User.update({User.active: False}).where(User.id == world.person.id)


async def _deleted(world: World) -> None:
    answer = await world.device.request("DELETE", "/auth/me", json={"password": PASSWORD})
    assert answer.status_code == 204


async def _ended_from_elsewhere(world: World) -> None:
    assert (await world.device.delete("/auth/sessions")).status_code == 204


async def _ended_one_by_one(world: World) -> None:
    for session in (await world.device.get("/auth/sessions")).json():
        if not session["current"]:
            answer = await world.device.delete(f"/auth/sessions/{session['id']}")
            assert answer.status_code == 204


async def _password_changed(world: World) -> None:
    body = {"current_password": PASSWORD, "new_password": "another horse in the pantry"}
    assert (await world.device.post("/auth/password/change", json=body)).status_code == 204


async def _logged_out(world: World) -> None:
    for headers in (world.cookie, bearer(world.tokens)):
        assert [await world.post("/auth/logout", headers) for _ in range(2)] == [204, 204]


async def _revoked(world: World) -> None:
    assert await world.post("/auth/logout", world.cookie) == 204
    form = {"token": world.tokens["access_token"]}
    assert (await world.device.post("/auth/token/revoke", data=form)).status_code == 200


async def _aged(world: World) -> None:
    """Nothing cleans up: the rows are still there, as of a year ago, and the token is fresh."""
    old = world.clock() - timedelta(days=365)
    await AuthSession.update({AuthSession.expires_at: old}, force=True)


async def _idle(world: World) -> None:
    old = world.clock() - timedelta(days=8)
    await AuthSession.update({AuthSession.last_seen_at: old}, force=True)


WAYS: Final[list[Callable[[World], Awaitable[None]]]] = [
    _deactivated, _deleted, _ended_from_elsewhere, _ended_one_by_one, _password_changed, _logged_out, _revoked, _aged, _idle,
]  # fmt: skip
OF_THE_PERSON_ONLY: Final = {
    _deactivated, _deleted, _ended_from_elsewhere, _ended_one_by_one, _password_changed, _logged_out, _revoked,
}  # fmt: skip


@pytest.mark.parametrize("lose_access", WAYS, ids=lambda way: way.__name__.strip("_"))
async def test_what_ends_access_ends_it_on_the_next_request(
    lose_access: Callable[[World], Awaitable[None]],
    *,
    app: FastAPI,
    auth: Auth[User],
    clock: FrozenClock,
    client: AsyncClient,
    sign_up: People,
) -> None:
    """SES-6, SES-8, SES-10, RFT-9, JWT-9: cookie, access token and refresh token, at every guard."""
    alice, bob = await sign_up("alice"), await sign_up("bob")
    others = bearer(await get_tokens(client, bob))
    tokens = await get_tokens(client, alice)
    cookie = {"cookie": f"__Host-session={(await log_in(client, alice)).cookies['__Host-session']}"}
    client.cookies.clear()
    await log_in(client, alice)
    world = World(app, auth, clock, client, alice, cookie, tokens)
    paths = (
        "/user",
        "/optional",
        "/whose-session",
        "/fresh",
        "/posts",
        "/auth/me",
        "/auth/sessions",
    )
    for headers in (cookie, bearer(tokens)):
        for path in paths:
            assert (await world.get(path, headers)).status_code == 200, path
    tokens |= (await refresh(client, tokens["refresh_token"])).json()

    await lose_access(world)

    for headers in (cookie, bearer(tokens)):
        for path in paths:
            answer = await world.get(path, headers)
            assert (answer.status_code, code_of(answer)) == (401, "session_expired"), path
    assert code_of(await world.get("/principal", cookie)) == "session_expired"
    assert (
        await world.get("/principal", bearer(tokens))
    ).status_code == 200  # for ten minutes more
    assert code_of(await refresh(client, tokens["refresh_token"])) == "invalid_token"
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert (await client.post("/auth/token", data=form)).json()["error"] == "invalid_grant"
    clock.move(timedelta(minutes=10))
    assert code_of(await world.get("/principal", bearer(tokens))) == "token_expired"
    if lose_access in OF_THE_PERSON_ONLY:
        clock.move(-timedelta(minutes=10))
        assert (await world.get("/user", others)).json() == {"username": "bob"}


async def test_a_token_of_one_session_never_opens_another(
    client: AsyncClient, sign_up: People
) -> None:
    """SES-9: ending somebody else's session is 404, and ends nothing."""
    alice, bob = await sign_up("alice"), await sign_up("bob")
    his = (await log_in(client, bob)).json()["session"]["id"]
    client.cookies.clear()
    hers = bearer(await get_tokens(client, alice))

    answer = await client.delete(f"/auth/sessions/{his}", headers=hers)

    assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert await AuthSession.exists().where(AuthSession.id == his)

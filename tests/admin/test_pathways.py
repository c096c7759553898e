"""XPT-1: every credential that one can hold, met with every state of an account, on every guarded route there is.

The routes, HTTP and WebSocket, are those of ``Auth.audit_routes``; ``expected`` says for each guard what it answers.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import pytest
from fastapi import Depends, FastAPI, WebSocket
from httpx import AsyncClient

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.route_audit import RouteProtection
from piccolo_fastapi_auth.testing import FrozenClock
from piccolo_fastapi_auth.users.tables import AuthAccount
from tests.accounts.conftest import auth, mailer, post, settings
from tests.accounts.helpers import Post
from tests.fixtures import ORIGIN, Browsers, Person, bearer, get_tokens, log_in, make_app
from tests.mfa.helpers import challenge, enrol, tokens_with, verify

__all__ = ["auth", "mailer", "post", "settings"]  # an ``Auth`` that mails into memory

COOKIE: Final = "__Host-session"
GUARDS: Final = {
    "current_user", "optional_user", "current_session", "principal", "require(verified)", "require(fresh)",
    "require(mfa)",
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """What a credential is got from."""

    auth: Auth[User]
    clock: FrozenClock
    new_browser: Browsers
    alice: Person
    admin: Person
    post: Post


@dataclass(frozen=True)
class Held:
    """A credential, as the headers that carry it, and what is true of it."""

    headers: dict[str, str]
    is_token: bool = False
    is_key: bool = False
    two_factors: bool = False
    acting: bool = False
    good: bool = True


def taken(client: AsyncClient) -> dict[str, str]:
    """Take the session cookie out of a browser."""
    token = client.cookies[COOKIE]
    client.cookies.clear()
    return {"Cookie": f"{COOKIE}={token}"}


async def by_cookie(scene: Scene) -> Held:
    """A password, for a cookie."""
    client = scene.new_browser()
    await log_in(client, scene.alice)
    return Held(taken(client))


async def by_token(scene: Scene) -> Held:
    """A password, for an access token."""
    return Held(bearer(await get_tokens(scene.new_browser(), scene.alice)), is_token=True)


async def by_key(scene: Scene) -> Held:
    """An API key."""
    client, cookie = scene.new_browser(), (await by_cookie(scene)).headers
    body = {"name": "k", "scopes": ["posts:read"]}
    made = await client.post("/auth/api-keys", json=body, headers=cookie)
    return Held({"X-API-Key": made.json()["key"]}, is_key=True)


async def by_link(scene: Scene) -> Held:
    """A link in a mail."""
    client = scene.new_browser()
    await client.post("/auth/magic-link", json={"email": scene.alice.email})
    token = await scene.post.token(scene.alice.email, "magic_link")
    assert (await client.post("/auth/magic-link/login", json={"token": token})).status_code == 200
    return Held(taken(client))


async def by_two_factors(scene: Scene) -> Held:
    """A password and a code, for a cookie."""
    client = scene.new_browser()
    await log_in(client, scene.alice)
    phone = await enrol(client, scene.clock)
    client.cookies.clear()
    token = await challenge(client)
    assert (await verify(client, token, phone.code())).status_code == 200
    return Held(taken(client), two_factors=True)


async def by_two_factors_for_a_token(scene: Scene) -> Held:
    """A password and a code, for an access token."""
    client = scene.new_browser()
    await log_in(client, scene.alice)
    phone = await enrol(client, scene.clock)
    client.cookies.clear()
    return Held(bearer(await tokens_with(client, phone.code())), is_token=True, two_factors=True)


async def by_recovery_code(scene: Scene) -> Held:
    """A password and a recovery code, which is used up by it."""
    client = scene.new_browser()
    await log_in(client, scene.alice)
    phone = await enrol(client, scene.clock)
    client.cookies.clear()
    used = await verify(client, await challenge(client), phone.recovery_codes[0], "recovery_code")
    assert used.status_code == 200
    return Held(taken(client), two_factors=True)


async def by_pending_challenge(scene: Scene) -> Held:
    """What a log-in gives that waits for its code: good for nothing else, wherever it is put."""
    client = scene.new_browser()
    await log_in(client, scene.alice)
    await enrol(client, scene.clock)
    client.cookies.clear()
    return Held(bearer({"access_token": await challenge(client)}), good=False)


async def by_pending_challenge_as_a_cookie(scene: Scene) -> Held:
    """The same, put where a session goes."""
    token = (await by_pending_challenge(scene)).headers["Authorization"].removeprefix("Bearer ")
    return Held({"Cookie": f"{COOKIE}={token}"}, good=False)


async def by_acting(scene: Scene) -> Held:
    """An administrator who acts as the person, by cookie."""
    client = scene.new_browser()
    await log_in(client, scene.admin)
    path = f"/auth/admin/users/{scene.alice.id}/impersonate"
    assert (await client.post(path)).status_code == 200
    return Held(taken(client), acting=True)


async def by_acting_with_a_token(scene: Scene) -> Held:
    """An administrator who acts as the person, by token."""
    client = scene.new_browser()
    tokens = await get_tokens(client, scene.admin, scope="auth:admin auth:impersonate")
    path = f"/auth/admin/users/{scene.alice.id}/impersonate"
    answer = await client.post(path, headers=bearer(tokens))
    return Held(bearer(answer.json()), is_token=True, acting=True)


WAYS: Final[dict[str, Callable[[Scene], Awaitable[Held]]]] = {
    "cookie": by_cookie, "token": by_token, "key": by_key, "link": by_link, "two factors": by_two_factors,
    "two factors, token": by_two_factors_for_a_token, "recovery code": by_recovery_code,
    "pending": by_pending_challenge, "pending, cookie": by_pending_challenge_as_a_cookie,
    "acting": by_acting, "acting, token": by_acting_with_a_token,
}  # fmt: skip


def expected(row: RouteProtection, held: Held, *, alive: bool, verified: bool) -> int:  # noqa: PLR0911 - a table
    """Return what a guard answers: the one place that says it."""
    guard, ours = row.protection, row.path.startswith("/auth/")
    if not held.good:
        return 401
    if not alive:  # only an access token is believed without the database, for its ten minutes
        return 200 if guard == "principal" and held.is_token else 401
    if guard.startswith("admin"):
        return 403
    if held.is_key and (ours or guard in {"current_session", "require(mfa)", "require(fresh)"}):
        return 403
    if guard == "require(verified)":
        return 200 if verified else 403
    if guard in {"require(mfa)", "require(fresh)"} and held.acting:
        return 403
    if guard == "require(mfa)":
        return 200 if held.two_factors else 403
    return 200


async def knock(app: FastAPI, path: str, headers: dict[str, str]) -> int:
    """Open a WebSocket; return 101, or the code with which it is closed."""
    sent = {"host": "app.test", "origin": ORIGIN, **headers}
    scope = {
        "type": "websocket", "scheme": "wss", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "subprotocols": [], "client": ("192.0.2.1", 5000), "server": ("app.test", 443),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }  # fmt: skip
    told = list[dict[str, Any]]()

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        told.append(message)

    await app(scope, receive, send)
    return 101 if told[0]["type"] == "websocket.accept" else int(told[0]["code"])


async def go_everywhere(
    auth: Auth[User], app: FastAPI, client: AsyncClient, held: Held, **state: bool
) -> set[str]:
    """Call every guarded route with a credential; return the guards that were met."""
    met = set[str]()
    for row in auth.audit_routes(app):
        if row.protection in {"public", "none", "machine"}:
            continue
        answer = expected(row, held, **state)
        met.add(row.protection)
        if row.methods == ("WEBSOCKET",):
            met.add(f"{row.protection} on a WebSocket")
            code = await knock(app, row.path, held.headers)
            assert code == (101 if answer == 200 else 1008), (row.path, code)
            continue
        path = re.sub(r"{\w+}", "99999", row.path)
        for method in row.methods if answer == 401 else {"GET"} & set(row.methods):
            given = await client.request(method, path, headers=held.headers)
            assert given.status_code == answer, (method, row.path, given.text)
    return met


@pytest.fixture
def app(auth: Auth[User]) -> FastAPI:
    """Each guard on HTTP, and on a WebSocket."""
    app = make_app(auth)
    guards: list[Callable[..., object]] = [
        auth.current_user, auth.optional_user, auth.current_session, auth.principal, auth.require(verified=True),
        auth.require(fresh=timedelta(minutes=10)), auth.require(mfa=True),
    ]  # fmt: skip

    async def greet(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    for number, guard in enumerate(guards):
        app.add_api_websocket_route(f"/ws/{number}", greet, dependencies=[Depends(guard)])
    return app


@pytest.fixture
async def scene(  # noqa: PLR0917 - fixtures
    auth: Auth[User],
    clock: FrozenClock,
    new_browser: Browsers,
    alice: Person,
    admin: Person,
    post: Post,
) -> Scene:
    """A person whose address is proven, and an administrator."""
    await set_proven(alice, alice.email)
    return Scene(auth, clock, new_browser, alice, admin, post)


async def set_proven(person: Person, address: str | None) -> None:
    """Write which address of a person is proven."""
    changed = AuthAccount.update({AuthAccount.verified_email: address})
    await changed.where(AuthAccount.user == person.id)


async def lock(scene: Scene) -> None:
    """Use up what is allowed to guess at the person's password."""
    body = {"username": "alice", "password": "wrong"}
    tried = [await scene.new_browser().post("/auth/login", json=body) for _ in range(6)]
    assert tried[-1].status_code == 429


@pytest.mark.parametrize("settings_changes", [{"login_limit_per_account": "5/5 minutes"}])
@pytest.mark.parametrize("way", WAYS)
async def test_what_one_holds_is_worth_what_the_account_is(
    app: FastAPI, auth: Auth[User], scene: Scene, way: str
) -> None:
    """XPT-1: good, unverified, locked, closed, open again, gone: each at the very next request, on every guarded route.

    A lock is for guessing, so it leaves alone who is in. Nobody can be told to change their password here.
    """
    held, client, alice = await WAYS[way](scene), scene.new_browser(), scene.alice

    met = await go_everywhere(auth, app, client, held, alive=True, verified=True)
    await set_proven(alice, None)
    await go_everywhere(auth, app, client, held, alive=True, verified=False)
    await set_proven(alice, alice.email)
    await lock(scene)
    await go_everywhere(auth, app, client, held, alive=True, verified=True)
    await User.update({User.active: False}).where(User.id == alice.id)  # behind the library's back
    await go_everywhere(auth, app, client, held, alive=False, verified=True)
    await User.delete().where(User.id == alice.id)
    await go_everywhere(auth, app, client, held, alive=False, verified=True)

    assert {f"{one} on a WebSocket" for one in GUARDS} <= met
    assert len(met) > 2 * len(GUARDS)


@pytest.mark.parametrize("way", ["cookie", "token", "key", "acting"])
async def test_closing_an_account_holds_when_it_is_opened_again(
    app: FastAPI, auth: Auth[User], scene: Scene, way: str
) -> None:
    """XPT-1, SES-8: what was held is refused from then on; what was a session stays ended."""
    held, client = await WAYS[way](scene), scene.new_browser()

    await auth.operators.set_active("alice", active=False)
    await go_everywhere(auth, app, client, held, alive=False, verified=True)
    await auth.operators.set_active("alice", active=True)

    await go_everywhere(auth, app, client, held, alive=held.is_key, verified=True)

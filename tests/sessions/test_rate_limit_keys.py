"""Who is counted: the user or the session behind a request, else the address."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from httpx import ASGITransport, AsyncClient
from starlette.requests import HTTPConnection

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import ORIGIN, SECRET, People, Person, bearer, get_tokens, log_in
from tests.statements import Statements


def at(app: FastAPI, address: str, **headers: str) -> AsyncClient:
    """A browser at an address."""
    transport = ASGITransport(app, client=(address, 1))
    return AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)


@pytest.fixture
def app(app: FastAPI, auth: Auth[User]) -> FastAPI:
    """A route that two may call a minute; by user, by session, and by user for everybody."""

    @app.get("/by-user", dependencies=[Depends(auth.rate_limit("2/minute", key="user"))])
    async def by_user(user: Annotated[User, Depends(auth.current_user)]) -> str:
        return user.username

    @app.get("/by-session", dependencies=[Depends(auth.rate_limit("2/minute", key="session"))])
    async def by_session(user: Annotated[User, Depends(auth.current_user)]) -> str:
        return user.username

    @app.get("/for-all", dependencies=[Depends(auth.rate_limit("2/minute", key="user"))])
    async def for_all() -> None:
        return None

    return app


@pytest.fixture
async def devices(
    app: FastAPI, alice: Person, sign_up: People
) -> AsyncIterator[dict[str, AsyncClient]]:
    """Alice's browser and telephone and Bob's browser, each at an address of its own."""
    bob = await sign_up("bob")
    found = {
        "browser": at(app, "192.0.2.1"),
        "phone": at(app, "192.0.2.2"),
        "bob": at(app, "192.0.2.1"),
    }
    await log_in(found["browser"], alice)
    await log_in(found["bob"], bob)
    found["phone"].headers.update(bearer(await get_tokens(found["phone"], alice)))
    yield found
    for client in found.values():
        await client.aclose()


async def statuses(path: str, *clients: AsyncClient) -> list[int]:
    """In turn."""
    return [(await client.get(path)).status_code for client in clients]


async def test_an_api_key_counts_as_its_owner(
    app: FastAPI, devices: dict[str, AsyncClient]
) -> None:
    """By user it shares the counter of the person's devices, wherever it comes from; by session it is one of its own."""
    browser, _, bob = devices.values()
    made = (await browser.post("/auth/api-keys", json={"name": "robot"})).json()["key"]

    async with at(app, "203.0.113.9", **{"x-api-key": made}) as robot:
        assert await statuses("/by-user", browser, robot, robot, browser) == [200, 200, 429, 429]
        assert await statuses("/by-user", bob) == [200]
        assert await statuses("/by-session", robot, robot, robot) == [200, 200, 429]
        assert await statuses("/by-session", browser) == [200]


async def test_a_user_is_one_caller_on_all_devices(devices: dict[str, AsyncClient]) -> None:
    """Cookie and token count together; somebody else at the same address does not."""
    browser, phone, bob = devices.values()

    assert await statuses("/by-user", browser, phone, browser, phone) == [200, 200, 429, 429]
    assert await statuses("/by-user", bob, bob, bob) == [200, 200, 429]


async def test_a_session_is_one_caller(devices: dict[str, AsyncClient]) -> None:
    """Each device has its own."""
    browser, phone, _ = devices.values()

    assert await statuses("/by-session", *[browser] * 3, *[phone] * 3) == [200, 200, 429] * 2


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer x.y.z"}, {"cookie": "__Host-session=x"}],
    ids=["none", "token", "cookie"],
)
async def test_whoever_is_nobody_counts_by_address(app: FastAPI, headers: dict[str, str]) -> None:
    """Without a credential, or with a bad one: the address, never no limit; and the guard's refusal after it."""
    one, other = at(app, "198.51.100.1", **headers), at(app, "198.51.100.2", **headers)

    assert await statuses("/for-all", one, one, one, other) == [200, 200, 429, 200]
    assert await statuses("/by-user", one, one, one, other) == [401, 401, 429, 401]


async def test_bad_credentials_are_one_caller_with_none(app: FastAPI) -> None:
    """A new invented token is no new counter."""
    clients = [at(app, "198.51.100.1", authorization=f"Bearer invented{i}") for i in range(5)]

    assert await statuses("/for-all", *clients) == [200, 200, 429, 429, 429]


async def test_an_ended_session_counts_by_address(
    app: FastAPI, devices: dict[str, AsyncClient], clock: FrozenClock
) -> None:
    """Its cookie is a bad one."""
    browser = devices["browser"]
    clock.move(timedelta(days=40))

    assert await statuses("/for-all", browser, at(app, "192.0.2.1"), browser) == [200, 200, 429]


async def test_nobody_takes_the_name_of_an_address() -> None:
    """A key function that reads a header: what it says never meets the counter of an anonymous caller."""

    def by_header(connection: HTTPConnection) -> str | None:
        return connection.headers.get("x-api-key")

    app = FastAPI()
    limit = RateLimiter().limit("2/minute", key=by_header)
    app.get("/", dependencies=[Depends(limit)])(lambda: None)
    for name in ("192.0.2.9", "address/192.0.2.9", "address:192.0.2.9", "2001:db8::/64"):
        attacker = at(app, "198.51.100.1", **{"x-api-key": name})
        assert await statuses("/", *[attacker] * 3) == [200, 200, 429]

    assert await statuses("/", at(app, "192.0.2.9"), at(app, "2001:db8::1")) == [200, 200]


async def test_a_global_limit_can_count_users(
    app: FastAPI, auth: Auth[User], devices: dict[str, AsyncClient]
) -> None:
    """In the middleware, before any guard."""
    outer = FastAPI()
    auth.install(outer, rate_limit=auth.rate_limit("2/minute", key="user", bucket="all"))
    outer.mount("/", app)
    cookies, token = devices["browser"].cookies, devices["phone"].headers["authorization"]
    browser, phone = at(outer, "192.0.2.1"), at(outer, "192.0.2.2", authorization=token)
    browser.cookies = cookies

    assert await statuses("/public", browser, phone, browser, phone) == [200, 200, 429, 429]
    assert await statuses("/public", at(outer, "192.0.2.1")) == [200]


async def test_a_web_socket_is_counted_by_user(
    app: FastAPI, auth: Auth[User], devices: dict[str, AsyncClient]
) -> None:
    """The key function takes any connection."""
    limit = auth.rate_limit("2/minute", key="user", bucket="sockets")

    @app.websocket("/counted", dependencies=[Depends(limit)])
    async def counted(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    token = devices["phone"].headers["authorization"]
    found = [await _connect(app, token, f"192.0.2.{n}") for n in range(1, 4)]

    assert found == ["websocket.accept", "websocket.accept", 1013]


async def _connect(app: FastAPI, token: str, address: str) -> object:
    """Return what the server said first; the code if it closed."""
    said: list[object] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:  # whatever ASGI says
        said.append(message.get("code") or message["type"])

    headers = [(b"authorization", token.encode()), (b"host", b"app.test")]
    scope = {"type": "websocket", "path": "/counted", "query_string": b"", "root_path": ""}
    await app({**scope, "headers": headers, "client": (address, 1)}, receive, send)
    return said[0]


@pytest.mark.parametrize("path", ["/by-user", "/by-session"])
async def test_naming_the_caller_costs_no_query_beside_the_guards(
    statements: Statements,
    devices: dict[str, AsyncClient],
    path: str,
) -> None:
    """One statement a request, as without the limit."""
    for client in (devices["browser"], devices["phone"]):
        statements.clear()
        assert await statuses(path, client) == [200]
        assert len(statements) == 1, statements


async def test_naming_the_caller_of_a_token_costs_no_query(
    statements: Statements,
    devices: dict[str, AsyncClient],
) -> None:
    """Where there is no guard."""
    statements.clear()
    await statuses("/for-all", devices["phone"])
    assert len(statements) == 0
    await statuses("/for-all", devices["browser"])
    assert len(statements) == 1


def test_equal_limits_are_equal_whatever_the_key() -> None:
    """So ``dependency_overrides`` reaches them; a misspelt key fails where it is written."""
    auth = Auth(AuthSettings(secret_keys=[SECRET]))

    assert auth.rate_limit("2/minute", key="user") == auth.rate_limit("2/minute", key="user")
    assert auth.rate_limit("2/minute", key="user") != auth.rate_limit("2/minute", key="session")
    assert auth.rate_limit("2/minute", key="address") == auth.rate_limit("2/minute")
    with pytest.raises(ValueError, match="usr"):
        auth.rate_limit("2/minute", key="usr")  # type: ignore[arg-type] # that is the point

"""A limit for a whole application: ``auth.install``, ``AuthMiddleware``, ``RateLimiter.install``."""

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from httpx2 import ASGITransport, AsyncClient, Response
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from piccolo_fastapi_auth import Auth, AuthMiddleware, AuthSettings, RateLimiter
from tests.fixtures import SECRET
from tests.rate_limits.conftest import FrozenClock

Installed = Callable[..., ASGIApp]


def new_auth(clock: FrozenClock, **settings: Any) -> Auth:  # any setting
    return Auth(AuthSettings(secret_keys=[SECRET], **settings), clock=clock)


async def home(request: Request) -> PlainTextResponse:  # noqa: ARG001
    return PlainTextResponse("ok")


def fastapi_app() -> FastAPI:
    app = FastAPI()
    app.add_route("/", home)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    return app


@pytest.fixture(params=["auth.install", "AuthMiddleware", "starlette", "limiter.install"])
def installed(request: pytest.FixtureRequest, clock: FrozenClock) -> Installed:
    """The four ways to say the same."""

    def make(**options: Any) -> ASGIApp:  # of any of the four
        auth, app = new_auth(clock), fastapi_app()
        if request.param == "auth.install":
            app.include_router(auth.router)
            auth.install(app, **options)
        elif request.param == "AuthMiddleware":
            return AuthMiddleware(app, auth=auth, **options)
        elif request.param == "starlette":
            return Starlette(
                routes=[Route("/", home)],
                middleware=[Middleware(AuthMiddleware, auth=auth, **options)],
            )
        else:
            RateLimiter(clock=clock).install(app, **options)
        return app

    return make


async def call(app: ASGIApp, path: str = "/", method: str = "GET", **headers: str) -> Response:
    transport = ASGITransport(app, client=("192.0.2.1", 1))
    async with AsyncClient(transport=transport, base_url="https://app.test") as client:
        return await client.request(method, path, headers=headers)


async def test_a_global_limit_counts_every_request(
    installed: Installed, clock: FrozenClock
) -> None:
    """404s, any path and method, requests without a credential: one counter a caller; it says when to come back."""
    app = installed(rate_limit="4/minute")
    calls = [("/", "GET"), ("/a", "GET"), ("/b", "POST"), ("/?x=1", "HEAD"), ("/c", "GET")]

    found = [await call(app, path, method) for path, method in calls]

    assert [answer.status_code for answer in found] == [200, 404, 404, 405, 429] or [
        answer.status_code for answer in found
    ] == [200, 404, 404, 200, 429]
    assert found[1].headers.get_list("ratelimit") == ['"application";r=2;t=60']
    assert found[4].json()["detail"]["code"] == "rate_limited"
    clock.move(int(found[4].headers["retry-after"]) - 1)
    assert (await call(app)).status_code == 429
    clock.move(1)
    assert (await call(app)).status_code == 200


async def test_the_credential_does_not_matter_to_the_address(installed: Installed) -> None:
    """Good, bad or none: the caller is the address unless the limit says otherwise."""
    app = installed(rate_limit="2/minute")
    headers: list[dict[str, str]] = [{}, {"authorization": "Bearer x"}, {"cookie": "session=x"}]

    assert [(await call(app, **one)).status_code for one in headers] == [200, 200, 429]


async def test_excluded_paths_are_not_counted(installed: Installed) -> None:
    """Exactly these paths, spelt exactly so."""
    app = installed(rate_limit="1/minute", excluded_paths=["/health"])
    paths = ["/health", "/health", "/health/", "/health", "/Health", "//health"]

    found = [(await call(app, path)).status_code for path in paths]

    assert found == [404, 404, 404, 404, 429, 429]


async def test_without_a_rate_nothing_is_counted(installed: Installed) -> None:
    """The middleware is then about headers and CSRF only."""
    app = installed()

    assert {(await call(app)).status_code for _ in range(30)} == {200}


@pytest.mark.parametrize("make", ["auth", "limiter"])
def test_a_websocket_is_refused_with_1013(clock: FrozenClock, make: str) -> None:
    """Before the application sees it; accepted ones are counted like requests."""
    app = fastapi_app()
    if make == "auth":
        new_auth(clock).install(app, rate_limit="2/minute")
    else:
        RateLimiter(clock=clock).install(app, rate_limit="2/minute")
    client = TestClient(app)

    assert client.get("/").status_code == 200
    with client.websocket_connect("/ws"):
        pass
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/ws"):
        pass

    assert refused.value.code == 1013


async def test_limits_of_routes_hold_beside_the_global_one(clock: FrozenClock) -> None:
    """And the response says both."""
    auth, app = new_auth(clock), FastAPI()
    auth.install(app, rate_limit="3/minute")
    limit = Depends(auth.rate_limit("1/minute", bucket="route"))
    app.get("/", dependencies=[limit])(lambda: "ok")

    found = [await call(app) for _ in range(4)]

    assert [answer.status_code for answer in found] == [200, 429, 429, 429]
    assert sorted(found[0].headers.get_list("ratelimit")) == [
        '"application";r=2;t=60',
        '"route";r=0;t=60',
    ]
    assert found[3].headers.get_list("ratelimit") == ['"application";r=0;t=60']


async def test_more_can_be_said_with_a_limit(clock: FrozenClock) -> None:
    """Anything that ``auth.rate_limit`` takes."""
    auth, app = new_auth(clock), FastAPI()
    app.get("/")(lambda: "ok")
    auth.install(app, rate_limit=auth.rate_limit("4/minute", bucket="all", cost=2))

    assert [(await call(app)).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.usefixtures("database")  # a forgery leaves an event
async def test_a_refusal_comes_before_everything_else(clock: FrozenClock) -> None:
    """A forgery is counted, too."""
    auth = new_auth(clock)
    app = AuthMiddleware(fastapi_app(), auth=auth, rate_limit="1/minute")
    forged = {"cookie": "__Host-session=x", "sec-fetch-site": "cross-site"}

    assert [(await call(app, "/", "POST", **forged)).status_code for _ in range(2)] == [403, 429]


def test_a_misspelt_rate_fails_where_it_is_written(clock: FrozenClock) -> None:
    """Not at the first request, when Starlette builds its middleware."""
    auth = new_auth(clock)
    with pytest.raises(ValueError, match="1000/minuet"):
        auth.install(FastAPI(), rate_limit="1000/minuet")
    with pytest.raises(ValueError, match="1000/minuet"):
        AuthMiddleware(FastAPI(), auth=auth, rate_limit="1000/minuet")
    with pytest.raises(ValueError, match="1000/minuet"):
        RateLimiter().install(FastAPI(), rate_limit="1000/minuet")


async def test_installing_twice_counts_once_and_loses_no_limit(clock: FrozenClock) -> None:
    """The same again is harmless; something else is an error, not a limit that is silently lost."""
    auth, app = new_auth(clock), fastapi_app()
    for _ in range(2):
        auth.install(app, rate_limit="2/minute")

    assert [(await call(app)).status_code for _ in range(3)] == [200, 200, 429]
    with pytest.raises(ValueError, match="install"):
        auth.install(app, rate_limit="3/minute")
    other = fastapi_app()
    auth.install(other)
    with pytest.raises(ValueError, match="install"):
        auth.install(other, rate_limit="2/minute")


async def test_the_settings_say_how_limits_behave(clock: FrozenClock) -> None:
    """Strategy and headers of ``auth.rate_limit`` come from the settings."""
    auth = new_auth(
        clock,
        rate_limit_strategy="fixed-window",
        rate_limit_headers=False,
        rate_limit_slowapi_headers=True,
    )
    app = fastapi_app()
    auth.install(app, rate_limit="1/minute")

    first = await call(app)
    clock.move(60)  # a sliding window would still weigh the last one
    second, refused = await call(app), await call(app)

    assert [first.status_code, second.status_code, refused.status_code] == [200, 200, 429]
    assert "ratelimit" not in first.headers
    assert first.headers["x-ratelimit-limit"] == "1"


@pytest.mark.parametrize(
    ("settings", "argument", "status"),
    [({}, None, 200), ({"rate_limit_on_store_failure": "deny"}, None, 503), ({}, "deny", 503)],
)
async def test_the_answer_to_a_store_that_is_down_can_be_chosen(
    clock: FrozenClock, settings: dict[str, Any], argument: Any, status: int
) -> None:
    """For all limits in the settings, for one as an argument."""
    auth = new_auth(clock, rate_limit_storage="redis://127.0.0.1:1", **settings)
    app = FastAPI()
    limit = auth.rate_limit("1/minute", on_store_failure=argument)
    app.get("/", dependencies=[Depends(limit)])(lambda: "ok")

    assert (await call(app)).status_code == status


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"login_limit_per_ip": "20/minuet"}, "20/minuet"),
        ({"login_limit_per_account": "5 per"}, "5 per"),
        ({"login_limit_per_account": "0/minute"}, "0/minute"),
        ({"rate_limit_storage": "memcached://127.0.0.1"}, "memcached"),
        ({"rate_limit_storage": "redis+sentinel://127.0.0.1:1"}, "service_name"),
        ({"rate_limit_strategy": "leaky-bucket"}, "rate_limit_strategy"),
        ({"rate_limit_on_store_failure": "ignore"}, "rate_limit_on_store_failure"),
    ],
)
def test_a_mistake_in_the_settings_fails_at_construction(
    clock: FrozenClock, settings: dict[str, str], message: str
) -> None:
    """No limit is lost silently."""
    with pytest.raises(Exception, match=message):
        new_auth(clock, **settings)


@pytest.mark.parametrize(
    "uri",
    [
        "redis://:hunter2@127.0.0.1:port",
        "memcached://:hunter2@127.0.0.1",
        "redis+sentinel://:hunter2@127.0.0.1:1",
        "redis+cluster://:hunter2@127.0.0.1:x",
    ],
)
def test_the_mistake_does_not_show_the_password_of_the_store(clock: FrozenClock, uri: str) -> None:
    """Rule 2: the address of a store may hold one."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is looked at below
        new_auth(clock, rate_limit_storage=uri)

    assert "hunter2" not in "".join(traceback.format_exception(refused.value))

"""A limit on a route, a router, an application; on HTTP and WebSocket; with its headers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import PlainTextResponse
from httpx2 import ASGITransport, AsyncClient, Response
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from piccolo_fastapi_auth.errors import RateLimitedError
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.rate_limits.middleware import RateLimitMiddleware
from piccolo_fastapi_auth.rate_limits.windows import STRATEGIES, Strategy
from tests.rate_limits.conftest import FrozenClock, ValkeyServer


@pytest.fixture
def limiter(clock: FrozenClock) -> RateLimiter:
    return RateLimiter(clock=clock)


async def get(app: object, path: str = "/", address: str = "192.0.2.1", **headers: str) -> Response:
    transport = ASGITransport(app, client=(address, 1))  # type: ignore[arg-type]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path, headers=named)


async def statuses(app: object, *paths: str, **headers: str) -> list[int]:
    return [(await get(app, path, **headers)).status_code for path in paths]


async def endpoint() -> str:
    return "ok"


async def other() -> str:
    return "ok"


def app_with(*limits: object) -> FastAPI:
    app = FastAPI()
    app.get("/", dependencies=[Depends(limit) for limit in limits])(endpoint)  # type: ignore[arg-type]
    return app


async def test_too_many_requests_are_refused(limiter: RateLimiter) -> None:
    """RLH-1: the status, the body and the header."""
    app = app_with(limiter.limit("2/minute"))

    assert await statuses(app, "/", "/", "/") == [200, 200, 429]
    refused = await get(app)
    assert refused.headers["retry-after"] == "60"
    assert refused.json()["detail"]["code"] == "rate_limited"


async def test_callers_do_not_share_a_limit(limiter: RateLimiter) -> None:
    """Each address has its own counter."""
    app = app_with(limiter.limit("1/minute"))

    assert (await get(app, address="192.0.2.1")).status_code == 200
    assert (await get(app, address="192.0.2.2")).status_code == 200
    assert (await get(app, address="192.0.2.1")).status_code == 429


async def test_a_hundred_forged_addresses_are_one_caller(limiter: RateLimiter) -> None:
    """NET-1."""
    app = app_with(limiter.limit("5/minute"))
    names = ("x_forwarded_for", "forwarded", "x_real_ip")

    found = [
        (
            await get(
                app, "/", **{name: f"for=192.0.2.{i}" if name == "forwarded" else f"192.0.2.{i}"}
            )
        )
        for i in range(34)
        for name in names
    ]

    assert sum(response.status_code == 200 for response in found) == 5


async def test_behind_a_trusted_proxy_callers_are_told_apart(clock: FrozenClock) -> None:
    """NET-1."""
    app = app_with(RateLimiter(clock=clock, trusted_proxies=["192.0.2.1"]).limit("1/minute"))

    assert await statuses(app, "/", "/", x_forwarded_for="198.51.100.1") == [200, 429]
    assert await statuses(app, "/", x_forwarded_for="198.51.100.2") == [200]


async def test_included_routers_are_limited(limiter: RateLimiter) -> None:
    """Slowapi's middleware skips every included router on FastAPI >= 0.137."""
    app, inner, outer = (
        FastAPI(),
        APIRouter(),
        APIRouter(dependencies=[Depends(limiter.limit("2/minute"))]),
    )
    inner.get("/x")(endpoint)
    outer.include_router(inner, prefix="/inner")
    app.include_router(outer, prefix="/outer")

    assert await statuses(app, *["/outer/inner/x"] * 3) == [200, 200, 429]


async def test_limits_of_application_router_and_route_all_hold(limiter: RateLimiter) -> None:
    """Stacked limits are each enforced: slowapi loses all but one."""
    app = FastAPI(dependencies=[Depends(limiter.limit("6/minute", bucket="app"))])
    router = APIRouter(dependencies=[Depends(limiter.limit("4/minute", bucket="router"))])
    router.get("/a", dependencies=[Depends(limiter.limit("2/minute"))])(endpoint)
    router.get("/b")(other)
    app.include_router(router)

    assert await statuses(app, "/a", "/a", "/a") == [200, 200, 429]
    assert await statuses(app, "/b", "/b") == [200, 429]


async def test_a_limit_asked_for_twice_counts_once(limiter: RateLimiter) -> None:
    """Equal limits are equal dependencies."""
    assert limiter.limit("2/minute") == limiter.limit("2/minute")
    assert len({limiter.limit("2/minute", bucket="b"), limiter.limit("2/minute", bucket="b")}) == 1
    assert limiter.limit("2/minute") != limiter.limit("3/minute")
    assert limiter.limit("2/minute") != RateLimiter().limit("2/minute")

    app = app_with(limiter.limit("2/minute"), limiter.limit("2/minute"))

    assert await statuses(app, "/", "/", "/") == [200, 200, 429]


async def test_a_limit_can_be_overridden_in_tests(limiter: RateLimiter) -> None:
    """``dependency_overrides`` reaches it by an equal one."""
    app = app_with(limiter.limit("1/minute"))
    app.dependency_overrides[limiter.limit("1/minute")] = lambda: None

    assert await statuses(app, "/", "/", "/") == [200, 200, 200]


async def test_each_endpoint_has_its_own_counter_whatever_the_url(limiter: RateLimiter) -> None:
    """A caller can vary the URL; it is not in the counter's name."""
    app = FastAPI(dependencies=[Depends(limiter.limit("2/minute"))])
    app.get("/items/{item}")(endpoint)
    app.get("/other")(other)

    assert await statuses(app, "/items/1", "/items/2", "/items/3?x=1") == [200, 200, 429]
    assert await statuses(app, "/other") == [200]


async def test_a_bucket_is_shared(limiter: RateLimiter) -> None:
    """Routes with one bucket have one counter."""
    app = FastAPI()
    for path, function in (("/a", endpoint), ("/b", other)):
        app.get(path, dependencies=[Depends(limiter.limit("2/minute", bucket="both"))])(function)

    assert await statuses(app, "/a", "/b", "/a") == [200, 200, 429]


def api_key(connection: HTTPConnection) -> str | None:
    return connection.headers.get("x-api-key")


async def slow_api_key(connection: HTTPConnection) -> str | None:
    return connection.headers.get("x-api-key")


@pytest.mark.parametrize("key", [api_key, slow_api_key])
async def test_callers_can_be_named_by_a_function(
    limiter: RateLimiter, key: Callable[[HTTPConnection], str | None]
) -> None:
    """Sync or async; without a name it is the address, never no limit."""
    app = app_with(limiter.limit("1/minute", key=key))

    assert await statuses(app, "/", "/", x_api_key="a") == [200, 429]
    assert await statuses(app, "/", "/", x_api_key="b") == [200, 429]
    assert await statuses(app, "/", "/") == [200, 429]
    assert await statuses(app, "/", x_api_key="") == [429]


async def test_a_request_can_cost_more(limiter: RateLimiter) -> None:
    """A number, or a function of the request."""

    async def cost(connection: HTTPConnection) -> int:
        return int(connection.query_params["n"])

    app = app_with(limiter.limit("5/minute", cost=cost))
    assert await statuses(app, "/?n=4", "/?n=2", "/?n=1", "/?n=6") == [200, 429, 200, 429]
    assert await statuses(app_with(limiter.limit("5/minute", bucket="x", cost=3)), "/", "/") == [
        200,
        429,
    ]


@pytest.mark.parametrize(
    "arguments", [{"cost": 6}, {"cost": -1}, {"bucket": 'a"b'}, {"bucket": "ü"}]
)
def test_what_can_never_work_fails_where_it_is_written(
    limiter: RateLimiter, arguments: dict[str, int]
) -> None:
    """At start-up, not at the first request."""
    with pytest.raises(ValueError, match=r"cost|bucket"):
        limiter.limit("5/minute", **arguments)  # type: ignore[arg-type]


async def test_every_limited_response_says_what_is_left(
    limiter: RateLimiter, clock: FrozenClock
) -> None:
    """RLH-1: policy and state, as structured fields."""
    app = app_with(limiter.limit("2/minute;10/hour", bucket="login"))

    first = await get(app)
    clock.move(18)
    await get(app)
    refused = await get(app)

    assert first.headers["ratelimit-policy"] == '"login-60s";q=2;w=60, "login-3600s";q=10;w=3600'
    assert first.headers["ratelimit"] == '"login-60s";r=1;t=60, "login-3600s";r=9;t=3600'
    assert refused.headers["ratelimit"] == '"login-60s";r=0;t=42, "login-3600s";r=8;t=3582'
    assert refused.headers["retry-after"] == "42"
    assert "x-ratelimit-limit" not in first.headers


async def test_headers_can_be_switched(clock: FrozenClock) -> None:
    """The draft's off, slowapi's on; ``Retry-After`` always."""
    app = app_with(RateLimiter(clock=clock, headers=False, slowapi_headers=True).limit("1/minute"))

    allowed, refused = await get(app), await get(app)

    assert "ratelimit" not in allowed.headers
    assert allowed.headers["x-ratelimit-limit"] == "1"
    assert allowed.headers["x-ratelimit-remaining"] == "0"
    assert allowed.headers["x-ratelimit-reset"] == str(int(clock().timestamp()) + 60)
    assert refused.headers["retry-after"] == "60"


async def test_the_program_s_inside_is_not_in_the_headers(limiter: RateLimiter) -> None:
    """The default bucket is a function's name: nobody's business."""
    response = await get(app_with(limiter.limit("2/minute")))

    assert response.headers["ratelimit-policy"] == '"2-per-60s";q=2;w=60'


async def test_with_the_middleware_an_error_carries_the_headers_too(limiter: RateLimiter) -> None:
    """RLH-1: FastAPI drops an injected response's headers when the endpoint raises or answers itself."""
    app = FastAPI()
    limit = Depends(limiter.limit("5/minute", bucket="b"))
    app.add_middleware(RateLimitMiddleware)

    @app.get("/raises", dependencies=[limit])
    async def raises() -> None:
        raise HTTPException(418)

    @app.get("/own", dependencies=[limit])
    async def own() -> PlainTextResponse:
        return PlainTextResponse("own", headers={"Vary": "Accept"})

    @app.get("/injected", dependencies=[limit])
    async def injected() -> str:
        return "ok"

    for path, left in (("/raises", 4), ("/own", 3), ("/injected", 2)):
        found = (await get(app, path)).headers.get_list("ratelimit")
        assert found == [f'"b";r={left};t=60']


def websocket_app(*limits: object) -> FastAPI:
    app = FastAPI(dependencies=[Depends(limit) for limit in limits])  # type: ignore[arg-type]
    router = APIRouter()

    @router.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    app.include_router(router)
    return app


def test_a_websocket_is_refused_with_1013(limiter: RateLimiter) -> None:
    """The code that says: try again later."""
    client = TestClient(websocket_app(limiter.limit("1/minute")))

    with client.websocket_connect("/ws") as session:
        assert session.receive_text() == "hello"
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/ws"):
        pass

    assert refused.value.code == 1013


def test_a_websocket_is_refused_with_1013_by_the_middleware(limiter: RateLimiter) -> None:
    """Before it is accepted."""
    app = RateLimitMiddleware(websocket_app(), limit=limiter.limit("1/minute", bucket="global"))
    client = TestClient(app)

    with client.websocket_connect("/ws"):
        pass
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/ws"):
        pass

    assert refused.value.code == 1013


async def test_a_global_limit_counts_what_no_route_sees(limiter: RateLimiter) -> None:
    """404s, any path, any method."""
    app = RateLimitMiddleware(FastAPI(), limit=limiter.limit("3/minute", bucket="global"))

    assert await statuses(app, "/a", "/b", "/docs", "/c") == [404, 404, 200, 429]
    refused = await get(app, "/d")
    assert refused.json()["detail"]["code"] == "rate_limited"
    assert refused.headers["retry-after"] == "60"
    assert refused.headers.get_list("ratelimit") == ['"global";r=0;t=60']


async def test_a_global_limit_has_its_exceptions(limiter: RateLimiter) -> None:
    """Health checks, for one; by exact path."""
    limit = limiter.limit("1/minute", bucket="global")
    app = RateLimitMiddleware(FastAPI(), limit=limit, excluded_paths=["/health"])

    assert await statuses(app, "/health", "/health", "/health/", "/healthy") == [404, 404, 404, 429]


def test_a_global_limit_works_on_starlette_and_leaves_the_lifespan_alone(
    limiter: RateLimiter,
) -> None:
    """Any ASGI application."""
    started: list[str] = []

    async def home(request: Request) -> PlainTextResponse:  # noqa: ARG001
        return PlainTextResponse("ok")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001
        started.append("yes")
        yield

    inner = Starlette(routes=[Route("/", home)], lifespan=lifespan)
    app = RateLimitMiddleware(inner, limit=limiter.limit("1/minute", bucket="global"))

    with TestClient(app) as client:
        found = [client.get("/") for _ in range(2)]

    assert started == ["yes"]
    assert [response.status_code for response in found] == [200, 429]
    assert found[0].headers["ratelimit"] == '"global";r=0;t=60'


def shared_app(limiter: RateLimiter) -> FastAPI:
    app = FastAPI()
    app.state.limiter = old = Limiter(**limiter.slowapi_options(), headers_enabled=True)
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]

    @app.get("/old")
    @old.shared_limit("4/minute", scope="both")
    async def old_style(request: Request, response: PlainTextResponse) -> str:  # noqa: ARG001
        return "ok"

    @app.get("/old-sync")
    @old.shared_limit("4/minute", scope="both")
    def old_style_sync(request: Request) -> PlainTextResponse:  # noqa: ARG001
        return PlainTextResponse("ok")

    new = Depends(limiter.limit("4/minute", bucket="both"))
    app.get("/new", dependencies=[new])(endpoint)
    return app


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
async def test_decorated_slowapi_routes_count_in_the_same_place(
    limiter: RateLimiter, address: str
) -> None:
    """An application can move route by route."""
    app = shared_app(limiter)
    paths = ["/old-sync", "/new", "/old-sync", "/new", "/old-sync", "/new"]

    found = [(await get(app, path, address)).status_code for path in paths]

    assert found == [200, 200, 200, 200, 429, 429]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("scheme", ["valkey", "redis"])
async def test_decorated_slowapi_routes_count_in_the_same_server(
    valkey_server: ValkeyServer, strategy: Strategy, scheme: str
) -> None:
    """As in memory: one counter, whichever strategy; and slowapi's handler answers for both."""
    limiter = RateLimiter(valkey_server.uri.replace("valkey", scheme), strategy=strategy)
    app = shared_app(limiter)

    found = [await get(app, path) for path in ["/old-sync", "/new"] * 3]

    assert [answer.status_code for answer in found] == [200, 200, 200, 200, 429, 429]
    assert all(answer.json()["error"].startswith("Rate limit exceeded") for answer in found[4:])
    await limiter.aclose()


@pytest.mark.parametrize("headers", [True, False])
async def test_an_existing_slowapi_handler_gets_our_refusals(
    clock: FrozenClock, *, headers: bool
) -> None:
    """RLH-1: the application's own 429 page stays, and says when to come back though its handler does not."""
    limiter = RateLimiter(clock=clock, headers=headers)
    app = shared_app(limiter)
    limiter.install(app)

    responses = [await get(app, "/new") for _ in range(5)]

    assert responses[-1].status_code == 429
    assert responses[-1].json()["error"].startswith("Rate limit exceeded")
    assert responses[-1].headers["retry-after"] == "60"


async def test_a_handler_can_read_which_limit_it_was(limiter: RateLimiter) -> None:
    """``exc.limit`` is slowapi's own kind."""
    app = app_with(limiter.limit("1/minute;5/hour"))
    seen: list[RateLimitExceeded] = []

    async def handler(request: Request, exc: Exception) -> PlainTextResponse:  # noqa: ARG001
        assert isinstance(exc, RateLimitedError)
        seen.append(exc)
        return PlainTextResponse(f"{exc.limit and exc.limit.limit}", 429)

    app.add_exception_handler(RateLimitExceeded, handler)

    assert [(await get(app)).text for _ in range(2)] == ['"ok"', "1 per 1 minute"]


async def test_a_hidden_dependency_still_limits(limiter: RateLimiter) -> None:
    """As ``Annotated`` it may stand in a signature as well."""
    app = FastAPI()
    limit = limiter.limit("1/minute")

    @app.get("/")
    async def annotated(_: Annotated[None, Depends(limit)]) -> str:
        return "ok"

    assert await statuses(app, "/", "/") == [200, 429]


async def test_429_is_in_the_openapi_document_with_its_headers(limiter: RateLimiter) -> None:
    """On each operation that a limit can refuse, by route, router or application; and on no other."""
    app, router = FastAPI(), APIRouter(dependencies=[Depends(limiter.limit("5/minute"))])
    router.get("/items/{item}")(endpoint)
    inner = APIRouter()
    inner.post("/deep", responses={429: {"description": "My own words."}})(other)
    router.include_router(inner, prefix="/inner")
    app.include_router(router, prefix="/api")
    app.get("/free")(endpoint)
    app.get("/limited", dependencies=[Depends(limiter.limit("1/minute"))])(endpoint)
    app.post("/limited")(other)
    limiter.install(app)

    paths = (await get(app, "/openapi.json")).json()["paths"]

    found = {
        f"{method} {path}": operation["responses"].get("429", {})
        for path, item in paths.items()
        for method, operation in item.items()
    }
    assert {name for name, answer in found.items() if answer} == {
        "get /api/items/{item}", "post /api/inner/deep", "get /limited",
    }  # fmt: skip
    assert set(found["get /limited"]["headers"]) == {"Retry-After", "RateLimit-Policy", "RateLimit"}
    assert found["post /api/inner/deep"]["description"] == "My own words."


async def test_with_a_global_limit_every_operation_can_be_refused(clock: FrozenClock) -> None:
    """But the excluded paths; the headers are those that are really sent."""
    limiter = RateLimiter(clock=clock, headers=False, slowapi_headers=True)
    app = FastAPI()
    app.get("/health")(endpoint)
    app.get("/")(other)
    limiter.install(app, rate_limit="4/minute", excluded_paths=["/health"])

    paths = (await get(app, "/openapi.json")).json()["paths"]

    assert "429" not in paths["/health"]["get"]["responses"]
    declared = set(paths["/"]["get"]["responses"]["429"]["headers"])
    refused = [await get(app) for _ in range(4)][-1]
    sent = {name for name in refused.headers if "ratelimit" in name or name == "retry-after"}
    assert {name.lower() for name in declared} == sent

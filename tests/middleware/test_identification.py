"""``AuthMiddleware`` in front of any ASGI application: who it is, and no strangers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient
from piccolo.columns import Varchar
from piccolo.engine.base import Engine
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from piccolo_fastapi_auth import Auth, AuthMiddleware, AuthSettings, AuthUser, User
from piccolo_fastapi_auth.testing import fast_hasher
from tests.api_keys.helpers import by_header, key_of
from tests.fixtures import ORIGIN, SECRET, Person, bearer, code_of, get_tokens, log_in
from tests.statements import Statements

COOKIE: Final = "__Host-session"
SERVICE: Final = "a-static-token-of-good-length-0123456789"
ASKING: Final = {"origin": "https://other.test", "access-control-request-method": "GET"}


async def who(request: Request) -> JSONResponse:
    """Tell who asks, as Starlette knows it."""
    user = request.user
    shown = [user.is_authenticated, user.display_name, *sorted(request.auth.scopes)]
    return JSONResponse([*shown, user.identity] if user.is_authenticated else shown)


@requires("posts:read")
async def posts(request: Request) -> JSONResponse:
    return JSONResponse(request.user.username)


@requires(["authenticated", "posts:write"], status_code=403)
async def write(request: Request) -> JSONResponse:
    return JSONResponse(["written", request.user.username])


@requires("authenticated", redirect="open")
async def home(request: Request) -> JSONResponse:
    return JSONResponse(["home", request.user.username])


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.user.display_name)
    await websocket.close()


def site(auth: Auth[User], **options: Any) -> AuthMiddleware:  # of AuthMiddleware
    """A Starlette application of one's own behind it."""
    any_method = ["GET", "POST", "OPTIONS"]
    routes = [
        Route("/who", who, methods=any_method),
        Route("/posts", posts),
        Route("/write", write),
        Route("/home", home),
        Route("/open", who, methods=any_method, name="open"),
        WebSocketRoute("/ws", socket),
        WebSocketRoute("/open/ws", socket),
    ]
    return AuthMiddleware(Starlette(routes=routes), auth=auth, **options)


def browser(app: ASGIApp, cookie: str | None = None) -> AsyncClient:
    """Somebody with this cookie."""
    cookies = {COOKIE: cookie} if cookie else {}
    return AsyncClient(transport=ASGITransport(app), base_url=ORIGIN, cookies=cookies)


@pytest.fixture
def settings_changes() -> dict[str, Any]:
    """One service, which may read."""
    return {"static_tokens": {"billing": {"token": SERVICE, "scopes": ["posts:read"]}}}


@pytest.fixture
async def cookie(client: AsyncClient, alice: Person) -> str:
    """The session of somebody who is logged in."""
    return str((await log_in(client, alice)).cookies[COOKIE])


async def test_every_credential_makes_a_user(
    auth: Auth[User], client: AsyncClient, alice: Person, cookie: str
) -> None:
    """Cookie, token, API key and static token: ``request.user``, ``request.auth`` and ``@requires``."""
    client.cookies.clear()
    tokens, key = await get_tokens(client, alice), await key_of(client, alice)
    page = browser(site(auth, on_unauthenticated="refuse"))
    hers = [True, "alice", "authenticated", "posts:read", str(alice.id)]
    for headers in (
        {"cookie": f"{COOKIE}={cookie}"}, bearer(tokens), by_header(key), {"authorization": f"Bearer {key}"},
    ):  # fmt: skip
        assert (await page.get("/who", headers=headers)).json() == hers
        assert (await page.get("/posts", headers=headers)).json() == "alice"
        assert (await page.get("/write", headers=headers)).status_code == 403
    service = await page.get("/who", headers=by_header(SERVICE))
    assert service.json() == [True, "billing", "authenticated", "posts:read", "billing"]


async def test_strangers_are_refused_in_our_words(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """ERR-1, CCH-1: the same 401 as the guards'; deactivation holds on the very next request."""
    tokens = await get_tokens(client, alice)
    page = browser(site(auth, excluded_paths=["/open"]))
    for headers, code in (
        ({}, "not_authenticated"),
        ({"authorization": "Bearer x"}, "invalid_token"),
        ({"cookie": f"{COOKIE}={'A' * 43}"}, "session_expired"),
        ({"x-api-key": "pfa_x"}, "invalid_token"),
    ):
        for path in ("/who", "/posts", "/nowhere"):
            refused = await page.get(path, headers=headers)
            assert (refused.status_code, code_of(refused)) == (401, code)
            assert refused.headers["www-authenticate"].startswith("Bearer realm=")
            assert refused.headers["cache-control"] == "no-store"
            assert "Authorization" in refused.headers["vary"]
        assert (await page.get("/open", headers=headers)).json() == [False, ""]
    assert (await page.get("/who", headers=bearer(tokens))).status_code == 200
    await User.update({User.active: False}).where(User.id == alice.id)
    assert (await page.get("/who", headers=bearer(tokens))).status_code == 401


async def test_strangers_may_be_let_in_as_nobody(auth: Auth[User], cookie: str) -> None:
    """``"pass"``, and by default: ``@requires`` decides; a bad credential makes nobody of its bearer."""
    for options in ({"on_unauthenticated": "pass"}, {}, {"rate_limit": "100/minute"}):
        page = browser(site(auth, **options))
        for headers in ({}, {"authorization": "Bearer x"}, {"cookie": f"{COOKIE}={'A' * 43}"}):
            assert (await page.get("/who", headers=headers)).json() == [False, ""]
            assert (await page.get("/write", headers=headers)).status_code == 403
            assert (await page.get("/home", headers=headers)).headers["location"].endswith("/open?next=https%3A%2F%2Fapp.test%2Fhome")  # fmt: skip
        assert (await browser(site(auth, **options), cookie).get("/home")).json() == [
            "home",
            "alice",
        ]


async def test_only_a_missing_log_in_is_answered_by_the_application(
    auth: Auth[User], cookie: str
) -> None:
    """A page with a log-in form does not stand for 403 and 503."""
    app = site(auth, on_unauthenticated=lambda *_: RedirectResponse("/log-in"))
    foreign = {"origin": "https://evil.test"}
    assert (await browser(app).get("/who")).headers["location"] == "/log-in"
    assert code_of(await browser(app, cookie).post("/who", headers=foreign)) == "csrf_failed"
    await User.raw("ALTER TABLE auth_session RENAME TO gone")
    for other in (app, site(auth, on_unauthenticated="pass")):
        broken = await browser(other, cookie).get("/who")
        assert (broken.status_code, code_of(broken)) == (503, "temporarily_unavailable")
        assert int(broken.headers["retry-after"]) >= 1


async def test_a_foreign_page_cannot_write(auth: Auth[User], cookie: str) -> None:
    """CSR-1: with a cookie, on excluded paths too; a token is never sent by itself."""
    app = site(auth, excluded_paths=["/open"])
    for path in ("/who", "/open"):
        for headers in ({"origin": "https://evil.test"}, {"sec-fetch-site": "cross-site"}):
            refused = await browser(app, cookie).post(path, headers=headers)
            assert (refused.status_code, code_of(refused)) == (403, "csrf_failed")
        assert (await browser(app, cookie).post(path, headers={"origin": ORIGIN})).status_code == 200  # fmt: skip


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # TestClient has its own loop
async def test_sockets_of_strangers_are_closed(auth: Auth[User], cookie: str) -> None:
    """With 1008, before they open; a cookie needs an ``Origin`` of ours; excluded ones are open."""
    client = TestClient(site(auth, excluded_paths=["/open/*"]), base_url=ORIGIN)
    good = {"cookie": f"{COOKIE}={cookie}", "origin": ORIGIN}
    with client.websocket_connect("wss://app.test/ws", headers=good) as opened:
        assert opened.receive_text() == "alice"
    for headers in ({}, {**good, "origin": "https://evil.test"}, {"authorization": "Bearer x"}):
        with (
            pytest.raises(WebSocketDisconnect) as closed,
            client.websocket_connect("wss://app.test/ws", headers=headers),
        ):
            pass
        assert closed.value.code == 1008
        with client.websocket_connect("wss://app.test/open/ws", headers=headers) as opened:
            assert opened.receive_text() == ""


async def test_a_preflight_passes_without_giving_anything_away(auth: Auth[User]) -> None:
    """CORS works behind it; an endpoint that answers OPTIONS like GET does not give its page away."""
    inner = site(auth, on_unauthenticated="refuse")
    page = await browser(inner).options("/who", headers=ASKING)
    assert (page.status_code, page.content, page.headers["content-length"]) == (200, b"", "0")
    assert (await browser(inner).options("/who")).status_code == 401
    assert (await browser(inner).options("/who", headers={"origin": ORIGIN})).status_code == 401
    assert (await browser(inner).get("/who", headers=ASKING)).status_code == 401
    for more in (
        {"x-http-method-override": "GET"},
        {"content-type": "text/plain"},
        {"content-length": "2"},
    ):
        assert (await browser(inner).options("/who", headers={**ASKING, **more})).status_code == 401
    cors = CORSMiddleware(Starlette(), allow_origins=["https://other.test"])
    behind = AuthMiddleware(cors, auth=auth, on_unauthenticated="refuse")
    answer = await browser(behind).options("/", headers=ASKING)
    assert answer.headers["access-control-allow-origin"] == "https://other.test"


async def test_lifespan_reaches_the_application(auth: Auth[User]) -> None:
    """Start and end are nobody's requests."""
    told: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        told.append("start")
        yield
        told.append("end")

    app = AuthMiddleware(Starlette(lifespan=lifespan), auth=auth, on_unauthenticated="refuse")
    with TestClient(app):
        assert told == ["start"]
    assert told == ["start", "end"]


@pytest.mark.parametrize("place", ["outside", "inside"])
async def test_guards_behind_it_ask_nothing_again(
    auth: Auth[User], statements: Statements, cookie: str, place: str
) -> None:
    """One query, whoever asks first; a limit by person in front of it as well."""
    app = FastAPI()
    if place == "inside":
        auth.install(app, rate_limit=auth.rate_limit("9/minute", key="user"))
    else:
        app.add_middleware(AuthMiddleware, auth=auth, excluded_paths=["/auth/*"])

    @app.get("/user")
    async def user(request: Request, user: Annotated[User, Depends(auth.current_user)]) -> bool:
        return place == "inside" or request.user is user

    statements.clear()
    assert (await browser(app, cookie).get("/user")).json() is True
    assert len(statements) == 1


async def test_a_person_who_must_enrol_enters_nowhere_else(auth: Auth[User], cookie: str) -> None:
    """MFA-1: the policy of ``auth.current_user`` is this one's."""
    settings = AuthSettings(secret_keys=[SECRET], require_mfa="everyone")
    demanding = Auth(settings, clock=auth.clock, hasher=fast_hasher())
    strict = site(demanding, on_unauthenticated="refuse")
    refused = await browser(strict, cookie).get("/who")
    assert (refused.status_code, code_of(refused)) == (403, "mfa_enrolment_required")
    assert (await browser(site(demanding), cookie).get("/who")).json() == [False, ""]


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # no query
async def test_a_column_of_ones_own_wins_over_starlettes_name(database: Engine[Any]) -> None:
    """A user table may have ``display_name`` or ``identity`` as a column."""

    class Member(AuthUser, tablename="member", db=database):
        display_name = Varchar()
        identity = Varchar()

    member = Member(username="al", display_name="Al", identity="A-1")
    assert (member.display_name, member.identity, User(id=3).identity) == ("Al", "A-1", "3")

"""AUZ-1: excluded paths of ``AuthMiddleware`` open nothing but themselves, however a path is spelt."""

import posixpath
import re
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import unquote, unquote_to_bytes

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from piccolo_fastapi_auth import Auth, AuthMiddleware, AuthSettings
from piccolo_fastapi_auth.primitives.path_patterns import PathPatterns
from tests.fixtures import SECRET

PAGE: Final = b"the protected page"
OPEN: Final = ["/", "/health", "/log-in", "/public/*", "/adm/*"]
SPELLINGS: Final = [
    "/admin", "/admin/", "/admin/.", "//admin", "///admin//", "/./admin", "/%61dmin", "/%2561dmin", "/ADMIN", "/Admin",
    "/admin;x=1", "/;x/admin", "/admin%2f", "/%2fadmin", "/admin%00", "/%00admin", "/admin%20", "/admin%09", "/\\admin",
    "/%5cadmin", "/ａｄｍｉｎ", "/%EF%BC%8Fadmin", "/admin.", "/admin%3fx", "/admin%23", "/public/../admin",
    "/public/%2e%2e/admin", "/public/..%2fadmin", "/public%2f..%2fadmin", "/public/..;/admin", "/public/..;x=1/admin",
    "/public/..\\admin", "/public/%5c..%5cadmin", "/public/%252e%252e/admin", "/public//../admin", "/public/./../admin",
    "/public/x/../../admin", "/health/../admin", "/health;/../admin", "/health%00/../admin", "/public/%00/../admin",
    "/public/.. /admin", "/public/..%20/admin", "/public/%EF%BC%8E%EF%BC%8E/admin", "/public/%c0%ae%c0%ae/admin",
    "/public%c0%af..%c0%afadmin", "/log-in/..%2Fadmin", "/PUBLIC/../admin", "/public/" + "x/" * 1500 + "../" * 1501 + "admin",
    "/" + "a" * 5000 + "/../admin", "/?/../admin", "/public/%3f/../../admin", "/adm/../admin", "/public/%2e%2e%2fadmin%2f.",
]  # fmt: skip
PLAIN: Final = ["/", "/health", "/log-in", "/public/", "/public/a.css", "/public/a%20b/%C3%BC.png"]


async def page(_: Request) -> PlainTextResponse:
    return PlainTextResponse(PAGE.decode())


async def open_page(_: Request) -> PlainTextResponse:
    return PlainTextResponse("open")


def starlette_app(**options: Any) -> ASGIApp:  # of AuthMiddleware
    routes = [Route("/admin", page), Route("/{rest:path}", open_page)]
    return Starlette(routes=routes, middleware=[Middleware(AuthMiddleware, **options)])


def fastapi_app(**options: Any) -> ASGIApp:  # as above
    app = FastAPI()
    app.add_middleware(AuthMiddleware, **options)
    app.add_api_route("/admin", lambda: PlainTextResponse(PAGE.decode()))
    app.add_api_route("/{rest:path}", lambda: "open")
    return app


async def lax_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read a path as the laxest server there could be: it decodes again and again, and normalises everything."""
    raw, before = scope["raw_path"], b""
    while raw != before:
        before, raw = raw, unquote_to_bytes(raw)
    text = raw.replace(b"\xc0\xae", b".").replace(b"\xc0\xaf", b"/").decode(errors="ignore")
    text = unicodedata.normalize("NFKC", text).replace("\\", "/").casefold()
    text = re.sub(r";[^/]*|[\x00-\x20]|[?#].*$", "", text).removeprefix("/api").removeprefix("/sub")
    first = posixpath.normpath("/" + text).lstrip("/").split("/")[0].rstrip(".")
    respond = page if first == "admin" else open_page
    await (await respond(Request(scope, receive)))(scope, receive, send)


def lax(**options: Any) -> ASGIApp:  # as above
    return AuthMiddleware(lax_app, **options)


def bare(app: ASGIApp) -> tuple[ASGIApp, str, str]:
    """The application at the root."""
    return app, "", ""


def mounted(app: ASGIApp) -> tuple[ASGIApp, str, str]:
    """Inside another one."""
    return Starlette(routes=[Mount("/sub", app)]), "/sub", ""


def under_root_path(app: ASGIApp) -> tuple[ASGIApp, str, str]:
    """Behind a server that says ``root_path`` and leaves it in the path."""
    return app, "/api", "/api"


def behind_stripping(app: ASGIApp) -> tuple[ASGIApp, str, str]:
    """Behind a proxy that takes the prefix away."""
    return app, "", "/api"


@pytest.fixture(scope="module")
def auth() -> Auth:
    """No database: no credential comes."""
    return Auth(AuthSettings(secret_keys=[SECRET]))


async def get(app: ASGIApp, target: str, *, prefix: str = "", root_path: str = "") -> list[Message]:
    """Send a path as it stands; no client may tidy it up."""
    raw = (prefix + target).encode()
    scope: Scope = {
        "type": "http", "method": "GET", "path": unquote(raw.decode(), errors="replace"), "raw_path": raw, "root_path": root_path,
        "query_string": b"", "headers": [], "scheme": "https", "server": ("app.test", 443), "client": ("192.0.2.1", 1),
    }  # fmt: skip
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def shows_the_page(sent: list[Message]) -> bool:
    return any(PAGE in message.get("body", b"") for message in sent)


Make = Callable[..., ASGIApp]
Place = Callable[[ASGIApp], tuple[ASGIApp, str, str]]
EVERY_WAY: Final = pytest.mark.parametrize(
    ("make", "place"),
    [
        (make, place)
        for make in (starlette_app, fastapi_app, lax)
        for place in (bare, mounted, under_root_path, behind_stripping)
    ],
)


@EVERY_WAY
async def test_no_spelling_opens_a_hole(auth: Auth, make: Make, place: Place) -> None:
    """Whatever the inner application would serve as the protected page is refused to a stranger."""
    app, prefix, root_path = place(make(auth=auth, excluded_paths=OPEN))
    inner, _, _ = place(make(auth=auth, on_unauthenticated="pass"))
    served = []
    for spelling in SPELLINGS:
        sent = await get(app, spelling, prefix=prefix, root_path=root_path)
        assert not shows_the_page(sent), spelling
        if shows_the_page(await get(inner, spelling, prefix=prefix, root_path=root_path)):
            served.append(spelling)
            assert sent[0]["status"] == 401, spelling

    assert len(SPELLINGS) >= 30
    assert {"/admin", "/%61dmin"} <= set(served)
    assert len(served) > 40 or make is not lax  # the oracle sees through nearly all of them


@EVERY_WAY
async def test_excluded_paths_are_open(auth: Auth, make: Make, place: Place) -> None:
    """In their plain spelling, wherever the application is mounted; what merely looks alike is not."""
    app, prefix, root_path = place(make(auth=auth, excluded_paths=OPEN))
    for target in PLAIN:
        sent = await get(app, target, prefix=prefix, root_path=root_path)
        assert sent[0]["status"] == 200, target
    for target in ("/health/", "/Health", "/healthy", "/public", "/publicly", "/x/health", "/new"):
        sent = await get(app, target, prefix=prefix, root_path=root_path)
        assert sent[0]["status"] == 401, target


@pytest.mark.parametrize(
    "pattern",
    ["", "health", "*", "/*", "/a/../b", "//a", "/a/*/b", "/a**", "/a?b", "/%61", "/a;b", "/a\\b", "/ａ"],
)  # fmt: skip
def test_a_pattern_that_is_no_path_is_refused(pattern: str) -> None:
    """At the start of the program; one that opens everything, too."""
    with pytest.raises(ValueError, match=r"begin with /|everything"):
        PathPatterns([pattern])


def test_a_stray_option_is_refused(auth: Auth) -> None:
    """Strangers are not let in because of a slip of the pen."""
    with pytest.raises(ValueError, match="'refuse', 'pass'"):
        AuthMiddleware(lax_app, auth=auth, on_unauthenticated="refused")  # type: ignore[arg-type] # the slip
    with pytest.raises(ValueError, match="needs a look"):
        AuthMiddleware(lax_app, auth=auth, on_unauthenticated="refuse", identify=False)


async def test_the_answer_to_strangers_is_the_applications(auth: Auth) -> None:
    """Sync or async; it is kept out of caches as ours is."""

    async def slowly(*_: object) -> RedirectResponse:
        return RedirectResponse("/log-in")

    for answer in (slowly, lambda *_: RedirectResponse("/log-in")):
        made: Callable[..., RedirectResponse | Awaitable[RedirectResponse]] = answer
        app = AuthMiddleware(lax_app, auth=auth, on_unauthenticated=made)
        headers = dict((await get(app, "/admin"))[0]["headers"])
        assert (headers[b"location"], headers[b"cache-control"]) == (b"/log-in", b"no-store")

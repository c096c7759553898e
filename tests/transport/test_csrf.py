"""Requests that a foreign page sends in a person's name (OWASP Cross-Site Request Forgery cheat sheet)."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI, WebSocket
from httpx import ASGITransport, AsyncClient, Response
from piccolo.table import Table
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.sessions.tables import AuthSession
from tests.fixtures import ORIGIN, PASSWORD, Browsers, Person, bearer, code_of, get_tokens, log_in

COOKIE: Final = "__Host-session"
TRUSTED: Final = "https://trusted.test"
PUBLIC: Final = "https://www.app.example"
SITES: Final = (None, "same-origin", "none", "same-site", "cross-site", "", "Same-Origin", "x")
FOREIGN: Final = (
    "null", "", "x", "https://evil.test", "https://evil.app.test", "https://app.test.evil.test",
    "https://app.test:8443", "https://xapp.test", "https://trusted.test.evil", "http://[", "https://",
    "https://evil.test/https://app.test", "https://app.test@evil.test", f"{ORIGIN}/",
)  # fmt: skip
DOWNGRADED: Final = ("http://app.test", "chrome-extension://app.test", "file://app.test")
ORIGINS: Final = (None, ORIGIN, TRUSTED, PUBLIC, *FOREIGN)
UNSAFE: Final = ("POST", "PUT", "PATCH", "DELETE", "PROPFIND")
SAFE: Final = ("GET", "HEAD", "OPTIONS")
CHANGES: Final[dict[str, Any]] = {"trusted_origins": [TRUSTED], "public_origin": PUBLIC}
STRICT: Final[dict[str, Any]] = {**CHANGES, "csrf_strict": True}
SAME_ORIGIN: Final = {"sec-fetch-site": "same-origin"}


def headers_of(site: str | None, origin: str | None) -> dict[str, str]:
    """What a browser says about where a request comes from."""
    said = {"sec-fetch-site": site, "origin": origin}
    return {name: value for name, value in said.items() if value is not None}


def may_write(site: str | None, origin: str | None, *, strict: bool) -> bool:
    """What DESIGN.md 9 says: Fetch-Metadata first, Origin second, then what the setting says."""
    if site is not None:
        return site in {"same-origin", "none"} or origin == TRUSTED
    if origin is not None:
        return origin in {ORIGIN, TRUSTED, PUBLIC}
    return not strict


def matrix(*, strict: bool) -> Iterator[tuple[dict[str, str], bool]]:
    """Every combination with its verdict."""
    for site in SITES:
        for origin in ORIGINS:
            yield headers_of(site, origin), may_write(site, origin, strict=strict)


def bare_app(auth: Auth[User], *, install: bool) -> FastAPI:
    """An application whose own routes take any method; without ``install`` only the guard stands there."""
    app = FastAPI()
    app.include_router(auth.router)
    if install:
        auth.install(app)

    async def guarded(user: Annotated[User, Depends(auth.current_user)]) -> str:
        return user.username

    async def principal(_: Annotated[object, Depends(auth.principal)]) -> str:
        return "known"

    async def optional(_: Annotated[User | None, Depends(auth.optional_user)]) -> str:
        return "known"

    async def unguarded() -> str:
        return "anybody"

    for endpoint in (guarded, principal, optional, unguarded):
        app.add_api_route(f"/{endpoint.__name__}", endpoint, methods=[*SAFE, *UNSAFE])

    @app.websocket("/ws")
    async def socket(
        websocket: WebSocket, user: Annotated[User, Depends(auth.current_user)]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(user.username)
        await websocket.close()

    return app


def browser(app: FastAPI, cookie: str | None = None) -> AsyncClient:
    """A browser, with a session or without."""
    client = AsyncClient(transport=ASGITransport(app), base_url=ORIGIN)
    if cookie is not None:
        client.cookies.set(COOKIE, cookie, domain="app.test")
    return client


def assert_verdict(answer: Response, *, allowed: bool, what: object) -> None:
    """Either it went through, or it was refused as a forgery."""
    if allowed:
        assert answer.status_code < 300, (what, answer.text)
    else:
        assert answer.status_code == 403, (what, answer.text)
        assert code_of(answer) == "csrf_failed", what


@pytest.mark.parametrize("settings_changes", [CHANGES, STRICT], ids=["lax", "strict"])
async def test_a_cookie_on_an_unsafe_request_must_come_from_us(
    auth: Auth[User], alice: Person, settings_changes: dict[str, Any], client: AsyncClient
) -> None:
    """CSR-1: Sec-Fetch-Site by Origin, on guarded routes also without the middleware, with it on all routes."""
    strict = settings_changes.get("csrf_strict", False)
    body = {"username": alice.username, "password": PASSWORD}
    cookie = (await client.post("/auth/login", json=body, headers=SAME_ORIGIN)).cookies[COOKIE]
    installed = browser(bare_app(auth, install=True), cookie)
    bare = browser(bare_app(auth, install=False), cookie)

    for headers, allowed in matrix(strict=strict):
        for one, path in ((installed, "/guarded"), (bare, "/guarded"), (installed, "/unguarded")):
            answer = await one.post(path, headers=headers)
            assert_verdict(answer, allowed=allowed, what=(one is bare, path, headers))
    few: list[dict[str, str]] = [
        {},
        {"origin": "null"},
        headers_of("cross-site", ORIGIN),
        SAME_ORIGIN,
    ]
    for headers in few:
        allowed = may_write(headers.get("sec-fetch-site"), headers.get("origin"), strict=strict)
        for one in (installed, bare):
            for path in ("/guarded", "/principal", "/optional"):
                for method in UNSAFE:
                    answer = await one.request(method, path, headers=headers)
                    assert_verdict(answer, allowed=allowed, what=(method, path, headers))
            answer = await one.patch("/auth/me", json={"first_name": "Al"}, headers=headers)
            assert_verdict(answer, allowed=allowed, what=("library", headers))


@pytest.mark.parametrize(
    ("origin", "host"),
    [*((origin, "app.test") for origin in DOWNGRADED), ("x", ""), ("https://", ""), ("://", "")],
    ids=["http", "extension", "file", "no-host", "empty", "nothing"],
)
@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # refused before any query
async def test_an_origin_of_another_scheme_is_foreign(
    auth: Auth[User], origin: str, host: str
) -> None:
    """CSR-1: an origin is scheme, host and port; and where no ``Host`` came, no origin is ours."""
    page = browser(bare_app(auth, install=True), "A" * 43)

    answer = await page.post("/unguarded", headers={"origin": origin, "host": host})

    assert_verdict(answer, allowed=False, what=origin)


@pytest.mark.parametrize("install", [True, False], ids=["installed", "bare"])
async def test_a_header_that_came_twice_is_foreign(
    auth: Auth[User], client: AsyncClient, alice: Person, *, install: bool
) -> None:
    """CSR-1: a proxy in between may have read the other one."""
    page = browser(bare_app(auth, install=install), (await log_in(client, alice)).cookies[COOKIE])
    pairs = {
        "origin": (ORIGIN, "https://evil.test"),
        "sec-fetch-site": ("same-origin", "cross-site"),
    }

    for name, values in pairs.items():
        for both in (values, values[::-1], values[:1] * 2):
            answer = await page.post("/guarded", headers=[(name, value) for value in both])
            assert_verdict(answer, allowed=False, what=both)


async def test_safe_requests_and_tokens_are_exempt(
    auth: Auth[User], client: AsyncClient, new_browser: Browsers, alice: Person
) -> None:
    """CSR-6: a foreign page cannot make a browser send a token; a cookie beside one is refused, not exempt."""
    app = bare_app(auth, install=True)
    cookie = (await log_in(client, alice)).cookies[COOKIE]
    token = bearer(await get_tokens(new_browser(), alice))
    signed_in, nobody = browser(app, cookie), browser(app)
    foreign = [headers_of("cross-site", "https://evil.test"), {"origin": "null"}]

    for headers in foreign:
        for method in SAFE:
            assert (await signed_in.request(method, "/guarded", headers=headers)).is_success
        for method in UNSAFE:
            by_token = {**headers, **token}
            assert (await nobody.request(method, "/guarded", headers=by_token)).is_success
            assert (await nobody.request(method, "/unguarded", headers=headers)).is_success
            answer = await nobody.request(method, "/guarded", headers=headers)
            assert code_of(answer) == "not_authenticated"
            answer = await signed_in.request(method, "/guarded", headers=by_token)
            assert_verdict(answer, allowed=False, what=method)
    both = await signed_in.post("/guarded", headers={**SAME_ORIGIN, **token})
    without_middleware = browser(bare_app(auth, install=False), cookie)
    alongside = await without_middleware.post("/guarded", headers={**foreign[0], **token})
    assert [code_of(both), code_of(alongside)] == ["invalid_request", "invalid_request"]


@pytest.mark.parametrize("settings_changes", [CHANGES], ids=["lax"])
async def test_a_foreign_page_cannot_log_somebody_in_or_out(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """CSR-4: the log-in without any cookie, the log-out with one; with the middleware and without."""
    body = {"username": alice.username, "password": PASSWORD}
    cookie = (await log_in(client, alice)).cookies[COOKIE]
    cross_site = headers_of("cross-site", None)
    challenge = {"mfa_token": "A" * 43, "method": "totp", "code": "000000"}

    for install in (True, False):
        nobody = browser(bare_app(auth, install=install))
        signed_in = browser(bare_app(auth, install=install), cookie)
        for headers, allowed in matrix(strict=False):
            if not allowed:
                answer = await nobody.post("/auth/login", json=body, headers=headers)
                assert_verdict(answer, allowed=False, what=("login", headers))
                assert "set-cookie" not in answer.headers
                answer = await signed_in.post("/auth/logout", headers=headers)
                assert_verdict(answer, allowed=False, what=("logout", headers))
        answer = await nobody.post("/auth/mfa/verify", json=challenge, headers=cross_site)
        assert_verdict(answer, allowed=False, what="verify")
        form = {"grant_type": "password", **body}
        answer = await signed_in.post("/auth/token", data=form, headers=cross_site)
        assert answer.status_code == 403  # it would end the session behind the cookie
    assert await AuthSession.count() == 1
    assert (await client.get("/user")).status_code == 200


async def test_reading_changes_nothing(
    app: FastAPI, client: AsyncClient, alice: Person, tables: list[type[Table]]
) -> None:
    """CSR-5: after GET and HEAD of every path, also those that only take POST, each row is what it was."""
    await log_in(client, alice)
    before = [await table.select() for table in tables]

    for path in app.openapi()["paths"]:
        for method in ("GET", "HEAD"):
            answer = await client.request(method, re.sub(r"{\w+}", "0", path))
            assert answer.status_code < 500, (method, path)

    assert [await table.select() for table in tables] == before


async def test_what_a_form_can_send_is_no_json(
    app: FastAPI, client: AsyncClient, alice: Person
) -> None:
    """CSR-3: text, forms and no type at all are refused, so no page can post to a JSON route without asking."""
    body = f'{{"username": "{alice.username}", "password": "{PASSWORD}"}}'
    types: list[dict[str, str]] = [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {},
    ]
    operations = [
        (method, path.format(method_id="00000000-0000-4000-8000-000000000000"))
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
        if operation.get("requestBody", {}).get("required")  # enrolling does without a body
        and "application/json" in operation["requestBody"]["content"]
    ]
    assert len(operations) > 8
    await log_in(client, alice)

    for headers in types:
        for method, url in operations:
            answer = await client.request(
                method, url, content=body, headers={**headers, **SAME_ORIGIN}
            )
            assert answer.status_code in {415, 422}, (method, url, headers, answer.text)
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("settings_changes", [CHANGES], ids=["trusting"])
@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # TestClient has its own loop
async def test_a_websocket_with_a_cookie_wants_our_origin(
    auth: Auth[User], client: AsyncClient, new_browser: Browsers, alice: Person
) -> None:
    """CSR-1: every page may open one, and browsers send the cookie; refused before it opens, with 1008."""
    cookie = {"cookie": f"{COOKIE}={(await log_in(client, alice)).cookies[COOKIE]}"}
    token = bearer(await get_tokens(new_browser(), alice))
    refused: list[dict[str, str]] = [{}, cookie, *({**cookie, "origin": one} for one in FOREIGN)]
    refused += [{**cookie, **SAME_ORIGIN}, {**cookie, "origin": ORIGIN, **token}]
    accepted = [{**cookie, "origin": origin} for origin in (ORIGIN, TRUSTED, PUBLIC)]
    accepted += [token, {**token, "origin": "https://evil.test"}]

    for install in (True, False):
        pages = TestClient(bare_app(auth, install=install), base_url=ORIGIN)
        for headers in accepted:
            with pages.websocket_connect("/ws", headers={"host": "app.test", **headers}) as ws:
                assert ws.receive_text() == alice.username
        for headers in refused:
            with (
                pytest.raises(WebSocketDisconnect) as closed,
                pages.websocket_connect("/ws", headers={"host": "app.test", **headers}),
            ):
                pass
            assert closed.value.code == 1008, headers

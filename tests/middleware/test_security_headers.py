"""``SecurityHeadersMiddleware``: what browsers are told, and that our own pages and the documentation live with it."""

import re
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Request, Response
from httpx import ASGITransport, AsyncClient
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from piccolo_fastapi_auth import Auth, AuthMiddleware, AuthSettings, SecurityHeadersMiddleware, User
from piccolo_fastapi_auth.primitives import opaque_tokens
from tests.fixtures import ORIGIN, SECRET

CSP: Final = "content-security-policy"
EVERY: Final = {
    "csp": CSP, "hsts": "strict-transport-security", "referrer_policy": "referrer-policy",
    "permissions_policy": "permissions-policy", "content_type_options": "x-content-type-options",
}  # fmt: skip


def site(**options: Any) -> ASGIApp:  # of the middleware
    app = FastAPI()

    @app.get("/page")
    async def page(request: Request) -> Response:
        return Response(f'<script nonce="{request.state.csp_nonce}"></script>', media_type="text/html")  # fmt: skip

    @app.get("/own")
    async def own() -> Response:
        return Response(headers={CSP: "default-src 'none'", "Referrer-Policy": "no-referrer"})

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    return SecurityHeadersMiddleware(app, **options)


def browser(app: ASGIApp, root_path: str = "") -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app, root_path=root_path), base_url=ORIGIN)


def nonce_of(csp: str) -> str:
    found = re.search(r"script-src [^;]*'nonce-([\w-]{20,})'", csp)
    assert found
    return found[1]


async def test_every_response_has_them() -> None:
    """OWASP Secure Headers: pages, errors and refusals; the nonce is new each time and the page has it."""
    async with browser(site()) as client:
        seen = set()
        for path in ("/page", "/page", "/nowhere", "/openapi.json"):
            answer = await client.get(path)
            assert set(EVERY.values()) <= set(answer.headers)
            assert "frame-ancestors 'none'" in answer.headers[CSP]
            assert "unsafe" not in answer.headers[CSP]
            nonce = nonce_of(answer.headers[CSP])
            assert f'nonce="{nonce}"' in answer.text or path != "/page"
            seen.add(nonce)
        assert len(seen) == 4


async def test_what_a_response_says_itself_stands() -> None:
    """One header each: two policies at once would both hold."""
    async with browser(site()) as client:
        answer = await client.get("/own")
    assert answer.headers.get_list(CSP) == ["default-src 'none'"]
    assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", EVERY)
async def test_each_can_be_set_or_left_out(name: str) -> None:
    """Also the policy, to frame-ancestors alone; and reporting only."""
    async with browser(site(**{name: "said-so"})) as client:
        assert (await client.get("/page")).headers[EVERY[name]].startswith("said-so")
    async with browser(site(**{name: None, "frame_ancestors": None})) as client:
        assert EVERY[name] not in (await client.get("/page")).headers
    async with browser(site(csp=None, frame_ancestors="https://a.example", report_only=True)) as client:  # fmt: skip
        headers = (await client.get("/page")).headers
        assert headers[f"{CSP}-report-only"] == "frame-ancestors https://a.example"
        assert CSP not in headers
    with pytest.raises(ValueError, match="cannot be a header"):
        site(**{name: "x\r\nSet-Cookie: a=b"})


@pytest.mark.parametrize("root_path", ["", "/api"])
@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
async def test_the_documentation_works_under_its_policy(path: str, root_path: str) -> None:
    """Every script has the nonce, every style and picture comes from where the policy allows."""
    async with browser(site(), root_path) as client:
        answer = await client.get(path)
    directives = dict(part.split(" ", 1) for part in answer.headers[CSP].split("; "))
    scripts = re.findall(r"<script[^>]*>", answer.text)
    assert scripts
    assert all(f'nonce="{nonce_of(answer.headers[CSP])}"' in one for one in scripts)
    assert answer.headers["content-length"] == str(len(answer.content))
    for kind, directive in (("stylesheet", "style-src"), ("shortcut icon", "img-src")):
        for tag in re.findall(rf'<link[^>]*rel="{kind}"[^>]*>', answer.text):
            url = urlsplit(tag.split('href="')[1].split('"')[0])
            assert f"{url.scheme}://{url.netloc}" in directives[directive].split()
    assert "'unsafe-inline'" not in directives["script-src"]
    assert directives["connect-src"] == "'self'"


async def test_the_confirm_page_keeps_its_own_policy(auth: Auth[User]) -> None:
    """EML-2: the stricter one, with the digest of its style."""
    app = FastAPI()
    app.include_router(auth.router)
    link = f"/auth/confirm?purpose=reset_password&token={opaque_tokens.new_token()}"
    async with browser(app) as plain, browser(SecurityHeadersMiddleware(app)) as client:
        before, answer = await plain.get(link), await client.get(link)
    assert (answer.status_code, answer.text) == (200, before.text)
    assert answer.headers.get_list(CSP) == before.headers.get_list(CSP)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "strict-transport-security" in answer.headers


def test_sockets_and_lifespan_pass() -> None:
    """They have no such headers."""
    with TestClient(site()) as client, client.websocket_connect("/ws") as socket:
        assert socket.receive()["type"] == "websocket.close"


@pytest.mark.parametrize("path", ["/docs", "/page"])
async def test_a_response_without_any_headers_gets_them_too(path: str) -> None:
    """ASGI lets an application leave them out, and CORS preflights pass such a response on as well."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})

    auth = Auth(AuthSettings(secret_keys=[SECRET]))
    walled = AuthMiddleware(app, auth=auth, on_unauthenticated="refuse")
    asking = {"origin": "https://other.test", "access-control-request-method": "GET"}
    async with browser(SecurityHeadersMiddleware(app)) as client:
        answer = await client.get(path)
    async with browser(SecurityHeadersMiddleware(walled)) as client:
        preflight = await client.options(path, headers=asking)

    assert (answer.status_code, answer.text) == (200, "hello")
    assert (preflight.status_code, preflight.text) == (200, "")
    assert answer.headers["x-content-type-options"] == "nosniff"

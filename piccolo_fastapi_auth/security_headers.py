"""Headers that tell browsers what a page may do: CSP with a nonce for each request, HSTS and their kin. Pure ASGI."""

import re
import secrets
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP: Final = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'"
)
DOCS_CSP: Final = (
    # Swagger UI and ReDoc come from a CDN, style themselves inline, and ReDoc searches in a worker.
    "default-src 'none'; script-src 'nonce-{nonce}'; connect-src 'self'; worker-src blob:; "
    "style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    "font-src 'self' https://fonts.gstatic.com; "
    "img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly; base-uri 'none'; form-action 'self'"
)
DOCS_PATHS: Final = ("/docs", "/docs/oauth2-redirect", "/redoc")
_SCRIPT: Final = re.compile(rb"<script(?=[\s>])", re.IGNORECASE)


class SecurityHeadersMiddleware:
    """Puts security headers on every HTTP response (OWASP Secure Headers; ASVS 3.4). What a response says itself stands.

    A page's own scripts and styles carry the nonce, ``<script nonce="{{ request.state.csp_nonce }}">``: it is new
    for each request. ``None`` leaves a header out.

    Args:
        app: Any ASGI application.
        csp: ``Content-Security-Policy``; ``{nonce}`` in it stands for the nonce.
        frame_ancestors: Who may show the pages in a frame; added to both policies.
        hsts: ``Strict-Transport-Security``. Sent always, for TLS mostly ends before us; over plain HTTP browsers ignore
            it (RFC 6797 section 8.1).
        referrer_policy: ``Referrer-Policy``. With ``no-referrer`` browsers send ``Origin: null`` with forms.
        permissions_policy: ``Permissions-Policy``.
        content_type_options: ``X-Content-Type-Options``.
        docs_paths: The pages of FastAPI's documentation: their scripts get the nonce, and ``docs_csp`` holds there.
        docs_csp: The policy of those pages.
        report_only: Let browsers report what the policies would stop, and stop nothing.

    Raises:
        ValueError: A value cannot be a header.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        csp: str | None = CSP,
        frame_ancestors: str | None = "'none'",
        hsts: str | None = "max-age=31536000",
        referrer_policy: str | None = "strict-origin-when-cross-origin",
        permissions_policy: str | None = "camera=(), geolocation=(), microphone=()",
        content_type_options: str | None = "nosniff",
        docs_paths: Iterable[str] = DOCS_PATHS,
        docs_csp: str | None = DOCS_CSP,
        report_only: bool = False,
    ) -> None:
        self._app = app
        self._csp = _with_ancestors(csp, frame_ancestors)
        self._docs_csp = _with_ancestors(docs_csp, frame_ancestors)
        self._csp_name = f"Content-Security-Policy{'-Report-Only' if report_only else ''}"
        self._docs_paths = frozenset(docs_paths)
        plain = {
            "Strict-Transport-Security": hsts,
            "Referrer-Policy": referrer_policy,
            "Permissions-Policy": permissions_policy,
            "X-Content-Type-Options": content_type_options,
        }
        self._plain = {name: value for name, value in plain.items() if value is not None}
        for value in (*self._plain.values(), self._csp or "", self._docs_csp or ""):
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"{value!r} cannot be a header")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with a nonce; and its response, with the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        # A copy: a server may give the same state to every request.
        scope["state"] = {**scope.get("state", {}), "csp_nonce": nonce}
        is_docs = scope["path"].removeprefix(scope.get("root_path", "")) in self._docs_paths
        csp = self._docs_csp if is_docs else self._csp

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {
                    **message,
                    "headers": message.get("headers", ()),
                }  # ASGI: may be left out
                self._add(MutableHeaders(scope=message), csp, nonce)
            await send(message)

        out = _with_nonce(send_with_headers, nonce) if is_docs else send_with_headers
        await self._app(scope, receive, out)

    def _add(self, headers: MutableHeaders, csp: str | None, nonce: str) -> None:
        for name, value in self._plain.items():
            headers.setdefault(name, value)
        if csp is not None:
            headers.setdefault(self._csp_name, csp.replace("{nonce}", nonce))


def _with_ancestors(csp: str | None, ancestors: str | None) -> str | None:
    if ancestors is None or (csp is not None and "frame-ancestors" in csp):
        return csp
    return "; ".join([*([csp.rstrip("; ")] if csp else []), f"frame-ancestors {ancestors}"])


def _with_nonce(send: Send, nonce: str) -> Send:
    """Hold a page of the documentation back until it is whole, and give its scripts the nonce."""
    held: list[Message] = []

    async def rewriting(message: Message) -> None:
        held.append(message)
        if message["type"] == "http.response.start" or message.get("more_body", False):
            return
        start, *rest = held
        held.clear()
        start = {**start, "headers": start.get("headers", ())}
        headers, page = (
            MutableHeaders(scope=start),
            b"".join(one.get("body", b"") for one in rest),
        )
        if page and headers.get("content-type", "").startswith("text/html"):
            page = _SCRIPT.sub(b'<script nonce="%s"' % nonce.encode(), page)
            headers["content-length"] = str(len(page))
        await send(start)
        await send({"type": "http.response.body", "body": page})

    return rewriting

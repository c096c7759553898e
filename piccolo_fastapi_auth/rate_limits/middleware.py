"""A limit for a whole application, 404s and any ASGI framework included; and the queued headers."""

import json
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from piccolo_fastapi_auth.errors import AuthError, RateLimitedError, TemporarilyUnavailableError
from piccolo_fastapi_auth.rate_limits.dependencies import TRY_AGAIN_LATER, RateLimit
from piccolo_fastapi_auth.rate_limits.headers import with_queued_headers


class RateLimitMiddleware:
    """Counts every request and WebSocket before the application sees it.

    Without ``limit`` it only puts the headers of the routes' own limits on their responses.

    Args:
        app: Any ASGI application.
        limit: What one caller may do; give it a ``bucket``, for there is no endpoint to name it by.
        excluded_paths: Exact paths that are not counted, such as ``/health``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: RateLimit | None = None,
        excluded_paths: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._limit = limit
        self._excluded = frozenset(excluded_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.accept"}:
                merged = with_queued_headers(scope, list(message.get("headers", ())))
                message = {**message, "headers": merged}
            await send(message)

        if self._limit is not None and scope["path"] not in self._excluded:
            try:
                await self._limit.check(HTTPConnection(scope))
            except (RateLimitedError, TemporarilyUnavailableError) as error:
                await _refuse(error, scope, send_with_headers)
                return
        await self._app(scope, receive, send_with_headers)


async def _refuse(error: AuthError, scope: Scope, send: Send) -> None:
    """Send the refusal itself: nothing outside this middleware may turn it into a 500."""
    if scope["type"] == "websocket":
        reason = {"code": TRY_AGAIN_LATER, "reason": error.message}
        await send({"type": "websocket.close", **reason})
        return
    body = json.dumps({"detail": error.body}).encode()
    headers = Headers({"content-type": "application/json", **(error.headers or {})}).raw
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": error.status_code}
    await send({**start, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})

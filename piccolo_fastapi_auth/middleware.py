"""The thin middleware, pure ASGI: CSRF for the whole application, and queued headers on the response really sent."""

from typing import Protocol

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from piccolo_fastapi_auth.errors import CsrfFailedError, TemporarilyUnavailableError
from piccolo_fastapi_auth.rate_limits.headers import with_queued_headers
from piccolo_fastapi_auth.transport import Transport


class ChecksOrigin(Protocol):
    """Refuses forgeries, and leaves a trace of them."""

    async def check(self, connection: HTTPConnection) -> None:
        """Refuse an unsafe request that a foreign page sent."""
        ...


class HasTransport(Protocol):
    """The part of ``Auth`` that the middleware needs."""

    @property
    def origins(self) -> ChecksOrigin:
        """Who refuses forgeries."""
        ...

    @property
    def transport(self) -> Transport:
        """How credentials travel."""
        ...


class AuthMiddleware:
    """Refuses unsafe requests that carry our cookie from a foreign page, also on routes without a guard."""

    def __init__(self, app: ASGIApp, *, auth: HasTransport) -> None:
        self._app = app
        self._transport = auth.transport
        self._origins = auth.origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it is a forgery."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if self._transport.has_cookie(connection):
            try:
                await self._origins.check(connection)
            except (CsrfFailedError, TemporarilyUnavailableError) as error:
                refusal = JSONResponse(
                    {"detail": error.detail}, error.status_code, headers=error.headers
                )
                await refusal(scope, receive, send)
                return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = with_queued_headers(scope, list(message.get("headers", ())))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_headers)

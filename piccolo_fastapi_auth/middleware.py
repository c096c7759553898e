"""The thin middleware, pure ASGI: a limit and CSRF for the whole application, and queued headers on the response really sent."""

from collections.abc import Iterable
from typing import Protocol

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from piccolo_fastapi_auth.errors import CsrfFailedError, TemporarilyUnavailableError
from piccolo_fastapi_auth.rate_limits.dependencies import RateLimit
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.rate_limits.middleware import RateLimitMiddleware
from piccolo_fastapi_auth.transport import Transport


class ChecksOrigin(Protocol):
    """Refuses forgeries, and leaves a trace of them."""

    async def check(self, connection: HTTPConnection) -> None:
        """Refuse an unsafe request that a foreign page sent."""
        ...


class ForMiddleware(Protocol):
    """The part of ``Auth`` that the middleware needs."""

    @property
    def origins(self) -> ChecksOrigin:
        """Who refuses forgeries."""
        ...

    @property
    def transport(self) -> Transport:
        """How credentials travel."""
        ...

    @property
    def limiter(self) -> RateLimiter:
        """Where requests are counted."""
        ...


class AuthMiddleware:
    """Limits a whole application, and refuses unsafe requests that carry our cookie from a foreign page.

    Both hold on routes without a guard, too, on paths that do not exist, and in any ASGI application.

    Args:
        app: Any ASGI application.
        auth: The ``Auth`` whose cookie and whose counters they are.
        rate_limit: What one caller may do in the whole application, such as ``"1000/minute"``; or an
            ``auth.rate_limit(...)``, to say more. WebSockets are counted as well.
        excluded_paths: Exact paths that the limit does not count, such as ``/health``.

    Raises:
        ValueError: The rate is misspelt.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        auth: ForMiddleware,
        rate_limit: str | RateLimit | None = None,
        excluded_paths: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._transport = auth.transport
        self._origins = auth.origins
        self._limited = RateLimitMiddleware(
            self._refuse_forgeries,
            limit=auth.limiter.global_limit(rate_limit),
            excluded_paths=excluded_paths,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it is one too many or a forgery."""
        await self._limited(scope, receive, send)

    async def _refuse_forgeries(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._transport.has_cookie(HTTPConnection(scope)):
            try:
                await self._origins.check(HTTPConnection(scope))
            except (CsrfFailedError, TemporarilyUnavailableError) as error:
                refusal = JSONResponse(
                    {"detail": error.detail}, error.status_code, headers=error.headers
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

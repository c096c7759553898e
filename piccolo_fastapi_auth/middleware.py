"""The middleware, pure ASGI: a limit and CSRF for a whole application, queued headers, and who sent the request."""

from collections.abc import Iterable
from typing import Literal, Protocol

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from piccolo_fastapi_auth.errors import CsrfFailedError, TemporarilyUnavailableError
from piccolo_fastapi_auth.identification import (
    Identification,
    Identifies,
    OnUnauthenticated,
    refusal_of,
)
from piccolo_fastapi_auth.primitives.path_patterns import PathPatterns
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

    @property
    def identify(self) -> Identifies:
        """Who finds out who sent a request."""
        ...


class AuthMiddleware:
    """Tells any ASGI application who sent a request, and keeps strangers, forgeries and too many requests out.

    ``request.user`` is the row that ``auth.current_user`` returns and ``request.auth.scopes`` holds
    ``authenticated`` and the person's scopes, so Starlette's ``@requires`` works. A stranger's are Starlette's
    ``UnauthenticatedUser`` and no scopes.

    - ``on_unauthenticated="refuse"``: nobody enters but by a credential that ``auth.current_user`` takes. A stranger gets
      the same 401; a WebSocket is closed with 1008. Only excluded paths, lifespan and CORS preflights
      pass; what answers a preflight, answers without a body.
    - a callable: the same, and it makes the answer instead of the 401.
    - ``"pass"``: strangers pass, and so does a bad credential, as a stranger; 503 when the store is down.
    - left out: ``"refuse"`` where ``excluded_paths`` stand without a ``rate_limit``, else ``"pass"``.

    Args:
        app: Any ASGI application.
        auth: The ``Auth`` whose credentials and whose counters they are.
        rate_limit: What one caller may do in the whole application, such as ``"1000/minute"``; or an
            ``auth.rate_limit(...)``, to say more. WebSockets are counted as well.
        excluded_paths: Paths where nobody is refused or looked up: exact ones, as the application that this wraps
            calls them, and beginnings with a ``*`` after them. Exact ones are not counted by the limit either.
        on_unauthenticated: What becomes of a stranger.
        identify: Whether anybody is looked up; ``False`` leaves that to the guards, as ``auth.install`` does.

    Raises:
        ValueError: The rate is misspelt, a path is no path, or strangers shall be refused without a look.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        auth: ForMiddleware,
        rate_limit: str | RateLimit | None = None,
        excluded_paths: Iterable[str] = (),
        on_unauthenticated: OnUnauthenticated | Literal["refuse", "pass"] | None = None,
        identify: bool = True,
    ) -> None:
        excluded = [excluded_paths] if isinstance(excluded_paths, str) else list(excluded_paths)
        if on_unauthenticated is None:
            on_unauthenticated = "refuse" if identify and excluded and not rate_limit else "pass"
        elif not identify:
            raise ValueError("on_unauthenticated needs a look at who it is")
        if isinstance(on_unauthenticated, str) and on_unauthenticated not in {"refuse", "pass"}:
            raise ValueError("on_unauthenticated is 'refuse', 'pass' or a callable")
        if identify:
            app = Identification(
                app,
                identify=auth.identify,
                on_unauthenticated=on_unauthenticated,
                open_paths=PathPatterns(excluded),
            )
        self._app = app
        self._transport = auth.transport
        self._origins = auth.origins
        self._limited = RateLimitMiddleware(
            self._refuse_forgeries,
            limit=auth.limiter.global_limit(rate_limit),
            excluded_paths=excluded,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it is one too many, a forgery or a stranger's."""
        await self._limited(scope, receive, send)

    async def _refuse_forgeries(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._transport.has_cookie(HTTPConnection(scope)):
            try:
                await self._origins.check(HTTPConnection(scope))
            except (CsrfFailedError, TemporarilyUnavailableError) as error:
                await refusal_of(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

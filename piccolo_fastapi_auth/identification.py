"""Who sent a request, told to any ASGI application: ``request.user`` and ``request.auth``, and a wall for strangers."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, Literal, Protocol

from fastapi import WebSocketException, status
from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from piccolo_fastapi_auth.errors import NO_STORE, AuthError
from piccolo_fastapi_auth.primitives.path_patterns import PathPatterns
from piccolo_fastapi_auth.users.user import AuthUser

# No browser sends these with a preflight; an application may take them for another method, and for what to do.
_NOT_IN_PREFLIGHTS: Final = (
    "x-http-method-override", "x-http-method", "x-method-override", "transfer-encoding", "content-type",
)  # fmt: skip

OnUnauthenticated = Callable[[HTTPConnection, AuthError], Response | Awaitable[Response]]
"""Makes the answer to a stranger, such as a redirect to the log-in page; the error says what was wrong."""


class Identifies(Protocol):
    """Finds out who sent a request."""

    async def __call__(self, connection: HTTPConnection) -> tuple[AuthUser | str, tuple[str, ...]]:
        """Return the person, or the name of a machine, and the scopes; or refuse."""
        ...


class ServiceUser(BaseUser):
    """A program that acts for nobody: what ``request.user`` is for a static token."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def is_authenticated(self) -> bool:
        """It is."""
        return True

    @property
    def display_name(self) -> str:
        """The name that the settings give to its token."""
        return self._name

    @property
    def identity(self) -> str:
        """The same."""
        return self._name


class Identification:
    """Sets ``request.user`` and ``request.auth``, and lets strangers pass, or not.

    Args:
        app: Any ASGI application.
        identify: Finds out who sent a request.
        on_unauthenticated: ``"pass"``, ``"refuse"`` or what makes the answer. WebSockets are closed with 1008 instead.
        open_paths: Where nobody is refused, and nobody looked up.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        identify: Identifies,
        on_unauthenticated: OnUnauthenticated | Literal["refuse", "pass"],
        open_paths: PathPatterns,
    ) -> None:
        self._app = app
        self._identify = identify
        self._answer = on_unauthenticated
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its user, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
        if self._is_open(scope):
            await self._app(scope, receive, send)
        elif self._answer != "pass" and is_preflight(scope):
            await self._app(scope, receive, _without_body(send))
        elif (refusal := await self._refusal(HTTPConnection(scope))) is None:
            await self._app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        return self._open.match(
            scope["path"],
            root_path=scope.get("root_path", ""),
            raw_path=scope.get("raw_path") or b"",
        )

    async def _refusal(self, connection: HTTPConnection) -> ASGIApp | None:
        """Note who it is; return what answers instead of the application."""
        try:
            user, scopes = await self._identify(connection)
        except AuthError as error:
            if self._answer == "pass" and error.status < status.HTTP_500_INTERNAL_SERVER_ERROR:
                return None
            return await self._refused(connection, error)
        except WebSocketException as closing:
            if self._answer == "pass" and closing.code == status.WS_1008_POLICY_VIOLATION:
                return None
            return _closing(closing)
        connection.scope["user"] = ServiceUser(user) if isinstance(user, str) else user
        connection.scope["auth"] = AuthCredentials(["authenticated", *scopes])
        return None

    async def _refused(self, connection: HTTPConnection, error: AuthError) -> Response:
        if callable(self._answer) and error.status == status.HTTP_401_UNAUTHORIZED:
            made = self._answer(connection, error)
            response = await made if inspect.isawaitable(made) else made
            for name, value in NO_STORE.items():
                response.headers.setdefault(name, value)
            return response
        return refusal_of(error)


def refusal_of(error: AuthError) -> Response:
    """Return a refusal as a response, where no framework makes one."""
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


def _closing(closing: WebSocketException) -> ASGIApp:
    async def close(_: Scope, __: Receive, send: Send) -> None:
        await send(
            {"type": "websocket.close", "code": closing.code, "reason": closing.reason or ""}
        )

    return close


def is_preflight(scope: Scope) -> bool:
    """Say whether a browser asks if a page may send a request (Fetch standard, CORS-preflight request)."""
    if scope["type"] != "http" or scope["method"] != "OPTIONS":
        return False
    headers = HTTPConnection(scope).headers
    asks = "origin" in headers and "access-control-request-method" in headers
    has_body = headers.get("content-length", "0") != "0"
    return asks and not has_body and not any(name in headers for name in _NOT_IN_PREFLIGHTS)


def _without_body(send: Send) -> Send:
    """Pass on status and headers only: an endpoint that answers OPTIONS like GET must not give its page away."""

    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                pair for pair in message.get("headers", ()) if pair[0].lower() != b"content-length"
            ]
            await send({**message, "headers": [*kept, (b"content-length", b"0")]})
        elif not message.get("more_body", False):
            await send({"type": "http.response.body", "body": b""})

    return headers_only

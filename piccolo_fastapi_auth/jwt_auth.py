"""``JWTAuth``: a key in, and a whole application is behind a log-in with tokens. An ``Auth`` and its middleware in one."""

from collections.abc import Iterable, Sequence
from typing import Generic

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypeVar

from piccolo_fastapi_auth.auth import Auth
from piccolo_fastapi_auth.identification import OnUnauthenticated
from piccolo_fastapi_auth.login.jwt_router import GetTokenResponse
from piccolo_fastapi_auth.middleware import AuthMiddleware
from piccolo_fastapi_auth.primitives.path_patterns import PathPatterns
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.users.user import AuthUser, User

UserT = TypeVar("UserT", bound=AuthUser, default=User)


class JWTAuth(Middleware, Generic[UserT]):
    """Protects a whole application, Starlette or FastAPI, with access tokens, and brings the log-in for them.

    It stands in a list of middleware, ``Starlette(middleware=[JWTAuth(secret_key=...)])``, or wraps an application:
    ``JWTAuth(app, secret_key=...)``. Behind it ``request.user`` is the user row and ``@requires`` works; see
    `AuthMiddleware`, which it is made of.

    ``POST`` with ``{username, password}`` to ``login_path`` answers ``{access_token, token_type, expires_in,
    refresh_token, scope}``, with ``mfa_code`` where there is a second factor; ``{refresh_token}`` answers alike.

    Args:
        app: The application, where it is not in a list.
        secret_key: Signs the tokens; several, and the first signs. Left out, the settings have it.
        excluded_paths: Where no token is needed; see `AuthMiddleware`.
        get_token_response: Called with the primary key of whoever logged in, sync or async. Returns members for the
            answer, as a mapping or as a response with a JSON object; the tokens are added to them.
        login_path: Where one logs in; ``None`` is nowhere.
        on_unauthenticated: What becomes of a stranger; see `AuthMiddleware`.
        auth: Your own ``Auth``, in place of ``secret_key``, for whatever else is to be set.

    Raises:
        ValueError: Both ``secret_key`` and ``auth``, or a path is no path.
        pydantic.ValidationError: The key is short or a placeholder. The message says how to make a good one.
    """

    def __init__(
        self,
        app: ASGIApp | None = None,
        *,
        secret_key: str | Sequence[str] | None = None,
        excluded_paths: Iterable[str] = (),
        get_token_response: GetTokenResponse | None = None,
        login_path: str | None = "/login",
        on_unauthenticated: OnUnauthenticated | None = None,
        auth: Auth[UserT] | None = None,
    ) -> None:
        super().__init__(self._around)
        if auth is not None and secret_key is not None:
            raise ValueError("Give secret_key or auth: an Auth has its keys")
        self.auth: Auth[UserT] = Auth(_settings(secret_key)) if auth is None else auth
        self._excluded = [excluded_paths] if isinstance(excluded_paths, str) else [*excluded_paths]
        self._on_unauthenticated = on_unauthenticated
        self._login_path = PathPatterns([] if login_path is None else [login_path])
        self._login = FastAPI(openapi_url=None)
        if login_path is not None:
            self._login.include_router(self.auth.jwt_login(login_path, shape=get_token_response))
        self._wrapped = None if app is None else self._around(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the application that was given to the constructor.

        Raises:
            TypeError: None was.
        """
        if self._wrapped is None:
            raise TypeError("JWTAuth wraps no application: put it in middleware=[...]")
        await self._wrapped(scope, receive, send)

    def _around(self, app: ASGIApp) -> ASGIApp:
        protected = AuthMiddleware(
            app,
            auth=self.auth,
            excluded_paths=self._excluded,
            on_unauthenticated=self._on_unauthenticated or "refuse",
        )
        log_in = AuthMiddleware(self._login, auth=self.auth, identify=False)

        async def jwt_auth(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                async with self.auth.lifespan():
                    await app(scope, receive, send)
            elif self._is_log_in(scope):
                await log_in(scope, receive, send)
            else:
                await protected(scope, receive, send)

        return jwt_auth

    def _is_log_in(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and self._login_path.match(scope["path"], root_path=scope.get("root_path", ""))
        )


def _settings(secret_key: str | Sequence[str] | None) -> AuthSettings:
    if secret_key is None:
        return AuthSettings()
    keys = [secret_key] if isinstance(secret_key, str) else secret_key
    return AuthSettings(secret_keys=[SecretStr(key) for key in keys])

"""``Auth``: the only place where parts meet."""

import contextlib
import functools
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Generic

from fastapi import APIRouter, FastAPI
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security import APIKeyHeader
from piccolo.engine.sqlite import SQLiteEngine
from piccolo.table import create_db_tables
from typing_extensions import TypeVar

from piccolo_fastapi_auth.accounts.schemas import ProfileUpdate, check_profile
from piccolo_fastapi_auth.audit.delivery import EventHook
from piccolo_fastapi_auth.audit.event import Action
from piccolo_fastapi_auth.audit.tables import BY_USER, AuthEvent
from piccolo_fastapi_auth.backends import AuthBackend
from piccolo_fastapi_auth.breaches import BreachCheck
from piccolo_fastapi_auth.captcha import Captcha, CaptchaGuard, PasswordGrantCaptchaGuard
from piccolo_fastapi_auth.core_parts import Chosen
from piccolo_fastapi_auth.current_user import (
    Admin,
    CurrentPrincipal,
    CurrentSession,
    CurrentUser,
    Identify,
    Machine,
    OptionalUser,
    Public,
    Require,
    SignedIn,
)
from piccolo_fastapi_auth.login.hooks import Hooks, LoginHooks, as_tuple
from piccolo_fastapi_auth.login.jwt_router import GetTokenResponse, JwtLoginRoute
from piccolo_fastapi_auth.mail.mailers import ConsoleMailer, Mailer
from piccolo_fastapi_auth.mail.templates import Overrides
from piccolo_fastapi_auth.mfa.method import MfaMethod
from piccolo_fastapi_auth.mfa.methods.recovery_codes import RecoveryCodes
from piccolo_fastapi_auth.mfa.methods.totp import Totp
from piccolo_fastapi_auth.middleware import AuthMiddleware
from piccolo_fastapi_auth.openapi import SchemeNames, describe
from piccolo_fastapi_auth.parts import Parts
from piccolo_fastapi_auth.primitives.clock import Clock, utc_now
from piccolo_fastapi_auth.primitives.passwords import PasswordHasher
from piccolo_fastapi_auth.rate_limits.dependencies import CostFunction, KeyFunction, RateLimit
from piccolo_fastapi_auth.rate_limits.documentation import document_limits
from piccolo_fastapi_auth.rate_limits.service import OnStoreFailure
from piccolo_fastapi_auth.route_audit import RouteProtection, audit_routes
from piccolo_fastapi_auth.routers import WELL_KNOWN, build_routers, together
from piccolo_fastapi_auth.routing import Guards, new_router
from piccolo_fastapi_auth.sessions.rate_limit_keys import KeyName, key_function
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.tables import TABLES
from piccolo_fastapi_auth.users.scopes import Scopes, ScopesOf
from piccolo_fastapi_auth.users.user import AuthUser, User
from piccolo_fastapi_auth.users.user_table import checked_user_table

UserT = TypeVar("UserT", bound=AuthUser, default=User)


class Auth(Generic[UserT]):
    """Everything about signing in for one application, as attributes: dependencies, routers, services.

    ``Auth()`` alone works: settings from the environment and the shipped ``User``.

    Args:
        settings: All settings; read from the environment when left out.
        user_table: The user table. It must be the one that the setting ``user_table`` names, because
            migrations run without an ``Auth``.
        mfa: The second factors on offer; by default an authenticator app and recovery codes.
        scopes: The scopes of the application, each with its description.
        scopes_of: Names the scopes of a person; sync or async. A superuser has all.
        before_login: Called before each log-in with ``username`` and ``request``; raising an
            ``AuthError`` refuses. One callable or several, as the other two hooks.
        after_login: Called after a success with ``username``, ``request``, ``user`` and ``session``.
        login_failed: Called after a refusal with ``username`` and ``request``.
        profile_schema: What a person may write with ``PATCH /auth/me``.
        mailer: Sends mails; by default they are printed, for development.
        mail_templates: The application's own templates of mails: a folder, or texts by file name.
        link_urls: For purposes of links in mails the application's own pages, with ``{token}`` in them.
        breach_check: Knows stolen passwords, such as ``PwnedPasswords``; by default nobody is asked.
        captcha: Stands before sign up, log-in and forgotten passwords, such as ``Turnstile``; by default none.
        clock: Returns the present moment, aware; every time in the library comes from it.
        backends: Kinds of credential beside cookie, token and API key, asked in order.
        hasher: Hashes passwords; the default is Argon2id at OWASP's parameters.

    Raises:
        pydantic.ValidationError: A setting is missing or weak.
        JwtKeyError: A signing key cannot be used.
        UserTableError: ``user_table`` is not the configured one.
        ValueError: ``profile_schema`` names a column that people must not write, a template of a mail or a
            URL of a link is no good.
    """

    def __init__(
        self,
        settings: AuthSettings | None = None,
        *,
        user_table: type[UserT] | None = None,
        mfa: Sequence[MfaMethod | RecoveryCodes] | None = None,
        scopes: Mapping[str, str] | None = None,
        scopes_of: ScopesOf[UserT] | None = None,
        before_login: Hooks = None,
        after_login: Hooks = None,
        login_failed: Hooks = None,
        profile_schema: type[ProfileUpdate] = ProfileUpdate,
        mailer: Mailer | None = None,
        mail_templates: Overrides | None = None,
        link_urls: Mapping[str, str] | None = None,
        breach_check: BreachCheck | None = None,
        captcha: Captcha | None = None,
        clock: Clock = utc_now,
        hasher: PasswordHasher | None = None,
        backends: Sequence[AuthBackend[UserT]] = (),
    ) -> None:
        self.settings = settings or AuthSettings()
        self.user_table = checked_user_table(user_table, self.settings)
        check_profile(profile_schema, self.user_table)
        self.clock = clock
        self._added = {
            one.scheme.scheme_name: one.scheme.model for one in backends if one.scheme is not None
        }
        self._parts = Parts(
            Chosen(
                settings=self.settings,
                user_table=self.user_table,
                mfa=[Totp(), RecoveryCodes()] if mfa is None else mfa,
                scopes=Scopes(scopes or {}, scopes_of),
                hooks=LoginHooks(
                    as_tuple(before_login), as_tuple(after_login), as_tuple(login_failed)
                ),
                clock=clock,
                hasher=hasher or PasswordHasher(),
                backends=backends,
                mailer=mailer or ConsoleMailer(),
                mail_templates=mail_templates,
                link_urls=link_urls,
                breach_check=breach_check,
                captcha=captcha,
            )
        )
        self._show_parts()
        self._build_guards()
        self._build_routers(profile_schema)

    def _show_parts(self) -> None:
        self._running = 0
        self.transport = self._parts.transport
        self.limiter = self._parts.limiter
        self.events = self._parts.events
        self.roles = self._parts.roles
        self.admin = self._parts.admin
        self.public = Public()
        self.origins = self._parts.origins
        self.outbox = self._parts.outbox
        self.users = self._parts.users
        self.sessions = self._parts.sessions
        self.api_keys = self._parts.api_keys
        self.mfa = self._parts.mfa
        self.mfa_flows = self._parts.mfa_flows
        self.operators = self._parts.operators
        self.moving = self._parts.moving

    def rate_limit(
        self,
        rate: str,
        *,
        key: KeyName | KeyFunction = "address",
        bucket: str | None = None,
        cost: int | CostFunction = 1,
        on_store_failure: OnStoreFailure | None = None,
    ) -> RateLimit:
        """Return a dependency that allows ``rate`` to each caller: ``Depends(auth.rate_limit("30/minute"))``.

        Args:
            rate: Such as ``"5/minute"`` or ``"5/minute;100/day"``.
            key: Who is counted: the client's ``"address"``, the ``"user"`` or the ``"session"`` behind the request,
                or a function of the connection, sync or async. Whom it cannot name counts by address.
            bucket: Routes with the same bucket share a counter; by default each endpoint has its own.
            cost: How much of the limit a request uses up, or a function of the request.
            on_store_failure: ``"memory"`` or ``"deny"``; by default what the settings say.

        Raises:
            ValueError: An argument can never work, or the rate is misspelt.
        """
        return self.limiter.limit(
            rate,
            key=key_function(key, self._parts.authenticator),
            bucket=bucket,
            cost=cost,
            on_store_failure=on_store_failure,
        )

    def on(self, action: Action | None, hook: EventHook) -> None:
        """Call ``hook``, sync or async, with every event of an action, or of all with ``None``, after its commit.

        Nothing that the hook raises reaches the request; how long it takes, the request waits.

        Raises:
            ValueError: There is no such action.
        """
        self.events.delivery.on(action, hook)

    def audit_routes(
        self, app: FastAPI, *, strict: bool = False, public: Collection[str] = ()
    ) -> list[RouteProtection]:
        """Return a row for each route of an application with what protects it; see `audit_routes`.

        Raises:
            UnprotectedRouteError: ``strict``, and a route is neither protected nor marked ``auth.public``.
        """
        return audit_routes(app, strict=strict, public=public)

    def _build_guards(self) -> None:
        self._names = SchemeNames.of(self.settings.prefix)
        token_url = f"{self.settings.prefix.lstrip('/')}/token"
        flow = OAuthFlowPassword(
            tokenUrl=token_url, refreshUrl=token_url, scopes=self._parts.scopes.declared
        )
        self._guard_parts = (
            self._parts.authenticator,
            self._parts.assurance,
            self._names.password,
            OAuth2(flows=OAuthFlows(password=flow)),
        )
        self.current_user = CurrentUser(*self._guard_parts)
        self.optional_user = OptionalUser(*self._guard_parts)
        self.current_session = CurrentSession(*self._guard_parts)
        self.principal = CurrentPrincipal(*self._guard_parts)
        self.identify = Identify(*self._guard_parts)

    def require(
        self, *, mfa: bool = False, fresh: timedelta | None = None, verified: bool = False
    ) -> Require[UserT]:
        """Return a dependency for the user row that also wants more of the log-in or the account.

        Args:
            mfa: Two factors were used; else 401 ``reauthentication_required``, or 403
                ``mfa_enrolment_required`` for a person who has no second factor.
            fresh: The person proved to be there within this time; else 401 ``reauthentication_required`` with
                ``max_age`` (RFC 9470).
            verified: The e-mail address is verified; else 403 ``email_not_verified``.
        """
        return Require(*self._guard_parts, mfa=mfa, fresh=fresh, verified=verified)

    def _own_guards(self) -> Guards:
        """Make the guards of our own routes, which take no credential without a session."""
        captcha, transport = self._parts.captcha, self.transport
        age = self.settings.reauthentication_age
        return Guards(
            signed_in=SignedIn(*self._guard_parts),
            current_user=CurrentUser(*self._guard_parts, sessions_only=True),
            fresh_user=Require(*self._guard_parts, sessions_only=True, fresh=age),
            admin=Admin(*self._guard_parts, sessions_only=True, fresh=age),
            machine=Machine(
                *self._guard_parts[:2], self._names.api_key, APIKeyHeader(name="X-API-Key").model
            ),
            human=(CaptchaGuard(captcha, transport),) if captcha else (),
            human_password=(PasswordGrantCaptchaGuard(captcha, transport),) if captcha else (),
        )

    def _build_routers(self, profile_schema: type[ProfileUpdate]) -> None:
        prefix, stem = self.settings.prefix, self._names.password.removesuffix("password")
        operations = "" if stem == "auth_" else stem
        new = functools.partial(
            new_router,
            operations=operations,
            lifespan=self.lifespan,
        )
        self.routers = build_routers(
            self._parts,
            self._own_guards(),
            new=functools.partial(new, prefix=prefix),
            new_well_known=functools.partial(new, marks=[WELL_KNOWN]),
            operations=operations,
            profile_schema=profile_schema,
        )
        self.router = together(self.routers, prefix=prefix)

    def jwt_login(self, path: str, *, shape: GetTokenResponse | None = None) -> APIRouter:
        """Return a router with one path, ``POST``, that answers a password or a refresh token with tokens; for `JWTAuth`."""
        captcha = self._parts.captcha
        router = new_router(marks=[path])
        JwtLoginRoute(
            transport=self.transport,
            login=self._parts.login,
            sessions=self.sessions,
            handout=self._parts.handout,
            human=None if captcha is None else CaptchaGuard(captcha, self.transport),
            shape=shape,
        ).add_to(router, path)
        return router

    def install(
        self,
        app: FastAPI,
        *,
        rate_limit: str | RateLimit | None = None,
        excluded_paths: Iterable[str] = (),
    ) -> None:
        """Add the thin middleware and the OpenAPI details. Optional, and harmless when called twice.

        Args:
            app: Where.
            rate_limit: What one caller may do in the whole application; see `AuthMiddleware`.
            excluded_paths: Exact paths that this limit does not count.

        Raises:
            ValueError: The rate is misspelt, or it was installed with other arguments before.
        """
        limit, excluded = self.limiter.global_limit(rate_limit), frozenset(excluded_paths)
        options = {
            "auth": self,
            "rate_limit": limit,
            "excluded_paths": excluded,
            "identify": False,  # the guards do it, where a route has one
        }
        installed: list[object] = getattr(app.state, "piccolo_fastapi_auth", [])
        if self in installed:
            if not any(middleware.kwargs == options for middleware in app.user_middleware):
                raise ValueError("install() was called before, with other arguments")
            return
        app.state.piccolo_fastapi_auth = [*installed, self]
        app.add_middleware(
            AuthMiddleware, auth=self, rate_limit=limit, excluded_paths=excluded, identify=False
        )
        settings = self.settings
        describe(
            app,
            self._names,
            cookie=settings.session_cookie,
            prefix=settings.prefix,
            added=self._added,
        )
        document_limits(app, everywhere=limit, excluded_paths=excluded)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: object = None) -> AsyncIterator[None]:
        """Open what is fast when kept open, and close it. Every router of this ``Auth`` brings it along."""
        self._running += 1
        if self._running == 1:
            await self._parts.open()
        try:
            yield
        finally:
            self._running -= 1
            if self._running == 0:
                await self._parts.close()

    async def create_tables(self) -> None:
        """Make every table and index, and the user table, if they are missing.

        For development, tests and the example; production runs ``piccolo migrations forwards all``.
        """
        if isinstance(self._parts.database.engine, SQLiteEngine):
            # Kept in the file: readers then never wait for the one writer.
            await self.user_table.raw("PRAGMA journal_mode=WAL")
        await create_db_tables(self.user_table, *TABLES, if_not_exists=True)
        await AuthEvent.create_index([*BY_USER], if_not_exists=True)

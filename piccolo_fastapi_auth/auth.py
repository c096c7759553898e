"""``Auth``: the only place where parts meet."""

import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic

from fastapi import APIRouter, FastAPI
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from piccolo.engine.sqlite import SQLiteEngine
from piccolo.table import create_db_tables
from typing_extensions import TypeVar

from piccolo_fastapi_auth.accounts.router import AccountRoutes
from piccolo_fastapi_auth.accounts.schemas import ProfileUpdate, check_profile
from piccolo_fastapi_auth.accounts.service import AccountService
from piccolo_fastapi_auth.current_user import (
    CurrentPrincipal,
    CurrentSession,
    CurrentUser,
    OptionalUser,
    Require,
    SignedIn,
)
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.login.hooks import Hooks, LoginHooks, as_tuple
from piccolo_fastapi_auth.login.oauth import OAuthRoute
from piccolo_fastapi_auth.login.router import LoginRoutes
from piccolo_fastapi_auth.login.service import LoginService
from piccolo_fastapi_auth.mfa.assurance import Assurance
from piccolo_fastapi_auth.mfa.challenge import Challenges
from piccolo_fastapi_auth.mfa.flows import MfaFlows
from piccolo_fastapi_auth.mfa.method import MfaMethod
from piccolo_fastapi_auth.mfa.methods.recovery_codes import RecoveryCodes
from piccolo_fastapi_auth.mfa.methods.totp import Totp
from piccolo_fastapi_auth.mfa.proof import Prover
from piccolo_fastapi_auth.mfa.recovery import RecoveryService
from piccolo_fastapi_auth.mfa.router import MfaRoutes
from piccolo_fastapi_auth.mfa.service import MfaService
from piccolo_fastapi_auth.middleware import AuthMiddleware
from piccolo_fastapi_auth.one_time_tokens.service import OneTimeTokens
from piccolo_fastapi_auth.openapi import SchemeNames, describe
from piccolo_fastapi_auth.password_gate import PasswordGate
from piccolo_fastapi_auth.primitives.clock import Clock, utc_now
from piccolo_fastapi_auth.primitives.hash_pool import HashPool
from piccolo_fastapi_auth.primitives.opaque_tokens import derive_key
from piccolo_fastapi_auth.primitives.passwords import PasswordHasher
from piccolo_fastapi_auth.primitives.sealing import Sealer
from piccolo_fastapi_auth.rate_limits.dependencies import CostFunction, KeyFunction, RateLimit
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.rate_limits.login_guard import LoginGuard
from piccolo_fastapi_auth.routing import Guards, QuickRouter, new_router
from piccolo_fastapi_auth.sessions.access_tokens import AccessTokens
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.handout import Handout
from piccolo_fastapi_auth.sessions.lookup import primary_key
from piccolo_fastapi_auth.sessions.router import SessionRoutes
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.tables import TABLES
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.code_guard import CodeGuard
from piccolo_fastapi_auth.users.scopes import Scopes, ScopesOf
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser, User
from piccolo_fastapi_auth.users.user_table import checked_user_table

WELL_KNOWN = "/.well-known/"

UserT = TypeVar("UserT", bound=AuthUser, default=User)


@dataclass(frozen=True, slots=True)
class Routers:
    """The prebuilt routers, one a slice, each with the configured prefix."""

    login: APIRouter
    sessions: APIRouter
    mfa: APIRouter
    accounts: APIRouter
    keys: APIRouter


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
        clock: Returns the present moment, aware; every time in the library comes from it.
        hasher: Hashes passwords; the default is Argon2id at OWASP's parameters.

    Raises:
        pydantic.ValidationError: A setting is missing or weak.
        JwtKeyError: A signing key cannot be used.
        UserTableError: ``user_table`` is not the configured one.
        ValueError: ``profile_schema`` names a column that people must not write.
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
        clock: Clock = utc_now,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self.settings = settings or AuthSettings()
        self.user_table = checked_user_table(user_table, self.settings)
        check_profile(profile_schema, self.user_table)
        self.clock = clock
        self.transport = Transport(self.settings)
        self._scopes = Scopes(scopes or {}, scopes_of)
        self._hooks = LoginHooks(
            as_tuple(before_login), as_tuple(after_login), as_tuple(login_failed)
        )
        self._profile_schema = profile_schema
        self._running = 0
        self.limiter = RateLimiter(
            self.settings.rate_limit_storage,
            trusted_proxies=self.settings.trusted_proxies,
            clock=clock,
        )
        self._build_people(hasher or PasswordHasher())
        self._build_gate()
        self._build_mfa([Totp(), RecoveryCodes()] if mfa is None else mfa)
        self._build_guards()
        self._build_routers()

    def rate_limit(
        self,
        rate: str,
        *,
        key: KeyFunction | None = None,
        bucket: str | None = None,
        cost: int | CostFunction = 1,
    ) -> RateLimit:
        """Return a dependency that allows ``rate`` to each caller: ``Depends(auth.rate_limit("30/minute"))``.

        Args:
            rate: Such as ``"5/minute"`` or ``"5/minute;100/day"``.
            key: Names the caller, sync or async; the client's address by default.
            bucket: Routes with the same bucket share a counter; by default each endpoint has its own.
            cost: How much of the limit a request uses up, or a function of the request.

        Raises:
            ValueError: An argument can never work, or the rate is misspelt.
        """
        return self.limiter.limit(rate, key=key, bucket=bucket, cost=cost)

    def _build_people(self, hasher: PasswordHasher) -> None:
        settings, clock = self.settings, self.clock
        self._database = Database(self.user_table)
        self._pool = HashPool(workers=settings.hash_concurrency, queue=settings.hash_queue)
        self.users = UserService(
            self._database, self.user_table, hasher=hasher, pool=self._pool, clock=clock
        )
        self.sessions = SessionService(self._database, self.user_table, settings, clock=clock)
        self._tokens = AccessTokens(settings, clock=clock, user_key=primary_key(self.user_table))
        self._authenticator = Authenticator(
            transport=self.transport,
            sessions=self.sessions,
            tokens=self._tokens,
            scopes=self._scopes,
            clock=clock,
        )

    def _build_gate(self) -> None:
        keys = [derive_key(secret, purpose="login guard") for secret in self.settings.secrets]
        settings, new = (
            self.settings,
            functools.partial(LoginGuard, self.limiter.service, keys, clock=self.clock),
        )
        self._gate = PasswordGate(
            users=self.users,
            passwords=new(
                per_address=settings.login_limit_per_ip,
                per_account=settings.login_limit_per_account,
            ),
            codes=new(per_address=settings.login_limit_per_ip, per_account="", namespace="CODE"),
        )

    def _build_mfa(self, methods: Sequence[MfaMethod | RecoveryCodes]) -> None:
        codes = [method for method in methods if isinstance(method, RecoveryCodes)]
        self._code_guard = CodeGuard(self._database, clock=self.clock)
        self.mfa = MfaService(
            self._database,
            methods=[method for method in methods if not isinstance(method, RecoveryCodes)],
            recovery=RecoveryService(
                self._database, codes=codes[0] if codes else None, clock=self.clock
            ),
            sealer=Sealer(self.settings.sealing_keys),
            hold=self.users.hold,
            clock=self.clock,
        )
        self.mfa_flows = MfaFlows(
            database=self._database,
            users=self.users,
            mfa=self.mfa,
            sessions=self.sessions,
            guard=self._code_guard,
        )
        self._prover = Prover(users=self.users, gate=self._gate, mfa=self.mfa, flows=self.mfa_flows)
        self._assurance = Assurance[UserT](self.settings, self.mfa)

    def _build_guards(self) -> None:
        self._names = SchemeNames.of(self.settings.prefix)
        stem = self._names.password.removesuffix("password")
        self._operations = "" if stem == "auth_" else stem
        token_url = f"{self.settings.prefix.lstrip('/')}/token"
        flow = OAuthFlowPassword(
            tokenUrl=token_url, refreshUrl=token_url, scopes=self._scopes.declared
        )
        self._guard_parts = (
            self._authenticator,
            self._assurance,
            self._names.password,
            OAuth2(flows=OAuthFlows(password=flow)),
        )
        self.current_user = CurrentUser(*self._guard_parts)
        self.optional_user = OptionalUser(*self._guard_parts)
        self.current_session = CurrentSession(*self._guard_parts)
        self.principal = CurrentPrincipal(*self._guard_parts)

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
        return Guards(
            signed_in=SignedIn(*self._guard_parts),
            current_user=self.current_user,
            fresh_user=self.require(fresh=self.settings.reauthentication_age),
        )

    def _build_routers(self) -> None:
        guards = self._own_guards()
        handout = Handout(
            transport=self.transport,
            tokens=self._tokens,
            scopes=self._scopes,
            assurance=self._assurance,
            clock=self.clock,
        )
        new = functools.partial(
            new_router,
            prefix=self.settings.prefix,
            operations=self._operations,
            lifespan=self.lifespan,
        )
        self.routers = Routers(
            new(),
            new(),
            new(),
            new(),
            new_router(marks=[WELL_KNOWN], operations=self._operations, lifespan=self.lifespan),
        )
        self._login_routes(guards, handout)
        SessionRoutes(
            settings=self.settings, transport=self.transport, sessions=self.sessions, tokens=self._tokens,
            authenticator=self._authenticator, handout=handout, guards=guards,
        ).add_to(self.routers.sessions, keys=self.routers.keys)  # fmt: skip
        MfaRoutes(
            settings=self.settings,
            mfa=self.mfa,
            flows=self.mfa_flows,
            authenticator=self._authenticator,
            guards=guards,
        ).add_to(self.routers.mfa)
        accounts = AccountService(
            self.settings,
            database=self._database,
            users=self.users,
            sessions=self.sessions,
            prover=self._prover,
            gate=self._gate,
        )
        AccountRoutes(
            settings=self.settings, transport=self.transport, accounts=accounts, users=self.users,
            authenticator=self._authenticator, handout=handout, guards=guards, profile_schema=self._profile_schema,
        ).add_to(self.routers.accounts)  # fmt: skip
        self.router = QuickRouter(marks=[f"{self.settings.prefix}/", WELL_KNOWN])
        for field in dataclasses.fields(self.routers):
            self.router.include_router(getattr(self.routers, field.name))

    def _login_routes(self, guards: Guards, handout: Handout[UserT]) -> None:
        tokens = OneTimeTokens(self._database, clock=self.clock)
        challenges = Challenges(
            tokens=tokens,
            mfa=self.mfa,
            users=self.users,
            lifetime=self.settings.mfa_token_lifetime,
        )
        login = LoginService(
            database=self._database, users=self.users, gate=self._gate, sessions=self.sessions, mfa=self.mfa,
            challenges=challenges,
            guard=self._code_guard, assurance=self._assurance, login_hooks=self._hooks, clock=self.clock,
        )  # fmt: skip
        routes = LoginRoutes(
            transport=self.transport, login=login, prover=self._prover, sessions=self.sessions, scopes=self._scopes,
            authenticator=self._authenticator, handout=handout, guards=guards,
        )  # fmt: skip
        routes.add_to(self.routers.login)
        token_router = new_router(OAuthRoute, operations=self._operations)
        routes.add_token_to(token_router)
        self.routers.login.include_router(token_router)

    def install(self, app: FastAPI) -> None:
        """Add the thin middleware and the OpenAPI details. Optional, and harmless when called twice."""
        installed: list[object] = getattr(app.state, "piccolo_fastapi_auth", [])
        if self in installed:
            return
        app.state.piccolo_fastapi_auth = [*installed, self]
        app.add_middleware(AuthMiddleware, auth=self)
        describe(app, self._names, cookie=self.settings.session_cookie)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: object = None) -> AsyncIterator[None]:
        """Open what is fast when kept open, and close it. Every router of this ``Auth`` brings it along."""
        self._running += 1
        if self._running == 1:
            await self._database.open()
        try:
            yield
        finally:
            self._running -= 1
            if self._running == 0:
                await self._database.close()
                self._pool.close()
                await self.limiter.aclose()

    async def create_tables(self) -> None:
        """Make every table and index, and the user table, if they are missing.

        For development, tests and the example; production runs ``piccolo migrations forwards all``.
        """
        if isinstance(self._database.engine, SQLiteEngine):
            # Kept in the file: readers then never wait for the one writer.
            await self.user_table.raw("PRAGMA journal_mode=WAL")
        await create_db_tables(self.user_table, *TABLES, if_not_exists=True)

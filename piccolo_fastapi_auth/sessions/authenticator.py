"""Who sent a request: from a credential to a live session, or to what else is good, once a request."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Generic, Protocol, TypeVar, cast

from starlette.requests import HTTPConnection

from piccolo_fastapi_auth import origin
from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.backends import Backends
from piccolo_fastapi_auth.database import unavailable_when_broken
from piccolo_fastapi_auth.errors import (
    CredentialNotAcceptedError,
    ImpersonatingError,
    InvalidTokenError,
    NotAuthenticatedError,
    SessionExpiredError,
)
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.primitives.jwt import AccessClaims
from piccolo_fastapi_auth.rate_limits.headers import queue_headers
from piccolo_fastapi_auth.sessions.access_tokens import AccessTokens, Principal, UserId
from piccolo_fastapi_auth.sessions.amr import from_amr
from piccolo_fastapi_auth.sessions.origin_check import OriginCheck
from piccolo_fastapi_auth.sessions.records import Identity, Session
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.transport import (
    SAFE_METHODS,
    ApiKeyCredential,
    BearerCredential,
    CookieCredential,
    Credential,
    Transport,
)
from piccolo_fastapi_auth.users.scopes import Scopes
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

_PRECISION = timedelta(seconds=1)  # of times in a token
VARY = (b"vary", b"Authorization, Cookie, Origin")


class Keys(Protocol[UserT]):
    """Who knows API keys; the api_keys slice does."""

    async def authenticate(self, text: str) -> Authenticated[UserT]:
        """Return what a key proves, or refuse it."""
        ...


class Authenticator(Generic[UserT]):
    """Finds out who sent a request. Remembers the answer in the request's own scope."""

    def __init__(
        self,
        *,
        transport: Transport,
        sessions: SessionService[UserT],
        tokens: AccessTokens,
        scopes: Scopes[UserT],
        origins: OriginCheck[UserT],
        keys: Keys[UserT],
        backends: Backends[UserT],
        clock: Clock,
    ) -> None:
        self.transport = transport
        self.check_origin = origins.check
        self.clock = clock
        self._sessions = sessions
        self._tokens = tokens
        self._scopes = scopes
        self._keys = keys
        self._backends = backends
        self._memo = f"piccolo_fastapi_auth.{id(self)}"

    async def found(
        self, connection: HTTPConnection
    ) -> Identity[UserT] | Authenticated[UserT] | None:
        """Return the live session and its person, or what a credential of another kind proves.

        Returns:
            ``None`` when no credential came.

        Raises:
            AuthError: A credential came and is not good.
        """
        memo: dict[str, Identity[UserT] | Authenticated[UserT]] = connection.scope.setdefault(
            self._memo, {}
        )
        if "found" not in memo:
            found = await self._look_up(connection)
            if found is None:
                return None
            memo["found"] = found
        if isinstance(known := memo["found"], Identity):
            # Each time: who was looked up before one of our routes was reached is noted there, too.
            self._note(connection, known.session)
        return known

    def credential(self, connection: HTTPConnection) -> Credential | None:
        """Return the credential that came; whatever is answered now depends on it, and no cache may forget that.

        Raises:
            AuthError: It is not even one.
        """
        queue_headers(connection.scope, [VARY])
        return self.transport.credential(connection)

    async def _look_up(
        self, connection: HTTPConnection
    ) -> Identity[UserT] | Authenticated[UserT] | None:
        credential = self.credential(connection)
        chosen = self._backends.choose(connection, credential)
        with unavailable_when_broken():
            if chosen is not None:
                return await self._backends.authenticate(*chosen, connection)
            if isinstance(credential, ApiKeyCredential):
                return await self._keys.authenticate(credential.token)
            return None if credential is None else await self._session(connection, credential)

    async def _session(
        self, connection: HTTPConnection, credential: CookieCredential | BearerCredential
    ) -> Identity[UserT]:
        if isinstance(credential, BearerCredential):
            found = await self._by_token(credential)
        else:
            await self.check_origin(connection)
            found = await self._by_cookie(credential)
        await self._sessions.touch(found.session)
        return found

    def _note(self, connection: HTTPConnection, session: Session) -> None:
        """Note for events who asks; on our own routes whoever acts as somebody else changes nothing (ADM-3)."""
        is_ours = origin.note_session(session.id, session.actor_id or session.user_id)
        if (
            is_ours
            and session.actor_id is not None
            and connection.scope["method"] not in SAFE_METHODS
        ):
            raise ImpersonatingError

    async def _by_token(self, credential: BearerCredential) -> Identity[UserT]:
        claims = self._tokens.claims(credential.token)
        found = await self._sessions.find.by_id(claims.sid, now=self.clock())
        if found is None:
            raise SessionExpiredError
        if str(found.session.user_id) != claims.sub or found.session.transport != "bearer":
            raise InvalidTokenError
        session = self._as_proved(found.session, claims)
        return found if session is found.session else replace(found, session=session)

    def _as_proved(self, session: Session, claims: AccessClaims) -> Session:
        """Return the session as it was when the token was made: what was proved since is in newer tokens (ASVS 7.2.4)."""
        if session.authenticated_at - claims.auth_time >= _PRECISION:
            session = replace(session, authenticated_at=claims.auth_time)
        if self._tokens.is_multi_factor(session) and "mfa" not in claims.amr:
            session = replace(session, methods=from_amr(claims.amr))
        return session

    async def _by_cookie(self, credential: CookieCredential) -> Identity[UserT]:
        if credential.digest is None:
            raise InvalidTokenError
        found = await self._sessions.find.by_cookie(credential.digest, now=self.clock())
        if found is None:
            raise SessionExpiredError
        return found

    async def anybody(self, connection: HTTPConnection) -> Identity[UserT] | Authenticated[UserT]:
        """Return whoever asks, by whatever good credential.

        Raises:
            NotAuthenticatedError: No credential came.
            AuthError: One came and is not good.
        """
        found = await self.found(connection)
        if found is None:
            raise NotAuthenticatedError
        return found

    async def required(self, connection: HTTPConnection) -> Identity[UserT]:
        """Return the live session and its person: what our own routes ask for.

        Raises:
            NotAuthenticatedError: No credential came.
            CredentialNotAcceptedError: It is an API key, or another one without a session.
            AuthError: One came and is not good.
        """
        found = await self.anybody(connection)
        if isinstance(found, Authenticated):
            raise CredentialNotAcceptedError
        return found

    async def principal(
        self,
        connection: HTTPConnection,
        *,
        check: Callable[[Identity[UserT] | Authenticated[UserT]], Awaitable[None]],
    ) -> Principal:
        """Return who asks: from a token without the database, from a cookie or an API key with one query.

        ``check`` may refuse; a token of ours is not checked, it is only given to those who satisfy the policy.

        Raises:
            AuthError: No credential came, or it is not good.
        """
        own = self._own_token(connection)
        if own is not None:
            return own
        found = await self.anybody(connection)
        await check(found)
        scopes = await self.scopes(connection, found)
        if isinstance(found, Authenticated):
            return _principal_of(found, scopes)
        session = found.session
        return Principal(
            user_id=session.user_id,
            session_id=session.id,
            scopes=scopes,
            methods=session.methods,
            authenticated_at=session.authenticated_at,
            expires_at=session.expires_at,
            transport=session.transport,
            actor_id=session.actor_id,
            multi_factor=self._tokens.is_multi_factor(session),
        )

    def _own_token(self, connection: HTTPConnection) -> Principal | None:
        """Return what an access token of ours says; ``None`` when none came."""
        credential = self.credential(connection)
        if not isinstance(credential, BearerCredential):
            return None
        if self._backends.choose(connection, credential) is not None:
            return None
        return self._tokens.read(credential.token)

    async def named(self, connection: HTTPConnection) -> tuple[str, str] | None:
        """Name the person and the session behind a request, for counting; without a session the credential.

        Returns:
            ``None`` when no credential came.

        Raises:
            AuthError: One came and is not good.
        """
        own = self._own_token(connection)
        if own is not None:
            return f"user:{own.user_id}", f"session:{own.session_id}"
        found = await self.found(connection)
        if found is None:
            return None
        if not isinstance(found, Authenticated):
            return f"user:{found.session.user_id}", f"session:{found.session.id}"
        name = f"{found.transport}:{found.credential_id}"
        user = name if found.user is None else f"user:{_key_of(found.user)}"
        return user, user if found.credential_id is None else name

    async def scopes(
        self, connection: HTTPConnection, found: Identity[UserT] | Authenticated[UserT]
    ) -> tuple[str, ...]:
        """Return the scopes of this request: the person's now, within the session's, the token's or the key's."""
        if isinstance(found, Authenticated):
            if found.user is None:
                return tuple(found.scopes or ())
            return await self._scopes.of(found.user, within=found.scopes)
        held = await self._scopes.of(found.user, within=found.session.scope)
        credential = self.transport.credential(connection)
        if held and isinstance(credential, BearerCredential):
            granted = self._tokens.claims(credential.token).scope
            return tuple(scope for scope in held if scope in granted)
        return held


def _key_of(user: AuthUser) -> UserId:
    return cast("UserId", getattr(user, user._meta.primary_key._meta.name))


def _principal_of(found: Authenticated[UserT], scopes: tuple[str, ...]) -> Principal:
    return Principal(
        user_id=None if found.user is None else _key_of(found.user),
        session_id=None,
        scopes=scopes,
        methods=found.methods,
        authenticated_at=found.authenticated_at,
        expires_at=found.expires_at,
        transport=found.transport,
        credential_id=found.credential_id,
    )

"""Who sent a request: from a credential to a live session, once a request."""

from typing import Generic, TypeVar

from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.audit import origin
from piccolo_fastapi_auth.database import unavailable_when_broken
from piccolo_fastapi_auth.errors import (
    InvalidTokenError,
    NotAuthenticatedError,
    SessionExpiredError,
)
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.access_tokens import AccessTokens, Principal
from piccolo_fastapi_auth.sessions.origin_check import OriginCheck
from piccolo_fastapi_auth.sessions.records import Identity
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.transport import BearerCredential, CookieCredential, Transport
from piccolo_fastapi_auth.users.scopes import Scopes
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


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
        clock: Clock,
    ) -> None:
        self.transport = transport
        self.check_origin = origins.check
        self.clock = clock
        self._sessions = sessions
        self._tokens = tokens
        self._scopes = scopes
        self._memo = f"piccolo_fastapi_auth.{id(self)}"

    async def identity(self, connection: HTTPConnection) -> Identity[UserT] | None:
        """Return the live session and its person; ``None`` when no credential came.

        Raises:
            AuthError: A credential came and is not good.
        """
        memo: dict[str, Identity[UserT]] = connection.scope.setdefault(self._memo, {})
        if "identity" not in memo:
            found = await self._look_up(connection)
            if found is None:
                return None
            memo["identity"] = found
        return memo["identity"]

    async def _look_up(self, connection: HTTPConnection) -> Identity[UserT] | None:
        credential = self.transport.credential(connection)
        if credential is None:
            return None
        with unavailable_when_broken():
            if isinstance(credential, BearerCredential):
                found = await self._by_token(credential)
            else:
                await self.check_origin(connection)
                found = await self._by_cookie(credential)
            await self._sessions.touch(found.session)
        origin.note_session(found.session.id, found.session.user_id)
        return found

    async def _by_token(self, credential: BearerCredential) -> Identity[UserT]:
        principal = self._tokens.read(credential.token)
        found = await self._sessions.find.by_id(principal.session_id, now=self.clock())
        if found is None:
            raise SessionExpiredError
        if found.session.user_id != principal.user_id or found.session.transport != "bearer":
            raise InvalidTokenError
        return found

    async def _by_cookie(self, credential: CookieCredential) -> Identity[UserT]:
        if credential.digest is None:
            raise InvalidTokenError
        found = await self._sessions.find.by_cookie(credential.digest, now=self.clock())
        if found is None:
            raise SessionExpiredError
        return found

    async def required(self, connection: HTTPConnection) -> Identity[UserT]:
        """Return the live session and its person.

        Raises:
            NotAuthenticatedError: No credential came.
            AuthError: One came and is not good.
        """
        identity = await self.identity(connection)
        if identity is None:
            raise NotAuthenticatedError
        return identity

    async def principal(self, connection: HTTPConnection) -> Principal:
        """Return who asks: from a token without the database, from a cookie with one query.

        Raises:
            AuthError: No credential came, or it is not good.
        """
        credential = self.transport.credential(connection)
        if isinstance(credential, BearerCredential):
            return self._tokens.read(credential.token)
        identity = await self.required(connection)
        session = identity.session
        return Principal(
            user_id=session.user_id,
            session_id=session.id,
            scopes=await self.scopes(connection, identity),
            methods=session.methods,
            authenticated_at=session.authenticated_at,
            expires_at=session.expires_at,
            transport=session.transport,
        )

    async def scopes(
        self, connection: HTTPConnection, identity: Identity[UserT]
    ) -> tuple[str, ...]:
        """Return the scopes of this request: the person's now, within the session's and the token's."""
        held = await self._scopes.of(identity.user, within=identity.session.scope)
        credential = self.transport.credential(connection)
        if held and isinstance(credential, BearerCredential):
            granted = self._tokens.read(credential.token).scopes
            return tuple(scope for scope in held if scope in granted)
        return held

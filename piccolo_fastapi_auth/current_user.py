"""The dependencies: who is asking, and whether that is enough. One FastAPI node each, one query at most.

Each guard is a frozen value: equal arguments make equal dependencies, so ``app.dependency_overrides`` reaches
them and FastAPI runs equal ones once. A request is identified once, however many guards it meets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from fastapi.openapi.models import SecurityBase as SecuritySchemeModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.audit import origin
from piccolo_fastapi_auth.errors import (
    AuthError,
    EmailNotVerifiedError,
    InsufficientScopeError,
    ReauthenticationRequiredError,
)
from piccolo_fastapi_auth.sessions.access_tokens import Principal
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.records import Assurance, Identity, Session
from piccolo_fastapi_auth.transport import Transport, refuse
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


@dataclass(frozen=True, eq=True)
class _Guard(SecurityBase, Generic[UserT]):
    """What all dependencies share. A security scheme itself, so OpenAPI needs no second node."""

    authenticator: Authenticator[UserT]
    assurance: Assurance[UserT]
    scheme_name: str
    model: SecuritySchemeModel = field(compare=False, repr=False)

    async def _user(self, connection: HTTPConnection, scopes: Sequence[str]) -> UserT:
        try:
            identity = await self.authenticator.required(connection)
            await self._check_scopes(connection, identity, scopes)
            await self._check(identity)
        except AuthError as error:
            raise refuse(connection, error) from error.__cause__
        return identity.user

    async def _check_scopes(
        self, connection: HTTPConnection, identity: Identity[UserT], scopes: Sequence[str]
    ) -> None:
        if scopes and not set(scopes) <= set(await self.authenticator.scopes(connection, identity)):
            raise InsufficientScopeError(scopes)

    async def _check(self, identity: Identity[UserT]) -> None:
        """Refuse what this guard refuses beyond a missing credential."""
        await self.assurance.check_policy(identity)


@dataclass(frozen=True)
class NoteOrigin:
    """Notes where a request to one of our own routes comes from, for the events that it leads to."""

    transport: Transport

    async def __call__(self, connection: HTTPConnection) -> None:
        """Note it."""
        origin.note(self.transport.caller(connection))


class CurrentUser(_Guard[UserT]):
    """The person behind the request, from one indexed query; revocation holds on the very next request."""

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> UserT:
        """Return the user row, or refuse."""
        return await self._user(connection, security_scopes.scopes)


class SignedIn(CurrentUser[UserT]):
    """The person behind the request, also one who must still set up a second factor. For our own routes."""

    async def _check(self, identity: Identity[UserT]) -> None:
        pass


class OptionalUser(_Guard[UserT]):
    """The person behind the request, or ``None`` without a credential; a bad credential is still refused."""

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes
    ) -> UserT | None:
        """Return the user row or ``None``, or refuse."""
        try:
            if await self.authenticator.identity(connection) is None:
                return None
        except AuthError as error:
            raise refuse(connection, error) from error.__cause__
        return await self._user(connection, security_scopes.scopes)


class CurrentSession(_Guard[UserT]):
    """The session behind the request."""

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes
    ) -> Session:
        """Return the session, or refuse."""
        await self._user(connection, security_scopes.scopes)
        return (await self.authenticator.required(connection)).session


class CurrentPrincipal(_Guard[UserT]):
    """Who asks; for a bearer token without any database."""

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes
    ) -> Principal:
        """Return the principal, or refuse."""
        try:
            principal = await self.authenticator.principal(connection)
            if (
                principal.transport == "cookie"
            ):  # a token is only given to those who satisfy the policy
                await self.assurance.check_policy(await self.authenticator.required(connection))
            if not set(security_scopes.scopes) <= set(principal.scopes):
                raise InsufficientScopeError(security_scopes.scopes)
        except AuthError as error:
            raise refuse(connection, error) from error.__cause__
        return principal


@dataclass(frozen=True, eq=True)
class Require(_Guard[UserT]):
    """The person behind the request, when the log-in and the account are good enough (RFC 9470)."""

    mfa: bool = False
    fresh: timedelta | None = None
    verified: bool = False

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> UserT:
        """Return the user row, or refuse."""
        return await self._user(connection, security_scopes.scopes)

    async def _check(self, identity: Identity[UserT]) -> None:
        await super()._check(identity)
        if self.verified and not identity.email_verified:
            raise EmailNotVerifiedError
        if self.mfa:
            await self.assurance.demand(identity)
        age = self.authenticator.clock() - identity.session.authenticated_at
        if self.fresh is not None and age > self.fresh:
            raise ReauthenticationRequiredError(max_age=self.fresh)

"""The dependencies: who is asking, and whether that is enough. One FastAPI node each, one query at most.

Each guard is a frozen value: equal arguments make equal dependencies, so ``app.dependency_overrides`` reaches
them and FastAPI runs equal ones once. A request is identified once, however many guards it meets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Generic, TypeVar

from fastapi.openapi.models import SecurityBase as SecuritySchemeModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.database import unavailable_when_broken
from piccolo_fastapi_auth.errors import (
    AuthError,
    CredentialNotAcceptedError,
    EmailNotVerifiedError,
    ImpersonatingError,
    InsufficientScopeError,
    ReauthenticationRequiredError,
)
from piccolo_fastapi_auth.sessions.access_tokens import Principal
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.records import Assurance, Identity, Session
from piccolo_fastapi_auth.transport import refuse
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


@dataclass(frozen=True, eq=True)
class _Guard(SecurityBase, Generic[UserT]):
    """What all dependencies share. A security scheme itself, so OpenAPI needs no second node."""

    authenticator: Authenticator[UserT]
    assurance: Assurance[UserT]
    scheme_name: str
    model: SecuritySchemeModel = field(compare=False, repr=False)
    sessions_only: bool = False  # our own routes: no key manages credentials

    async def _user(self, connection: HTTPConnection, scopes: Sequence[str]) -> UserT:
        user = (await self._admitted(connection, scopes)).user
        if user is None:
            raise refuse(connection, CredentialNotAcceptedError("This belongs to no person."))
        return user

    async def _admitted(
        self, connection: HTTPConnection, scopes: Sequence[str]
    ) -> Identity[UserT] | Authenticated[UserT]:
        try:
            found = await self.authenticator.anybody(connection)
            if self.sessions_only and isinstance(found, Authenticated):
                raise CredentialNotAcceptedError
            with unavailable_when_broken():  # the checks may ask the database too
                await self._check_scopes(connection, found, scopes)
                await self._check(found)
        except AuthError as error:
            raise refuse(connection, error) from error.__cause__
        return found

    async def _check_scopes(
        self,
        connection: HTTPConnection,
        found: Identity[UserT] | Authenticated[UserT],
        scopes: Sequence[str],
    ) -> None:
        if scopes and not set(scopes) <= set(await self.authenticator.scopes(connection, found)):
            raise InsufficientScopeError(scopes)

    async def _check(self, found: Identity[UserT] | Authenticated[UserT]) -> None:
        """Refuse what this guard refuses beyond a missing credential."""
        await self.assurance.check_policy(found)


class CurrentUser(_Guard[UserT]):
    """The person behind the request, from one indexed query; revocation holds on the very next request."""

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> UserT:
        """Return the user row, or refuse."""
        return await self._user(connection, security_scopes.scopes)


class SignedIn(CurrentUser[UserT]):
    """The person behind the request, also one who must still set up a second factor. For our own routes."""

    async def _check(self, found: Identity[UserT] | Authenticated[UserT]) -> None:
        if isinstance(found, Authenticated):
            raise CredentialNotAcceptedError


class OptionalUser(_Guard[UserT]):
    """The person behind the request, or ``None`` without a credential; a bad credential is still refused."""

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes
    ) -> UserT | None:
        """Return the user row or ``None``, or refuse."""
        try:
            if await self.authenticator.found(connection) is None:
                return None
        except AuthError as error:
            raise refuse(connection, error) from error.__cause__
        return await self._user(connection, security_scopes.scopes)


class CurrentSession(_Guard[UserT]):
    """The session behind the request. An API key has none, so it is refused: 403 ``credential_not_accepted``."""

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes
    ) -> Session:
        """Return the session, or refuse."""
        await self._user(connection, security_scopes.scopes)
        try:
            return (await self.authenticator.required(connection)).session
        except AuthError as error:
            raise refuse(connection, error) from error.__cause__


class CurrentPrincipal(_Guard[UserT]):
    """Who asks, also where that is no person; for a bearer token of ours without any database."""

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes
    ) -> Principal:
        """Return the principal, or refuse."""
        try:
            with unavailable_when_broken():
                principal = await self.authenticator.principal(connection, check=self._check)
            if not set(security_scopes.scopes) <= set(principal.scopes):
                raise InsufficientScopeError(security_scopes.scopes)
        except AuthError as error:
            raise refuse(connection, error) from error.__cause__
        return principal


class Machine(_Guard[UserT]):
    """A program with an API key or a static token; a person's session is refused. For our own routes."""

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> None:
        """Let it in, or refuse."""
        await self._admitted(connection, security_scopes.scopes)

    async def _check(self, found: Identity[UserT] | Authenticated[UserT]) -> None:
        if not isinstance(found, Authenticated):
            raise CredentialNotAcceptedError("Bring an API key or a static token.")
        await super()._check(found)


class Identify(_Guard[UserT]):
    """Who asks, for ``AuthMiddleware``; whoever it lets in, `CurrentUser` would."""

    async def __call__(self, connection: HTTPConnection) -> tuple[UserT | str, tuple[str, ...]]:
        """Return the person, or the name of a machine, and the scopes; or refuse."""
        found = await self._admitted(connection, ())
        with unavailable_when_broken():
            scopes = await self.authenticator.scopes(connection, found)
        if found.user is None:
            return found.credential_id or found.transport, scopes
        return found.user, scopes


@dataclass(frozen=True, eq=True)
class Require(_Guard[UserT]):
    """The person behind the request, when the log-in and the account are good enough (RFC 9470)."""

    mfa: bool = False
    fresh: timedelta | None = None
    verified: bool = False

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> UserT:
        """Return the user row, or refuse."""
        return await self._user(connection, security_scopes.scopes)

    async def _check(self, found: Identity[UserT] | Authenticated[UserT]) -> None:
        await super()._check(found)
        if self.verified and not found.email_verified:
            raise EmailNotVerifiedError
        if isinstance(found, Authenticated):
            if self.mfa or self.fresh is not None:  # nobody is there to prove anything
                raise CredentialNotAcceptedError
            return
        if found.session.actor_id is not None and (self.mfa or self.fresh is not None):
            raise ImpersonatingError  # the person did not prove to be there
        if self.mfa:
            await self.assurance.demand(found)
        age = self.authenticator.clock() - found.session.authenticated_at
        if self.fresh is not None and age > self.fresh:
            raise ReauthenticationRequiredError(max_age=self.fresh)


@dataclass(frozen=True, eq=True)
class Admin(Require[UserT]):
    """An administrator, freshly logged in, with the second factor where there is one (ASVS 8.4.2). For our own routes."""

    async def _check(self, found: Identity[UserT] | Authenticated[UserT]) -> None:
        await super()._check(found)
        if not isinstance(found, Authenticated):
            await self.assurance.demand_strongest(found)


@dataclass(frozen=True)
class Public:
    """The mark of a route that is meant to be open: ``dependencies=[Depends(auth.public)]``."""

    async def __call__(self) -> None:
        """Let everybody pass."""


def guard_name(call: object) -> str | None:
    """Return what a dependency is called in the list of routes; ``None`` when it is no guard."""
    if not isinstance(call, _Guard):
        return None
    if isinstance(call, Require):
        chosen = {"mfa": call.mfa, "fresh": call.fresh is not None, "verified": call.verified}
        wanted = ", ".join(name for name, wants in chosen.items() if wants)
        return f"{'admin' if isinstance(call, Admin) else 'require'}({wanted})"
    return _NAMES[type(call)]


_NAMES: Final[dict[type[object], str]] = {
    CurrentUser: "current_user",
    SignedIn: "current_user",
    OptionalUser: "optional_user",
    CurrentSession: "current_session",
    CurrentPrincipal: "principal",
    Machine: "machine",
}

"""What an administrator does to people. Never sees or sets a password (ADM-1)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import NotFoundError, ResetUnavailableError, TargetNotAllowedError
from piccolo_fastapi_auth.mfa.flows import MfaFlows
from piccolo_fastapi_auth.one_time_tokens.service import OneTimeTokens
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.records import Identity
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.users.roles import Roles
from piccolo_fastapi_auth.users.scopes import ADMIN, IMPERSONATE, Scopes
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

IMPERSONATION_LIFETIME: Final = timedelta(minutes=10)
_POWERS: Final = {ADMIN, IMPERSONATE}

StartReset = Callable[[object], Awaitable[None]]
"""Sends a person the mail by which they choose a new password, and leaves ``password.reset_requested``."""


@dataclass(frozen=True, slots=True)
class Acting(Generic[UserT]):
    """A session in which an administrator acts as somebody, and its secret."""

    identity: Identity[UserT]
    secret: str = field(repr=False)


class AdminService(Generic[UserT]):
    """Administration of one ``Auth``. ``by`` is the administrator, who was let in by scope, freshness and factor."""

    def __init__(
        self,
        *,
        database: Database,
        users: UserService[UserT],
        sessions: SessionService[UserT],
        flows: MfaFlows[UserT],
        roles: Roles,
        scopes: Scopes[UserT],
        tokens: OneTimeTokens,
        events: Events,
        start_reset: StartReset | None,
        clock: Clock,
    ) -> None:
        self._database = database
        self._users = users
        self._sessions = sessions
        self._flows = flows
        self._roles = roles
        self._scopes = scopes
        self._tokens = tokens
        self._events = events
        self._clock = clock
        self._start_reset = start_reset

    async def person(self, user_id: object) -> UserT:
        """Return a person.

        Raises:
            NotFoundError: There is nobody with that key.
        """
        user = await self._users.read(user_id)
        if user is None:
            raise NotFoundError
        return user

    async def target(self, by: Identity[UserT], user_id: object) -> UserT:
        """Return somebody whom this administrator may change.

        Raises:
            NotFoundError: There is nobody with that key.
            TargetNotAllowedError: Oneself, or a superuser where the administrator is none.
        """
        user = await self.person(user_id)
        if user_id == by.session.user_id or (user.superuser and not by.user.superuser):
            raise TargetNotAllowedError
        return user

    async def deactivate(self, by: Identity[UserT], user_id: object) -> None:
        """Close an account: nobody logs in, and its sessions and keys are refused at once."""
        await self.target(by, user_id)
        async with self._database.atomic():
            if await self._users.set_active(user_id, active=False):
                ended = await self._sessions.end_all(user_id)
                await self._tokens.end_all(user_id)
                detail = {"sessions_ended": ended}
                await self._events.record("user.deactivated", user=user_id, detail=detail)

    async def activate(self, by: Identity[UserT], user_id: object) -> None:
        """Open an account again. What was ended stays ended."""
        await self.target(by, user_id)
        async with self._database.atomic():
            if await self._users.set_active(user_id, active=True):
                await self._events.record("user.activated", user=user_id)

    async def reset_password(self, by: Identity[UserT], user_id: object) -> None:
        """Start a reset: the person gets the mail and chooses the password (ADM-1, ASVS 6.4.6).

        Raises:
            NotFoundError: The person has no address.
            ResetUnavailableError: No link can be made: the setting ``public_origin`` is missing.
        """
        await self.target(by, user_id)
        if self._start_reset is None:
            raise ResetUnavailableError
        await self._start_reset(user_id)

    async def end_session(self, by: Identity[UserT], user_id: object, session_id: UUID) -> None:
        """End one session of a person.

        Raises:
            NotFoundError: They have no such session.
        """
        await self.target(by, user_id)
        if not await self._sessions.end(session_id, user_id=user_id, reason="administrator"):
            raise NotFoundError

    async def end_sessions(self, by: Identity[UserT], user_id: object) -> None:
        """End every session of a person (ADM-2)."""
        await self.target(by, user_id)
        await self._sessions.end_others(user_id, but=None, reason="administrator")

    async def reset_mfa(self, by: Identity[UserT], user_id: object) -> None:
        """Remove every second factor of a person who is locked out, and end their sessions."""
        await self.target(by, user_id)
        await self._flows.reset(user_id)

    async def grant(self, by: Identity[UserT], user_id: object, name: str) -> None:
        """Give a person a role whose scopes the administrator has.

        Raises:
            TargetNotAllowedError: It would give more than the administrator has.
        """
        await self.target(by, user_id)
        role = await self._roles.named(name)
        if not set(role.scopes) <= set(await self._scopes.of(by.user)):
            raise TargetNotAllowedError
        async with self._database.atomic():
            if await self._roles.grant(user_id, role):
                await self._events.record("role.granted", user=user_id, detail={"role": name})

    async def revoke(self, by: Identity[UserT], user_id: object, name: str) -> None:
        """Take a role from a person.

        Raises:
            NotFoundError: They do not have it.
        """
        await self.target(by, user_id)
        role = await self._roles.named(name)
        async with self._database.atomic():
            if not await self._roles.revoke(user_id, role):
                raise NotFoundError
            await self._events.record("role.revoked", user=user_id, detail={"role": name})

    async def impersonate(
        self, by: Identity[UserT], user_id: object, *, ip: str | None, user_agent: str | None
    ) -> Acting[UserT]:
        """Begin to act as somebody, for ten minutes, by the transport of the administrator (ADM-3, RFC 8693).

        A cookie takes the place of the administrator's own, whose session ends: one session a browser.

        Raises:
            TargetNotAllowedError: A peer: somebody who administers, or may become a superuser's equal.
        """
        user = await self.target(by, user_id)
        if user.superuser or user.admin or _POWERS & set(await self._scopes.of(user)):
            raise TargetNotAllowedError
        now, own = self._clock(), by.session
        async with self._database.atomic():
            started = await self._sessions.start(
                user_id,
                transport=own.transport,
                methods=own.methods,  # how strongly the one who acts has logged in
                scope=None,
                ip=ip,
                user_agent=user_agent,
                authenticated_at=now,
                actor=own.user_id,
                lifetime=IMPERSONATION_LIFETIME,
            )
            if own.transport == "cookie":
                await self._sessions.replace(own.id)
            await self._events.record(
                "impersonation.started",
                user=user_id,
                actor=own.user_id,
                session_id=started.session_id,
            )
            identity = await self._sessions.find.by_id(started.session_id, now=now)
            if identity is None:
                raise NotFoundError  # the account is closed: nothing of this has happened
        return Acting(identity, started.secret)

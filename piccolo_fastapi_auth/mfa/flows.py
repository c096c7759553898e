"""Sequences around second factors: confirm, remove, make codes anew. Each is one transaction."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import (
    InvalidCodeError,
    MfaEnrolmentRequiredError,
    NoAddressError,
)
from piccolo_fastapi_auth.mfa.method import Begun, SentMethod
from piccolo_fastapi_auth.mfa.notices import Notices
from piccolo_fastapi_auth.mfa.sending import SentCodes
from piccolo_fastapi_auth.mfa.service import Enrolled, MfaService
from piccolo_fastapi_auth.password_gate import PasswordGate
from piccolo_fastapi_auth.sessions.records import Identity, Session
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.users.code_guard import CodeGuard
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A second factor that is now active; recovery codes with the first only; a new cookie where one came."""

    enrolled: Enrolled
    recovery_codes: list[str] = field(repr=False)
    cookie: str | None = field(repr=False)


class MfaFlows(Generic[UserT]):
    """What changes a person's second factors, with what must happen beside it."""

    def __init__(
        self,
        *,
        database: Database,
        users: UserService[UserT],
        mfa: MfaService,
        sessions: SessionService[UserT],
        sent: SentCodes,
        guard: CodeGuard,
        events: Events,
        notices: Notices,
        gate: PasswordGate[UserT],
    ) -> None:
        self._events = events
        self._database = database
        self._mfa = mfa
        self._users = users
        self._sessions = sessions
        self._sent = sent
        self._guard = guard
        self._notices = notices
        self._gate = gate

    async def begin(
        self, identity: Identity[UserT], *, method: str, name: str | None
    ) -> tuple[UUID, Begun]:
        """Start an enrolment; where the method sends codes, the first one goes out.

        Raises:
            NoAddressError: There is no address to send it to.
            RateLimitedError: The address has had too many.
            AlreadyEnrolledError: The person has as many as anybody may have.
        """
        user_id, kind = identity.session.user_id, self._mfa.methods[method]
        if not isinstance(kind, SentMethod):
            account = identity.user.username
            return await self._mfa.begin(user_id, method=method, name=name, account=account)
        address = kind.address_of(identity.user)
        if not address:
            raise NoAddressError
        await self._sent.count(address)
        row_id, begun = await self._mfa.begin(user_id, method=method, name=name, account=address)
        await self._sent.send_first(user_id, row_id, method=kind)
        return row_id, begun

    async def confirm(
        self,
        identity: Identity[UserT],
        enrolment_id: UUID,
        code: str,
        *,
        method: str,
        caller: Caller,
    ) -> Confirmation:
        """Activate an enrolment; every other session ends, and this one's cookie is a new one (ASVS 7.2.4).

        Raises:
            NotFoundError: No such enrolment waits, or it is somebody else's.
            InvalidCodeError: The code is wrong; the enrolment still waits.
            RateLimitedError: Too many wrong codes.
        """
        session, user_id = identity.session, identity.session.user_id
        row = await self._mfa.waiting(user_id, enrolment_id, method=method)
        counted = await self._gate.count_code(user_id, caller)
        await self._guard.reserve(user_id)
        async with self._database.atomic():
            await self._users.hold(user_id)  # of two devices confirmed at once one is the first
            await self._guard.give_back(user_id)
            first = not await self._mfa.is_enrolled(user_id)
            if not await self._mfa.confirm(row, code):
                raise InvalidCodeError  # rolls the giving back back, too
            codes = await self._mfa.recovery.regenerate(user_id) if first else []
            ended = await self._sessions.end_all(user_id, but=session.id)
            detail = {"sessions_ended": ended}
            await self._events.record("mfa.enrolled", user=user_id, method=method, detail=detail)
            cookie = None
            if session.transport == "cookie":
                cookie = await self._sessions.renew(identity, methods=[method])
            else:  # its answer has no room for new tokens
                await self._sessions.add_method(session, method)
        await self._gate.code_was_right(counted)
        self._notices.tell(user_id, "added")
        enrolled = [one for one in await self._mfa.of_user(user_id) if one.id == enrolment_id]
        return Confirmation(enrolled[0], codes, cookie)

    async def remove(self, session: Session, enrolment_id: UUID) -> None:
        """Remove an enrolment; every other session ends.

        Raises:
            NotFoundError: There is none, or it is somebody else's.
        """
        async with self._database.atomic():
            await self._users.hold(session.user_id)
            method = await self._mfa.remove(session.user_id, enrolment_id)
            ended = await self._sessions.end_all(session.user_id, but=session.id)
            await self._events.record(
                "mfa.removed", user=session.user_id, method=method, detail={"sessions_ended": ended}
            )
        self._notices.tell(session.user_id, "removed")

    async def new_recovery_codes(self, user_id: object) -> list[str]:
        """Make recovery codes anew; the old ones die.

        Raises:
            MfaEnrolmentRequiredError: There is no second factor to stand in for.
        """
        async with self._database.atomic():
            await self._users.hold(user_id)
            if not await self._mfa.is_enrolled(user_id):
                raise MfaEnrolmentRequiredError
            codes = await self._mfa.recovery.regenerate(user_id)
            await self._events.record("recovery_codes.regenerated", user=user_id)
        self._notices.tell(user_id, "codes_regenerated")
        return codes

    async def reset(self, user_id: object) -> None:
        """Remove every second factor of a person who is locked out, and end their sessions. For operators."""
        async with self._database.atomic():
            await self._mfa.remove_all(user_id)
            ended = await self._sessions.end_all(user_id)
            await self._events.record(
                "mfa.removed", user=user_id, detail={"factors": "all", "sessions_ended": ended}
            )
        self._notices.tell(user_id, "removed")

    async def prove(
        self, user_id: object, *, method: str, code: str, caller: Caller, flow: str = ""
    ) -> None:
        """Check a code of somebody who is logged in already.

        Raises:
            InvalidCodeError: It is wrong, or was used.
            RateLimitedError: Too many wrong codes.
        """
        counted = await self._gate.count_code(user_id, caller)
        await self._guard.reserve(user_id)
        if not await self._mfa.prove(user_id, method=method, code=code, flow=flow):
            await self._mfa.note_failure(user_id, method=method)
            raise InvalidCodeError
        await self._guard.give_back(user_id)
        await self._gate.code_was_right(counted)

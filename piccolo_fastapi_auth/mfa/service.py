"""Second factors of people: enrol, confirm, prove, rename, remove."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.database import Database, Row
from piccolo_fastapi_auth.errors import AlreadyEnrolledError, NotFoundError
from piccolo_fastapi_auth.mfa.method import Begun, MfaMethod, SentMethod, without_credit
from piccolo_fastapi_auth.mfa.methods import recovery_codes
from piccolo_fastapi_auth.mfa.notices import Notices
from piccolo_fastapi_auth.mfa.recovery import RecoveryService
from piccolo_fastapi_auth.mfa.states import STATE_COLUMNS, States
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.amr import is_multi_factor

MOST_FAILURES_IN_A_ROW = 100
MOST_ENROLMENTS = 20
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An enrolment as its owner may see it."""

    id: UUID
    method: str
    name: str
    created_at: datetime
    last_used_at: datetime | None


class MfaService:
    """Second factors of one ``Auth``."""

    def __init__(
        self,
        database: Database,
        *,
        methods: Sequence[MfaMethod],
        recovery: RecoveryService,
        states: States,
        notices: Notices,
        hold: Callable[[object], Awaitable[None]],
        events: Events,
        clock: Clock,
    ) -> None:
        self._events = events
        self._database = database
        self.methods = {method.name: method for method in methods}
        self._without_credit = without_credit(methods)
        self.recovery = recovery
        self._states = states
        self._notices = notices
        self._hold = hold
        self._clock = clock

    async def is_enrolled(self, user_id: object) -> bool:
        """Say whether a person has a second factor; one that was disabled by wrong codes still counts."""
        table = AuthMfaMethod
        return bool(
            await table.exists().where(table.user == user_id, table.confirmed_at.is_not_null())
        )

    async def has_credited(self, user_id: object) -> bool:
        """Say whether a person has a second factor that counts where the assurance must be high."""
        table = AuthMfaMethod
        return bool(
            await table.exists().where(
                table.user == user_id,
                table.confirmed_at.is_not_null(),
                table.method.not_in(["", *self._without_credit]),
            )
        )

    async def fingerprint(self, user_id: object) -> str:
        """Name a person's second factors as they are: adding, removing or disabling one makes another name."""
        table = AuthMfaMethod
        rows = await (
            table.select(table.id)
            .where(
                table.user == user_id, table.confirmed_at.is_not_null(), table.disabled_at.is_null()
            )
            .order_by(table.id)
        )
        return " ".join(str(row["id"]) for row in rows)

    def has_credit(self, method: str) -> bool:
        """Say whether a method counts where the assurance must be high."""
        return method not in self._without_credit

    def is_sent(self, method: str) -> bool:
        """Say whether a method's codes are sent when they are asked for."""
        return isinstance(self.methods.get(method), SentMethod)

    def is_multi_factor(self, methods: Iterable[str]) -> bool:
        """Say whether a sign-in by these methods used two factors."""
        return is_multi_factor(methods, without_credit=self._without_credit)

    async def strongest(self, user_id: object) -> list[str]:
        """Return the names of a person's usable methods; of a person with one that counts, only those (SUD-1)."""
        names = await self.usable(user_id)
        if not await self.has_credited(user_id):
            return names
        return [name for name in names if self.has_credit(name)]

    async def usable(self, user_id: object) -> list[str]:
        """Return the names of the methods with which a person can prove themselves now."""
        table = AuthMfaMethod
        rows = await table.select(table.method).where(
            table.user == user_id, table.confirmed_at.is_not_null(), table.disabled_at.is_null()
        )
        names = [name for name in self.methods if any(row["method"] == name for row in rows)]
        return [*names, recovery_codes.NAME] if await self.recovery.left(user_id) else names

    async def of_user(self, user_id: object) -> list[Enrolled]:
        """Return a person's confirmed enrolments, newest first."""
        table = AuthMfaMethod
        rows = await (
            table.select(table.id, table.method, table.name, table.created_at, table.last_used_at)
            .where(table.user == user_id, table.confirmed_at.is_not_null())
            .order_by(table.created_at, ascending=False)
        )
        return [Enrolled(**row) for row in rows]

    async def begin(
        self, user_id: object, *, method: str, name: str | None, account: str
    ) -> tuple[UUID, Begun]:
        """Start an enrolment; it does nothing until it is confirmed. An older unconfirmed one ends.

        Raises:
            AlreadyEnrolledError: The person has as many as anybody may have.
        """
        table = AuthMfaMethod
        begun = self.methods[method].begin(account=account)
        row_id = uuid4()
        row = table(
            id=row_id,
            user=user_id,
            method=method,
            name=(name or begun.name or method)[:LONGEST_NAME],
            state=self._states.seal(begun.state, row_id=row_id, user_id=user_id),
            created_at=self._clock(),
        )
        async with self._database.atomic():
            await self._hold(user_id)
            await table.delete().where(
                table.user == user_id, table.method == method, table.confirmed_at.is_null()
            )
            if await table.count().where(table.user == user_id) >= MOST_ENROLMENTS:
                raise AlreadyEnrolledError
            await table.insert(row)
        return row_id, begun

    async def waiting(self, user_id: object, enrolment_id: UUID, *, method: str) -> Row:
        """Return the row of an enrolment that waits for its first code.

        Raises:
            NotFoundError: There is none, or it is somebody else's.
        """
        table = AuthMfaMethod
        row = await (
            table.select(*STATE_COLUMNS)
            .where(
                table.id == enrolment_id,
                table.user == user_id,
                table.method == method,
                table.confirmed_at.is_null(),
            )
            .first()
        )
        if row is None:
            raise NotFoundError
        return row

    async def confirm(self, row: Row, code: str) -> bool:
        """Finish an enrolment with its first code; return whether the code was right."""
        proven = self._proven(row, code, flow=enrolment_flow(row))
        return proven is not None and await self._store(row, proven, confirm=True)

    async def digests(self, user_id: object, *, method: str, code: str) -> list[str]:
        """Do what is slow about checking a code; call it before the transaction of `prove`."""
        if method != recovery_codes.NAME:
            return []
        return await self.recovery.digests(user_id, code)

    async def prove(
        self,
        user_id: object,
        *,
        method: str,
        code: str,
        flow: str = "",
        digests: Sequence[str] | None = None,
    ) -> bool:
        """Check a code of a person and mark it used. Call `CodeGuard.reserve` first.

        ``flow`` names the challenge or the session that asks; a code that was sent is good in its own flow only.
        ``digests`` are needed inside a transaction only.

        Returns:
            Whether it was right; of several who present one code at once, one is told so.
        """
        if method == recovery_codes.NAME:
            return await self.recovery.use(user_id, code, digests=digests)
        table = AuthMfaMethod
        rows = await table.select(*STATE_COLUMNS).where(
            table.user == user_id,
            table.method == method,
            table.confirmed_at.is_not_null(),
            table.disabled_at.is_null(),
        )
        for row in rows:
            proven = self._proven(row, code, flow=flow)
            if proven is not None:
                return await self._store(row, proven, confirm=False)
        return False

    async def note_failure(self, user_id: object, *, method: str) -> None:
        """Count a wrong code against every enrolment that it might have meant; the hundredth in a row disables."""
        table = AuthMfaMethod
        mine = (table.user == user_id) & (table.method == method) & table.confirmed_at.is_not_null()
        async with self._database.atomic():
            await self._database.write(
                table.update({table.failures: table.failures + 1}).where(mine)
            )
            disabled = await self._database.write(
                table.update({table.disabled_at: self._clock()})
                .where(mine, table.failures >= MOST_FAILURES_IN_A_ROW, table.disabled_at.is_null())
                .returning(table.id)
            )
            await self._events.record("mfa.failed", outcome="failure", user=user_id, method=method)
            if disabled:
                await self._events.record("mfa.disabled", user=user_id, method=method)
        if disabled:
            self._notices.tell(user_id, "disabled")

    async def rename(self, user_id: object, enrolment_id: UUID, *, name: str) -> Enrolled:
        """Give an enrolment another name.

        Raises:
            NotFoundError: There is none, or it is somebody else's.
        """
        table = AuthMfaMethod
        await self._database.write(
            table.update({table.name: name}).where(
                table.id == enrolment_id, table.user == user_id, table.confirmed_at.is_not_null()
            )
        )
        for enrolled in await self.of_user(user_id):
            if enrolled.id == enrolment_id:
                return enrolled
        raise NotFoundError

    async def remove(self, user_id: object, enrolment_id: UUID) -> str:
        """Remove an enrolment; with the last one the recovery codes go too. Call it inside a transaction.

        Returns:
            Its method.

        Raises:
            NotFoundError: There is none, or it is somebody else's.
        """
        table = AuthMfaMethod
        gone = await self._database.write(
            table.delete()
            .where(table.id == enrolment_id, table.user == user_id)
            .returning(table.method)
        )
        if not gone:
            raise NotFoundError
        if not await self.is_enrolled(user_id):
            await self.recovery.end_all(user_id)
        return str(gone[0]["method"])

    async def remove_all(self, user_id: object) -> None:
        """Remove every second factor of a person, for an administrator. Call it inside a transaction."""
        await self._database.write(AuthMfaMethod.delete().where(AuthMfaMethod.user == user_id))
        await self.recovery.end_all(user_id)

    async def reseal(self) -> int:
        """Seal again, under the newest key, what an older key sealed; return how many rows changed."""
        return await self._states.reseal()

    def _proven(self, row: Row, code: str, *, flow: str) -> bytes | None:
        method = self.methods.get(str(row["method"]))
        return self._states.ask(method, row, code, flow=flow, now=self._clock())

    async def _store(self, row: Row, state: bytes, *, confirm: bool) -> bool:
        now, table = self._clock(), AuthMfaMethod
        changes: dict[object, object] = {table.failures: 0, table.last_used_at: now}
        if confirm:
            changes[table.confirmed_at] = now
        return await self._states.swap(row, state, changes)


def enrolment_flow(row: Row) -> str:
    """Name the flow of an enrolment that waits for its first code."""
    return f"enrolment {row['id']}"

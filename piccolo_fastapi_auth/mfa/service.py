"""Second factors of people: enrol, confirm, prove, rename, remove. The only reader and writer of sealed states."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID, uuid4

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.database import Database, Row
from piccolo_fastapi_auth.errors import AlreadyEnrolledError, NotFoundError
from piccolo_fastapi_auth.mfa.method import Begun, MfaMethod
from piccolo_fastapi_auth.mfa.methods import recovery_codes
from piccolo_fastapi_auth.mfa.recovery import RecoveryService
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.primitives.sealing import Sealer, SealError

MOST_FAILURES_IN_A_ROW = 100
MOST_ENROLMENTS = 20

logger = logging.getLogger(__name__)


_STATE = (
    AuthMfaMethod.id, AuthMfaMethod.user, AuthMfaMethod.method, AuthMfaMethod.state, AuthMfaMethod.version,
)  # fmt: skip


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
        sealer: Sealer,
        hold: Callable[[object], Awaitable[None]],
        events: Events,
        clock: Clock,
    ) -> None:
        self._events = events
        self._database = database
        self.methods = {method.name: method for method in methods}
        self.recovery = recovery
        self._sealer = sealer
        self._hold = hold
        self._clock = clock

    async def is_enrolled(self, user_id: object) -> bool:
        """Say whether a person has a second factor; one that was disabled by wrong codes still counts."""
        table = AuthMfaMethod
        return bool(
            await table.exists().where(table.user == user_id, table.confirmed_at.is_not_null())
        )

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
        self, user_id: object, *, method: str, name: str, account: str
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
            name=name,
            state=self._sealer.seal(begun.state, bound_to=_bound_to(row_id, user_id)),
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
            table.select(*_STATE)
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
        proven = self._proven(row, code)
        return proven is not None and await self._store(row, proven, confirm=True)

    async def prove(self, user_id: object, *, method: str, code: str) -> bool:
        """Check a code of a person and mark it used. Call `CodeGuard.reserve` first.

        Returns:
            Whether it was right; of several who present one code at once, one is told so.
        """
        if method == recovery_codes.NAME:
            return await self.recovery.use(user_id, code)
        table = AuthMfaMethod
        rows = await table.select(*_STATE).where(
            table.user == user_id,
            table.method == method,
            table.confirmed_at.is_not_null(),
            table.disabled_at.is_null(),
        )
        for row in rows:
            proven = self._proven(row, code)
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
        changed = 0
        for row in await AuthMfaMethod.select(*_STATE):
            try:
                if not self._sealer.needs_resealing(str(row["state"])):
                    continue
                state = self._sealer.open(
                    str(row["state"]), bound_to=_bound_to(row["id"], row["user"])
                )
            except SealError:
                logger.warning(
                    "The second factor %s opens under no key and stays as it is.", row["id"]
                )
                continue
            changed += await self._swap(row, state, {})
        return changed

    def _proven(self, row: Row, code: str) -> bytes | None:
        """Ask the method; a state that does not open (another row's, a lost key) proves nothing."""
        method = self.methods.get(str(row["method"]))
        if method is None:
            return None
        try:
            state = self._sealer.open(str(row["state"]), bound_to=_bound_to(row["id"], row["user"]))
        except SealError:
            logger.warning(
                "A second factor cannot be opened: was a key dropped before rotate_encryption?"
            )
            return None
        return method.prove(state, code, now=self._clock())

    async def _store(self, row: Row, state: bytes, *, confirm: bool) -> bool:
        now, table = self._clock(), AuthMfaMethod
        changes: dict[object, object] = {table.failures: 0, table.last_used_at: now}
        if confirm:
            changes[table.confirmed_at] = now
        return await self._swap(row, state, changes)

    async def _swap(self, row: Row, state: bytes, changes: dict[object, object]) -> bool:
        """Store the next state, if the row still holds the one that it came from."""
        table, version = AuthMfaMethod, cast("int", row["version"])
        sealed = self._sealer.seal(state, bound_to=_bound_to(row["id"], row["user"]))
        swapped = await self._database.write(
            table.update({table.state: sealed, table.version: version + 1, **changes})  # type: ignore[dict-item] # columns, all of them
            .where(table.id == row["id"], table.version == version)
            .returning(table.id)
        )
        return bool(swapped)


def _bound_to(row_id: object, user_id: object) -> str:
    """Name the row that a sealed state belongs to: moved to another row or person it does not open."""
    return f"auth_mfa_method:{row_id}:{user_id}"

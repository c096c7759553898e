"""Recovery codes of people: made anew, counted, used once."""

from uuid import uuid4

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.mfa.methods.recovery_codes import RecoveryCodes, digest
from piccolo_fastapi_auth.mfa.tables import AuthRecoveryCode
from piccolo_fastapi_auth.primitives.clock import Clock


class RecoveryService:
    """Recovery codes of one ``Auth``; without `RecoveryCodes` among its methods there are none."""

    def __init__(
        self, database: Database, *, codes: RecoveryCodes | None, events: Events, clock: Clock
    ) -> None:
        self._events = events
        self._database = database
        self._codes = codes
        self._clock = clock

    async def regenerate(self, user_id: object) -> list[str]:
        """Return new codes; the old ones die with it. Call it inside a transaction."""
        if self._codes is None:
            return []
        await self.end_all(user_id)
        codes, now = self._codes.make(), self._clock()
        rows = [
            AuthRecoveryCode(id=uuid4(), user=user_id, code_hash=digest(code), created_at=now)
            for code in codes
        ]
        await self._database.write(AuthRecoveryCode.insert(*rows))
        return codes

    async def left(self, user_id: object) -> int:
        """Return how many codes are unused."""
        table = AuthRecoveryCode
        if self._codes is None:
            return 0
        return int(await table.count().where(table.user == user_id, table.used_at.is_null()))

    async def use(self, user_id: object, code: str) -> bool:
        """Use a code up; of several who present it at once, one is told that it was good."""
        hashed, table = digest(code), AuthRecoveryCode
        if hashed is None or self._codes is None:
            return False
        async with self._database.atomic():
            used = await self._database.write(
                table.update({table.used_at: self._clock()})
                .where(table.user == user_id, table.code_hash == hashed, table.used_at.is_null())
                .returning(table.id)
            )
            if used:
                await self._events.record("recovery_code.used", user=user_id)
        return bool(used)

    async def end_all(self, user_id: object) -> None:
        """Delete a person's codes."""
        await self._database.write(
            AuthRecoveryCode.delete().where(AuthRecoveryCode.user == user_id)
        )

"""Recovery codes of people: made anew, counted, used once."""

import functools
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar
from uuid import uuid4

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.mfa.methods import moved_codes
from piccolo_fastapi_auth.mfa.methods.recovery_codes import RecoveryCodes, digest
from piccolo_fastapi_auth.mfa.tables import AuthRecoveryCode
from piccolo_fastapi_auth.primitives.clock import Clock

T = TypeVar("T")


class OffTheLoop(Protocol):
    """Runs slow work in the hash pool."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns."""
        ...


class RecoveryService:
    """Recovery codes of one ``Auth``; without `RecoveryCodes` among its methods there are none."""

    def __init__(
        self,
        database: Database,
        *,
        codes: RecoveryCodes | None,
        off_the_loop: OffTheLoop,
        events: Events,
        clock: Clock,
    ) -> None:
        self._off_the_loop = off_the_loop
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

    async def use(
        self, user_id: object, code: str, *, digests: Sequence[str] | None = None
    ) -> bool:
        """Use a code up; of several who present it at once, one is told that it was good.

        Inside a transaction give the `digests`, made before it.
        """
        table = AuthRecoveryCode
        if digests is None:
            digests = await self.digests(user_id, code)
        if not digests:
            return False
        async with self._database.atomic():
            used = await self._database.write(
                table.update({table.used_at: self._clock()})
                .where(
                    table.user == user_id,
                    table.code_hash.is_in(list(digests)),
                    table.used_at.is_null(),
                )
                .returning(table.id)
            )
            if used:
                await self._events.record("recovery_code.used", user=user_id)
        return bool(used)

    async def digests(self, user_id: object, code: str) -> list[str]:
        """Return what may be stored of a code: one digest for ours, and for one that was moved one for each salt.

        Only the form of a moved code costs a hash, and only for a person who has some left. Call it before a
        transaction: a hash takes as long as that of a password, and others wait to write.
        """
        if self._codes is None:
            return []
        if (own := digest(code)) is not None:
            return [own]
        if (moved := moved_codes.spelled(code)) is None:
            return []
        table = AuthRecoveryCode
        query = table.select(table.derivation).where(
            table.user == user_id, table.derivation.is_not_null(), table.used_at.is_null()
        )
        derivations = {str(row["derivation"]) for row in await query}
        return [
            await self._off_the_loop(functools.partial(moved_codes.digest, moved, derivation=one))
            for one in sorted(derivations)
        ]

    async def end_all(self, user_id: object) -> None:
        """Delete a person's codes."""
        await self._database.write(
            AuthRecoveryCode.delete().where(AuthRecoveryCode.user == user_id)
        )

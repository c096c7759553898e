"""A cap on one-time codes tried for a person, across challenges, factors and routes (NIST SP 800-63B-4 section 3.2.2)."""

from datetime import timedelta

from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import RateLimitedError
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.users.tables import AuthAccount

MOST_ATTEMPTS = 10
WINDOW = timedelta(minutes=15)


class CodeGuard:
    """Counts before anything is compared, and gives back what was right: exact under parallel load."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def reserve(self, user_id: object) -> None:
        """Take one of the person's attempts.

        Raises:
            RateLimitedError: None is left in this window.
        """
        now = self._clock()
        table = AuthAccount
        await self._database.write(
            table.insert(table(user=user_id)).on_conflict(action="DO NOTHING", target=table.user)
        )
        begun = await self._database.write(
            table.update({table.code_attempts: 1, table.code_window_at: now})
            .where(
                table.user == user_id,
                table.code_window_at.is_null() | (table.code_window_at <= now - WINDOW),
            )
            .returning(table.id)
        )
        if begun:
            return
        counted = await self._database.write(
            table.update({table.code_attempts: table.code_attempts + 1})
            .where(table.user == user_id, table.code_attempts < MOST_ATTEMPTS)
            .returning(table.id)
        )
        if not counted:
            raise RateLimitedError(retry_after=await self._wait(user_id))

    async def give_back(self, user_id: object) -> None:
        """Return an attempt whose code was right."""
        table = AuthAccount
        await self._database.write(
            table.update({table.code_attempts: table.code_attempts - 1}).where(
                table.user == user_id, table.code_attempts > 0
            )
        )

    async def _wait(self, user_id: object) -> timedelta:
        begun = (
            await AuthAccount.select(AuthAccount.code_window_at)
            .where(AuthAccount.user == user_id)
            .first()
        )
        return (
            begun["code_window_at"] + WINDOW - self._clock()
            if begun and begun["code_window_at"]
            else WINDOW
        )

"""Sessions that began elsewhere and go on here: the browser keeps its token."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.settings import AuthSettings

UNKNOWN: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When somebody proved to be there of whom that is not known: never recently (ASVS 7.5.1)."""


@dataclass(frozen=True, slots=True)
class MovedSession:
    """A session from elsewhere."""

    token_hash: str = field(repr=False)
    expires_at: datetime


class MovedSessions:
    """Takes sessions in."""

    def __init__(self, database: Database, settings: AuthSettings, *, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    async def add(self, items: Sequence[tuple[object, MovedSession]]) -> int:
        """Store sessions of people; return how many were new. Call it inside a transaction.

        They are worth a password and are never fresh, and none outlives a session of ours.
        """
        now, table = self._clock(), AuthSession
        longest = now + self._settings.session_lifetime
        # What is left out has its default, a cookie that was never rotated.
        columns = (
            table.id, table.user, table.token_hash, table.created_at, table.authenticated_at,
            table.last_seen_at, table.expires_at, table.methods,
        )  # fmt: skip
        rows = [
            (
                uuid4(), user_id, one.token_hash, now, UNKNOWN,
                now, min(one.expires_at, longest), "password",
            )
            for user_id, one in items
        ]  # fmt: skip
        return len(await self._database.insert_rows(columns, rows, unless=table.token_hash))

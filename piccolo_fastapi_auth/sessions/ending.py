"""How sessions end before their time: one, by cookie, or many. Each request that ends some leaves one event."""

from uuid import UUID

from piccolo.custom_types import Combinable

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.database import Database, Row
from piccolo_fastapi_auth.sessions.tables import AuthSession


class SessionEnds:
    """What ends sessions. A deleted row is an ended session: nothing that points at it is good any more."""

    def __init__(self, database: Database, events: Events) -> None:
        self._database = database
        self._events = events

    async def end(
        self, session_id: UUID, *, user_id: object = None, reason: str = "logout"
    ) -> bool:
        """End one session, of that person if one is named, with its event; return whether there was one."""
        conditions = [AuthSession.id == session_id]
        if user_id is not None:
            conditions.append(AuthSession.user == user_id)
        return await self._end_one(*conditions, reason=reason)

    async def log_out(self, digest: str) -> bool:
        """End the session of a cookie, with its event; return whether there was one."""
        return await self._end_one(AuthSession.token_hash == digest, reason="logout")

    async def end_others(self, user_id: object, *, but: UUID | None, reason: str) -> int:
        """End a person's sessions, all or all but one, with one event for all of them; return how many."""
        async with self._database.atomic():
            ended = await self.end_all(user_id, but=but)
            if ended:
                detail = {"reason": reason, "sessions_ended": ended}
                await self._events.record("session.ended", user=user_id, detail=detail)
        return ended

    async def end_all(self, user_id: object, *, but: UUID | None = None) -> int:
        """End a person's sessions, all or all but one; return how many. Leaves no event: it is part of a larger change."""
        # Where the person acts as somebody else, that ends too.
        conditions: list[Combinable] = [
            (AuthSession.user == user_id) | (AuthSession.actor == user_id)
        ]
        if but is not None:
            conditions.append(AuthSession.id != but)
        return len(await self._delete(*conditions))

    async def end_by_cookie(self, digest: str) -> int:
        """End the session of a cookie; return how many. Leaves no event, as `end_all`."""
        return len(await self._delete(AuthSession.token_hash == digest))

    async def replace(self, session_id: UUID) -> None:
        """End a session whose browser gets another. Leaves no event, as `end_all`."""
        await self._delete(AuthSession.id == session_id)

    async def _end_one(self, *conditions: Combinable, reason: str) -> bool:
        async with self._database.atomic():
            rows = await self._delete(*conditions)
            for row in rows:
                await self._events.record(
                    "session.ended" if row["actor"] is None else "impersonation.ended",
                    user=row["user"],
                    actor=row["actor"],
                    session_id=UUID(str(row["id"])),
                    detail={"reason": reason},
                )
        return bool(rows)

    async def _delete(self, *conditions: Combinable) -> list[Row]:
        return await self._database.write(
            AuthSession.delete()
            .where(*conditions)
            .returning(AuthSession.id, AuthSession.user, AuthSession.actor)
        )

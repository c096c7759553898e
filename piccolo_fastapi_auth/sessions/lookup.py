"""The hot path: one statement, made once, from a credential to a live session and its person.

Expiry and deactivation are conditions of the query, so they hold whether or not anything cleans up.
"""

from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar, cast
from uuid import UUID

from piccolo_fastapi_auth.database import Database, primary_key, quoted
from piccolo_fastapi_auth.reads import Read, Row, Selected
from piccolo_fastapi_auth.sessions.records import Identity, RefreshState, Session
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.users.joined import JoinedUser
from piccolo_fastapi_auth.users.user import AuthUser

__all__ = ["SessionLookup", "primary_key", "quoted", "session_from", "utc"]

UserT = TypeVar("UserT", bound=AuthUser)


class SessionLookup(Generic[UserT]):
    """Finds live sessions. One statement each, on a unique index."""

    def __init__(
        self, database: Database, user_table: type[UserT], *, idle_timeout: timedelta
    ) -> None:
        self._database = database
        self._idle_timeout = idle_timeout
        self._person = JoinedUser(user_table, owner=AuthSession.user)
        selected: Selected = {
            f"s_{c._meta.name}": (quoted(c, table="s"), c)
            for c in AuthSession._meta.columns
            if c._meta.name != "token_hash"
        }
        live = (
            f"FROM {AuthSession._meta.tablename} s {self._person.joins}"
            f" WHERE {quoted(AuthSession.expires_at, table='s')} > {{}}"
            f" AND {quoted(AuthSession.last_seen_at, table='s')} > {{}}"
            f" AND {self._person.is_active}"
        )  # names come from the tables' metadata; every value is a parameter
        selected = {**selected, **self._person.selected}
        by_cookie = f"{live} AND {quoted(AuthSession.token_hash, table='s')} = {{}}"
        by_id = f"{live} AND {quoted(AuthSession.id, table='s')} = {{}}"
        self._by_cookie, self._by_id = Read(selected, by_cookie), Read(selected, by_id)

    async def by_cookie(self, digest: str, *, now: datetime) -> Identity[UserT] | None:
        """Return the live session whose cookie has this digest."""
        return await self._one(self._by_cookie, digest, now)

    async def by_id(self, session_id: UUID, *, now: datetime) -> Identity[UserT] | None:
        """Return the live session of this id."""
        return await self._one(self._by_id, session_id, now)

    def idle_since(self, now: datetime) -> datetime:
        """Return the moment after which a live session was seen."""
        return now - self._idle_timeout

    async def _one(self, read: Read, key: object, now: datetime) -> Identity[UserT] | None:
        rows = await self._database.fetch(read, now, self.idle_since(now), key)
        return self._identity(rows[0]) if rows else None

    def _identity(self, row: Row) -> Identity[UserT]:
        user, email_verified = self._person.read(row)
        salt = row["s_refresh_salt"]
        return Identity(
            session=session_from(row, prefix="s_"),
            user=user,
            email_verified=email_verified,
            refresh=None if salt is None else RefreshState(
                generation=row["s_generation"], salt=salt, rotated_at=row["s_rotated_at"]
            ),
        )  # fmt: skip


def session_from(row: Row, *, prefix: str = "") -> Session:
    """Read a session row as a plain value; both drivers give times in UTC."""
    scope = row[f"{prefix}scope"]
    return Session(
        id=row[f"{prefix}id"],
        user_id=row[f"{prefix}user"],
        transport=row[f"{prefix}transport"],
        created_at=row[f"{prefix}created_at"],
        authenticated_at=row[f"{prefix}authenticated_at"],
        last_seen_at=row[f"{prefix}last_seen_at"],
        expires_at=row[f"{prefix}expires_at"],
        methods=tuple(row[f"{prefix}methods"].split()),
        scope=None if scope is None else tuple(scope.split()),
        ip=row[f"{prefix}ip"],
        user_agent=row[f"{prefix}user_agent"],
        actor_id=row[f"{prefix}actor"],
    )


def utc(value: object) -> datetime:
    """Read a stored time."""
    return cast("datetime", value).astimezone(UTC)

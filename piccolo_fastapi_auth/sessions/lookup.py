"""The hot path: one prepared statement from a credential to a live session and its person.

Piccolo's own join costs 680 microseconds of CPU to build; a template made once from the tables' metadata
costs 5. Expiry and deactivation are conditions of the query, so they hold whether or not anything cleans up.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar, cast
from uuid import UUID

from piccolo.columns import Column
from piccolo.table import Table

from piccolo_fastapi_auth.database import Database, Row
from piccolo_fastapi_auth.sessions.records import Identity, RefreshState, Session, TransportName
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.users.tables import AuthAccount
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


def quoted(column: Column, *, table: str = "") -> str:
    """Return a column as it is written in SQL: ``"name"`` or ``alias."name"``."""
    name = f'"{column._meta.db_column_name}"'
    return f"{table}.{name}" if table else name


def primary_key(table: type[Table]) -> Column:
    """Return the primary key of a table, whatever its name and type."""
    return table._meta.primary_key


class SessionLookup(Generic[UserT]):
    """Finds live sessions. One statement each, on a unique index."""

    def __init__(
        self, database: Database, user_table: type[UserT], *, idle_timeout: timedelta
    ) -> None:
        self._database = database
        self._user_table = user_table
        self._idle_timeout = idle_timeout
        # The hash stays in the database: nobody who is handed the user needs it.
        columns: Sequence[Column] = [
            c for c in user_table._meta.columns if c._meta.name != "password"
        ]
        self._user_fields = [(f"u_{c._meta.name}", c._meta.name) for c in columns]
        selected = [f"{quoted(c, table='u')} AS u_{c._meta.name}" for c in columns]
        selected += [
            f"{quoted(c, table='s')} AS s_{c._meta.name}"
            for c in AuthSession._meta.columns
            if c._meta.name != "token_hash"
        ]
        live = (
            f"SELECT {', '.join(selected)}, {quoted(AuthAccount.verified_email, table='a')} AS verified_email"
            f" FROM {AuthSession._meta.tablename} s"
            f" JOIN {user_table._meta.tablename} u"
            f" ON {quoted(primary_key(user_table), table='u')} = {quoted(AuthSession.user, table='s')}"
            f" LEFT JOIN {AuthAccount._meta.tablename} a"
            f" ON {quoted(AuthAccount.user, table='a')} = {quoted(AuthSession.user, table='s')}"
            f" WHERE {quoted(AuthSession.expires_at, table='s')} > {{}}"
            f" AND {quoted(AuthSession.last_seen_at, table='s')} > {{}}"
            f" AND {quoted(user_table.active, table='u')}"
        )  # names come from the tables' metadata; every value is a parameter
        self._by_cookie = f"{live} AND {quoted(AuthSession.token_hash, table='s')} = {{}}"
        self._by_id = f"{live} AND {quoted(AuthSession.id, table='s')} = {{}}"

    async def by_cookie(self, digest: str, *, now: datetime) -> Identity[UserT] | None:
        """Return the live session whose cookie has this digest."""
        return await self._one(self._by_cookie, digest, now)

    async def by_id(self, session_id: UUID, *, now: datetime) -> Identity[UserT] | None:
        """Return the live session of this id."""
        return await self._one(self._by_id, session_id, now)

    def idle_since(self, now: datetime) -> datetime:
        """Return the moment after which a live session was seen."""
        return now - self._idle_timeout

    async def _one(self, template: str, key: object, now: datetime) -> Identity[UserT] | None:
        rows = await self._database.fetch(template, now, self.idle_since(now), key)
        return self._identity(rows[0]) if rows else None

    def _identity(self, row: Row) -> Identity[UserT]:
        user = self._user_table.from_row({name: row[alias] for alias, name in self._user_fields})
        salt = row["s_refresh_salt"]
        return Identity(
            session=session_from(row, prefix="s_"),
            user=user,
            email_verified=bool(user.email) and row["verified_email"] == user.email,
            refresh=None if salt is None else RefreshState(
                generation=cast("int", row["s_generation"]),
                salt=str(salt),
                rotated_at=cast("datetime | None", row["s_rotated_at"]),
            ),
        )  # fmt: skip


def session_from(row: Row, *, prefix: str = "") -> Session:
    """Read a session row as a plain value."""
    scope = row[f"{prefix}scope"]
    return Session(
        id=cast("UUID", row[f"{prefix}id"]),
        user_id=cast("int | UUID | str", row[f"{prefix}user"]),
        transport=cast("TransportName", row[f"{prefix}transport"]),
        created_at=_utc(row[f"{prefix}created_at"]),
        authenticated_at=_utc(row[f"{prefix}authenticated_at"]),
        last_seen_at=_utc(row[f"{prefix}last_seen_at"]),
        expires_at=_utc(row[f"{prefix}expires_at"]),
        methods=tuple(str(row[f"{prefix}methods"]).split()),
        scope=None if scope is None else tuple(str(scope).split()),
        ip=cast("str | None", row[f"{prefix}ip"]),
        user_agent=cast("str | None", row[f"{prefix}user_agent"]),
    )


def _utc(value: object) -> datetime:
    return cast("datetime", value).astimezone(UTC)

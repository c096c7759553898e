"""What happens to API keys: make, check, list, roll over, revoke. The only writer of `auth_api_key`."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Generic, TypeVar, cast
from uuid import UUID, uuid4

from piccolo.custom_types import Combinable

from piccolo_fastapi_auth.api_keys import keys
from piccolo_fastapi_auth.api_keys.records import ApiKey, Maker, NewKey
from piccolo_fastapi_auth.api_keys.tables import AuthApiKey
from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.database import Database, quoted
from piccolo_fastapi_auth.errors import (
    AlreadyRolledOverError,
    InvalidRequestError,
    InvalidTokenError,
    NotFoundError,
    SessionExpiredError,
    TooManyKeysError,
)
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.reads import Read, Row
from piccolo_fastapi_auth.sessions.lookup import utc
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.users.joined import JoinedUser
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

TRANSPORT = "api_key"
TOUCH_INTERVAL = timedelta(minutes=1)
LONGEST_LIFE = timedelta(days=3653)


class ApiKeyService(Generic[UserT]):
    """API keys of one ``Auth``. Each decision that matters is one conditional statement."""

    def __init__(
        self,
        database: Database,
        user_table: type[UserT],
        settings: AuthSettings,
        *,
        hold: Callable[[object], Awaitable[None]],
        is_live: Callable[[UUID], Awaitable[bool]],
        events: Events,
        clock: Clock,
    ) -> None:
        self._events = events
        self._database = database
        self._settings = settings
        self._hold = hold
        self._is_live = is_live
        self._clock = clock
        self._person = JoinedUser(user_table, owner=AuthApiKey.user)
        columns = ("id", "scopes", "methods", "expires_at", "last_used_at")
        selected = {
            f"s_{name}": (quoted(getattr(AuthApiKey, name), table="s"), getattr(AuthApiKey, name))
            for name in columns
        }
        live = (
            f"FROM {AuthApiKey._meta.tablename} s {self._person.joins}"
            f" WHERE {quoted(AuthApiKey.id, table='s')} = {{}}"
            f" AND {quoted(AuthApiKey.secret_hash, table='s')} = {{}}"
            f" AND {quoted(AuthApiKey.expires_at, table='s')} > {{}}"
            f" AND {self._person.is_active}"
        )  # names come from the tables' metadata; every value is a parameter
        self._live = Read({**selected, **self._person.selected}, live)

    async def authenticate(self, text: str) -> Authenticated[UserT]:
        """Return what the text of a key proves; a typing error costs no query.

        Raises:
            InvalidTokenError: Misspelt, unknown, revoked or expired, or its owner is not active.
        """
        presented = keys.parse(text)
        if presented is None:
            raise InvalidTokenError
        return await self.prove(presented)

    async def prove(self, presented: keys.Presented) -> Authenticated[UserT]:
        """Return what a well-formed key proves, from one query.

        Raises:
            InvalidTokenError: Unknown, revoked or expired, or its owner is not active.
        """
        now = self._clock()
        rows = await self._database.fetch(self._live, presented.id, presented.secret_hash, now)
        if not rows:
            raise InvalidTokenError
        await self._touch(rows[0], now)
        user, email_verified = self._person.read(rows[0])
        return Authenticated(
            transport=TRANSPORT,
            user=user,
            scopes=tuple(str(rows[0]["s_scopes"]).split()),
            methods=tuple(str(rows[0]["s_methods"]).split()),
            email_verified=email_verified,
            expires_at=utc(rows[0]["s_expires_at"]),
            credential_id=str(presented.id),
        )

    async def _touch(self, row: Row, now: datetime) -> None:
        """Note that a key is in use; at most one write a minute, however many requests."""
        last, due = row["s_last_used_at"], now - TOUCH_INTERVAL
        if last is not None and utc(last) > due:
            return
        table = AuthApiKey
        await self._database.write(
            table.update({table.last_used_at: now}).where(
                table.id == row["s_id"],
                (table.last_used_at.is_null()) | (table.last_used_at <= due),
            )
        )

    async def make(
        self, maker: Maker, *, name: str, scopes: Iterable[str], expires_at: datetime | None
    ) -> NewKey:
        """Make a key. ``scopes`` are the maker's; the caller has checked it.

        Raises:
            InvalidRequestError: ``expires_at`` is past, or more than ten years away.
            TooManyKeysError: The person has as many as anybody may have.
            SessionExpiredError: The maker's session has just ended.
        """
        now = self._clock()
        ends = now + self._settings.api_key_lifetime if expires_at is None else expires_at
        if not now < ends <= now + LONGEST_LIFE:
            raise InvalidRequestError("expires_at must be in the future, within ten years.")
        async with self._database.atomic():
            await self._enter(maker)  # of many at once each sees the keys of those before it
            table = AuthApiKey
            count = await table.count().where(
                table.user == maker.user_id, table.expires_at > now, table.rolled_over_at.is_null()
            )
            if count >= self._settings.max_api_keys:
                raise TooManyKeysError
            return await self._insert(maker, name=name, scopes=scopes, now=now, ends=ends)

    async def _enter(self, maker: Maker) -> None:
        """Hold the maker's row; what ends keys and sessions at once leaves no key of an ended session behind."""
        await self._hold(maker.user_id)
        if not await self._is_live(maker.session_id):
            raise SessionExpiredError

    async def _insert(
        self, maker: Maker, *, name: str, scopes: Iterable[str], now: datetime, ends: datetime
    ) -> NewKey:
        key_id = uuid4()
        text, secret_hash = keys.new(key_id)
        row = AuthApiKey(
            id=key_id,
            user=maker.user_id,
            secret_hash=secret_hash,
            name=name,
            scopes=" ".join(scopes),
            methods=" ".join(maker.methods),
            created_at=now,
            expires_at=ends,
        )
        await AuthApiKey.insert(row)
        detail = {"api_key": key_id, "scopes": " ".join(scopes)}
        await self._events.record("api_key.created", user=maker.user_id, detail=detail)
        return NewKey(ApiKey(key_id, name, tuple(scopes), now, utc(ends), None, None), text)

    async def roll_over(self, maker: Maker, key_id: UUID, *, overlap: timedelta) -> NewKey:
        """Make the successor of a key, which ends after ``overlap`` at the latest.

        The successor lives as long as the key was made for, and has those of its scopes that the maker has.

        Raises:
            AlreadyRolledOverError: It has one.
            NotFoundError: There is no such live key, or it is somebody else's.
            SessionExpiredError: The maker's session has just ended.
        """
        now, table = self._clock(), AuthApiKey
        mine = (table.id == key_id) & (table.user == maker.user_id) & (table.expires_at > now)
        async with self._database.atomic():
            await self._enter(maker)
            won = await self._database.write(
                table.update({table.rolled_over_at: now})
                .where(mine, table.rolled_over_at.is_null())
                .returning(table.id)
            )
            if not won:
                known = await table.exists().where(mine)
                raise AlreadyRolledOverError if known else NotFoundError
            (row,) = await table.select(*_SHOWN).where(table.id == key_id)
            old = _api_key(row)
            await self._database.write(
                table.update({table.expires_at: now + overlap}).where(
                    table.id == key_id, table.expires_at > now + overlap
                )
            )
            return await self._insert(
                maker,
                name=old.name,
                scopes=[scope for scope in old.scopes if scope in maker.scopes],
                now=now,
                ends=now + (old.expires_at - old.created_at),
            )

    async def of_user(self, user_id: object) -> list[ApiKey]:
        """Return a person's keys, newest first, the expired ones too."""
        rows = await (
            AuthApiKey.select(*_SHOWN)
            .where(AuthApiKey.user == user_id)
            .order_by(AuthApiKey.created_at, ascending=False)
        )
        return [_api_key(row) for row in rows]

    async def revoke(self, key_id: UUID, *, user_id: object) -> bool:
        """Revoke a person's key; return whether there was one."""
        table = AuthApiKey
        return bool(await self._revoke(table.id == key_id, table.user == user_id))

    async def end_all(self, user_id: object) -> int:
        """Revoke every key of a person, each with its event; return how many."""
        return await self._revoke(AuthApiKey.user == user_id)

    async def revoke_presented(self, text: str) -> bool:
        """Revoke the key whose text this is (RFC 7009); return whether there was one."""
        presented, table = keys.parse(text), AuthApiKey
        if presented is None:
            return False
        return bool(
            await self._revoke(table.id == presented.id, table.secret_hash == presented.secret_hash)
        )

    async def _revoke(self, *conditions: Combinable) -> int:
        table = AuthApiKey
        async with self._database.atomic():
            gone = await self._database.write(
                table.delete().where(*conditions).returning(table.id, table.user)
            )
            for row in gone:
                detail = {"api_key": row["id"]}
                await self._events.record("api_key.revoked", user=row["user"], detail=detail)
        return len(gone)


_SHOWN = (
    AuthApiKey.id, AuthApiKey.name, AuthApiKey.scopes, AuthApiKey.created_at, AuthApiKey.expires_at,
    AuthApiKey.last_used_at, AuthApiKey.rolled_over_at,
)  # fmt: skip


def _api_key(row: Row) -> ApiKey:
    last, rolled = row["last_used_at"], row["rolled_over_at"]
    return ApiKey(
        id=cast("UUID", row["id"]),
        name=str(row["name"]),
        scopes=tuple(str(row["scopes"]).split()),
        created_at=utc(row["created_at"]),
        expires_at=utc(row["expires_at"]),
        last_used_at=None if last is None else utc(last),
        rolled_over_at=None if rolled is None else utc(rolled),
    )

"""Who a person is, and whether a password is theirs. The only reader and writer of password hashes."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar, cast

from piccolo.columns import Column

from piccolo_fastapi_auth.database import Database, Row, is_unique_violation
from piccolo_fastapi_auth.errors import (
    TemporarilyUnavailableError,
    UserExistsError,
)
from piccolo_fastapi_auth.primitives.canonical import canonical
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.primitives.hash_pool import HashPool, PoolFullError
from piccolo_fastapi_auth.primitives.passwords import PasswordHasher, PasswordVerdict
from piccolo_fastapi_auth.users.identifiers import Identifiers
from piccolo_fastapi_auth.users.tables import AuthAccount
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
T = TypeVar("T")

LEGACY_PREFIX = "pbkdf2_sha256$"
LEGACY_CHECK_INTERVAL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody whom a log-in may mean, before any proof."""

    user_id: object
    active: bool
    password_hash: str = field(repr=False)
    admin: bool = False
    named: bool = True
    """Whether the canonical names of the person are stored; not so for rows of other code."""


class UserService(Generic[UserT]):
    """People of one ``Auth``: find, create, check and change passwords."""

    def __init__(
        self,
        database: Database,
        user_table: type[UserT],
        *,
        hasher: PasswordHasher,
        pool: HashPool,
        clock: Clock,
    ) -> None:
        self._database = database
        self.identifiers = Identifiers(database, user_table)
        self._table = user_table
        self._key: Column = user_table._meta.primary_key
        self._hasher = hasher
        self._pool = pool
        self._clock = clock
        self._no_legacy_until: datetime | None = None
        table = user_table
        self._columns: list[Column] = [
            self._key, table.password, table.active, table.admin, table.superuser,
        ]  # fmt: skip

    async def candidate(self, identifier: str) -> Candidate | None:
        """Find a person by username or e-mail address, in any spelling; the exact username goes first."""
        row = await self.identifiers.find(identifier)
        if row is None:
            return None
        return Candidate(
            row["user_key"],
            bool(row["active"]),
            str(row["password"] or ""),
            admin=bool(row["admin"] or row["superuser"]),
            named=bool(row["is_named"]),
        )

    async def by_id(self, user_id: object) -> Candidate | None:
        """Find a person by primary key."""
        row = await self._table.select(*self._columns).where(self._key == user_id).first()
        return self._candidate(row) if row else None

    async def address(self, user_id: object) -> str | None:
        """Return a person's e-mail address, if there is one."""
        row = await self._table.select(self._table.email).where(self._key == user_id).first()
        return str(row["email"] or "") or None if row else None

    def _candidate(self, row: Row) -> Candidate:
        return Candidate(
            row[self._key._meta.name],
            bool(row["active"]),
            str(row["password"] or ""),
            admin=bool(row["admin"] or row["superuser"]),
        )

    async def check(self, password: str, candidate: Candidate | None) -> PasswordVerdict:
        """Check a password in the pool. A refusal costs the same whoever it is, or is not (ENU-3).

        Raises:
            TemporarilyUnavailableError: The queue of the hash pool is full.
        """
        work = functools.partial(
            self._hasher.check,
            password,
            candidate.password_hash if candidate else None,
            may_log_in=bool(candidate and candidate.active),
            legacy_in_use=await self._legacy_in_use(),
        )
        return await self.off_the_loop(work)

    async def off_the_loop(self, work: Callable[[], T]) -> T:
        """Run work on passwords in the bounded pool.

        Raises:
            TemporarilyUnavailableError: The queue of the hash pool is full.
        """
        try:
            return await self._pool.run(work)
        except PoolFullError as error:
            raise TemporarilyUnavailableError from error

    async def hash(self, password: str) -> str:
        """Hash a new password in the pool.

        Raises:
            TemporarilyUnavailableError: The queue of the hash pool is full.
        """
        return await self.off_the_loop(functools.partial(self._hasher.hash, password))

    async def _legacy_in_use(self) -> bool:
        """Say whether anybody still has one of Piccolo's own hashes, which cost more to refuse.

        "Nobody" is remembered for an hour: only then does the question read the whole table.
        """
        now = self._clock()
        if self._no_legacy_until is not None and now < self._no_legacy_until:
            return False
        found = await self._table.exists().where(self._table.password.like(f"{LEGACY_PREFIX}%"))
        self._no_legacy_until = None if found else now + LEGACY_CHECK_INTERVAL
        return bool(found)

    async def hold(self, user_id: object) -> None:
        """Hold a person's row until the transaction ends: what changes their factors waits for log-ins, and they for it."""
        table = self._table
        await self._database.write(
            table.update({table.active: table.active}).where(self._key == user_id)
        )

    async def upgrade(self, candidate: Candidate, *, replacement: str) -> Candidate | None:
        """Store a stronger hash of the same password; ``None`` when the account changed since it was checked."""
        if not await self._update(candidate, {self._table.password: replacement}):
            return None
        return replace(candidate, password_hash=replacement)

    async def admit(self, candidate: Candidate, *, replacement: str | None) -> bool:
        """Note a log-in and upgrade the hash, if person and password are still what was checked.

        One compare-and-set: it also holds the row until the transaction ends, so that a password change
        or a deactivation comes either before this log-in or after it, never in between.
        """
        table = self._table
        values: dict[Column | str, object] = {
            table.last_login: self._clock().astimezone(UTC).replace(tzinfo=None)
        }
        if replacement is not None:
            values[table.password] = replacement
        admitted = await self._update(candidate, values)
        if admitted and not candidate.named:
            await self.identifiers.adopt(candidate.user_id)
        return admitted

    async def has_new_password(self, user_id: object) -> bool:
        """Say whether a person's password was set here, and not before this library came."""
        table = AuthAccount
        return bool(
            await table.exists().where(
                table.user == user_id, table.password_changed_at.is_not_null()
            )
        )

    async def hold_unchanged(self, people: Sequence[object]) -> set[object]:
        """Hold those of the people who are active, until the transaction ends; return them but for whose password is from here."""
        table, account = self._table, AuthAccount
        active = table.select(self._key).where(
            self._key.is_in(list(people)),
            table.active.eq(True),  # noqa: FBT003 - a column's value
        )
        if self._database.engine.engine_type != "sqlite":  # which has one writer at a time
            active = active.order_by(self._key).lock_rows("UPDATE")
        held = {row[self._key._meta.name] for row in await active}
        changed = account.select(account.user).where(
            account.user.is_in(list(people)), account.password_changed_at.is_not_null()
        )
        return held - {row["user"] for row in await changed}

    async def change_password(self, candidate: Candidate, *, password_hash: str) -> bool:
        """Store a new hash, if the old one is still what was checked. Call it inside a transaction."""
        if not await self._update(candidate, {self._table.password: password_hash}):
            return False
        await self._note(candidate.user_id, {AuthAccount.password_changed_at: self._clock()})
        return True

    async def _update(self, candidate: Candidate, values: dict[Column | str, object]) -> bool:
        table = self._table
        rows = await self._database.write(
            table.update(values)
            .where(
                self._key == candidate.user_id,
                table.password == candidate.password_hash,
                table.active.eq(True),  # noqa: FBT003 - a column's value
            )
            .returning(self._key)
        )
        return bool(rows)

    async def _note(self, user_id: object, values: Mapping[Column, object]) -> None:
        row = AuthAccount({AuthAccount.user: user_id, **values})
        await AuthAccount.insert(row).on_conflict(
            action="DO UPDATE", target=AuthAccount.user, values=list(values)
        )

    async def create(self, *, username: str, email: str, password_hash: str) -> object:
        """Make an active person; return the primary key.

        Raises:
            UserExistsError: The username or the address is taken.
        """
        user = self._table(
            username=username,
            email=canonical_address(email),
            password=password_hash,
            active=True,
            first_name=None,
            last_name=None,
        )
        try:
            async with self._database.atomic():
                await user.save()
                key = cast("object", getattr(user, self._key._meta.name))
                await self.identifiers.claim(key, [username, email])
                await self._note(key, {AuthAccount.password_changed_at: self._clock()})
        except Exception as error:
            # Which class it is depends on the driver; see is_unique_violation.
            if is_unique_violation(error):
                raise UserExistsError from None
            raise
        return key

    async def read(self, user_id: object) -> UserT | None:
        """Return a person, without the hash."""
        row = await self._table.select(*self._shown()).where(self._key == user_id).first()
        return None if row is None else self._table(_exists_in_db=True, **row)

    async def page(self, *, after: str | None, search: str | None, limit: int) -> list[UserT]:
        """Return people by username, without hashes; ``search`` is the beginning of a name or an address."""
        table = self._table
        query = table.select(*self._shown()).order_by(table.username).limit(limit)
        if after is not None:
            query = query.where(table.username > after)
        if search is not None:
            start = re.sub(r"[%_\\]", "", search) + "%"  # no wildcard of one's own
            query = query.where(table.username.like(start) | table.email.like(start.casefold()))
        return [table(_exists_in_db=True, **row) for row in await query]

    def _shown(self) -> list[Column]:
        return [one for one in self._table._meta.columns if one._meta.name != "password"]

    async def update_profile(self, user_id: object, values: Mapping[str, object]) -> None:
        """Write columns of the profile. The caller has checked that they are the person's to write."""
        if values:
            columns: dict[Column | str, object] = {name: value for name, value in values.items()}  # noqa: C416 - dict() would keep the narrower key type
            await self._database.write(self._table.update(columns).where(self._key == user_id))

    async def set_active(self, user_id: object, *, active: bool) -> bool:
        """Open or close an account; return whether that changed it."""
        table = self._table
        rows = await self._database.write(
            table.update({table.active: active})
            .where(self._key == user_id, table.active.ne(active))
            .returning(self._key)
        )
        return bool(rows)

    async def set_password(self, user_id: object, *, password_hash: str) -> None:
        """Store a new hash whatever the old one is. For operators; call it inside a transaction."""
        await self._database.write(
            self._table.update({self._table.password: password_hash}).where(self._key == user_id)
        )
        await self._note(user_id, {AuthAccount.password_changed_at: self._clock()})

    async def delete(self, candidate: Candidate) -> bool:
        """Delete a person with everything that points at them, if the password is still what was checked."""
        rows = await self._database.write(
            self._table.delete()
            .where(self._key == candidate.user_id, self._table.password == candidate.password_hash)
            .returning(self._key)
        )
        return bool(rows)


def canonical_address(email: str) -> str:
    """Return the spelling of an e-mail address that is stored and looked up."""
    return canonical(email)

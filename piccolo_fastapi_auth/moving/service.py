"""What moves from Piccolo API to here. Read in batches by key, each one transaction: stop it where you like."""

import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Final, Generic, TypeVar, cast
from uuid import UUID

from piccolo_fastapi_auth.api_keys.moved import MovedKeys
from piccolo_fastapi_auth.database import Database, Row, primary_key
from piccolo_fastapi_auth.mfa.moved import MovedFactors
from piccolo_fastapi_auth.moving.decryption import Decrypt
from piccolo_fastapi_auth.moving.movers import (
    AuthenticatorMover,
    Mover,
    NotMovedError,
    SessionMover,
    TokenMover,
)
from piccolo_fastapi_auth.moving.report import Report
from piccolo_fastapi_auth.moving.tables import AuthImport
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.moved import MovedSessions
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
ItemT = TypeVar("ItemT")
Progress = Callable[[str, int, int], None]
"""Called with a table, how many of its rows were looked at, and how many there are."""

MOST_ROWS: Final = 10_000
"""Of one batch, so that memory stays bounded."""

NOBODY: Final = "there is no such person"
ENDED: Final = "the person is inactive, or has a new password or a second factor here"
"""What was given out before then ended then, or would open the account without the second factor."""


class _DryRunError(Exception):
    """Ends the transaction of a dry run: everything was done, and nothing stays."""


class PiccoloApiImport(Generic[UserT]):
    """Moves rows of Piccolo API's tables into ours; the old tables stay as they are."""

    def __init__(
        self,
        database: Database,
        user_table: type[UserT],
        *,
        sessions: MovedSessions,
        keys: MovedKeys,
        factors: MovedFactors,
        hold_unchanged: Callable[[Sequence[object]], Awaitable[set[object]]],
        clock: Clock,
    ) -> None:
        self._database = database
        self._users = user_table
        self._key = primary_key(user_table)
        self._sessions = sessions
        self._keys = keys
        self._factors = factors
        self._hold_unchanged = hold_unchanged
        self._clock = clock

    async def run(
        self,
        *,
        zone: tzinfo | None,
        decrypt: Decrypt,
        scopes: Sequence[str] = (),
        batch: int = 1000,
        dry_run: bool = False,
        progress: Progress = lambda *_: None,
    ) -> list[Report]:
        """Move what was not moved before.

        Args:
            zone: Where the local times of ``sessions`` were written; ``None`` is the zone of this machine.
            decrypt: Opens the secrets of authenticator apps.
            scopes: The most that moved tokens may do.
            batch: Rows read at once and moved in one transaction.
            dry_run: Do everything and leave nothing of it.
            progress: Called after each batch.
        """
        move = functools.partial(self._move_table, batch=batch, dry_run=dry_run, progress=progress)
        return [
            await move(SessionMover(self._sessions, zone)),
            await move(TokenMover(self._keys, scopes)),
            await move(AuthenticatorMover(self._database, self._factors, decrypt)),
        ]

    async def _move_table(
        self, mover: Mover[ItemT], *, batch: int, dry_run: bool, progress: Progress
    ) -> Report:
        report = Report(mover.table)
        if not await self._database.has_table(mover.table):
            report.there = False
            return report
        name, columns = f'"{mover.table}"', ", ".join(f'"{one}"' for one in ("id", *mover.columns))
        (counted,) = await self._database.rows(f"SELECT COUNT(*) AS n FROM {name}")  # noqa: S608 - names of ours
        done, total, last = 0, cast("int", counted["n"]), -1
        page = f'SELECT {columns} FROM {name} WHERE "id" > {{}} ORDER BY "id" LIMIT {{}}'  # noqa: S608 - as above
        while rows := await self._database.rows(page, last, batch):
            last = cast("int", rows[-1]["id"])
            await self._move_rows(mover, rows, report, dry_run=dry_run)
            done += len(rows)
            progress(mover.table, done, total)
        return report

    async def _move_rows(
        self, mover: Mover[ItemT], rows: Sequence[Row], report: Report, *, dry_run: bool
    ) -> None:
        good = await self._judged(mover, rows, report)
        with contextlib.suppress(_DryRunError):
            async with self._database.atomic():
                fresh = await self._claim([f"{mover.table}:{key}" for key in good])
                new = {key: good[key] for key in good if f"{mover.table}:{key}" in fresh}
                ended = await self._ended(new) if mover.opens and new else []
                items = [new[key] for key in new if key not in ended]
                await self._unclaim([f"{mover.table}:{key}" for key in ended])
                moved = await mover.add(items, report) if items else 0
                report.moved += moved
                report.already += len(good) - moved - len(ended)
                if ended:
                    report.left[ENDED] += len(ended)
                if dry_run:
                    raise _DryRunError

    async def _judged(
        self, mover: Mover[ItemT], rows: Sequence[Row], report: Report
    ) -> dict[object, tuple[object, ItemT]]:
        """Return by key of its row what each good one becomes, with the key of its person; count the others."""
        context, people = await mover.context(rows), await self._people(mover, rows)
        good: dict[object, tuple[object, ItemT]] = {}
        for row in rows:
            try:
                item = mover.judge(row, context, now=self._clock())
            except NotMovedError as reason:
                report.left[str(reason)] += 1
                continue
            if row[mover.owner] in people:
                good[row["id"]] = (people[row[mover.owner]], item)
            else:
                report.left[NOBODY] += 1
        return good

    async def _people(self, mover: Mover[ItemT], rows: Sequence[Row]) -> Mapping[object, object]:
        """Return the people who are there: as the old table names them, and by the key that they have."""
        named = {
            row[mover.owner]: key
            for row in rows
            if (key := self._as_key(row[mover.owner])) is not None
        }
        if not named:
            return {}
        query = self._users.select(self._key).where(self._key.is_in(list(set(named.values()))))
        there = {one[self._key._meta.name] for one in await query}
        return {name: key for name, key in named.items() if key in there}

    def _as_key(self, value: object) -> object | None:
        """Read a person's key, which a table without a foreign key may hold as text."""
        wanted = self._key.value_type
        if isinstance(value, wanted):
            return value
        try:
            return cast("object", (UUID if wanted is UUID else wanted)(str(value)))
        except ValueError:
            return None

    async def _claim(self, names: Sequence[str]) -> set[object]:
        """Mark rows as moved; return those that nobody marked before. Of two imports at once one gets each row."""
        now = self._clock()
        columns = (AuthImport.id, AuthImport.imported_at)
        made = await self._database.insert_rows(
            columns, [(name, now) for name in names], unless=AuthImport.id
        )
        return set(made)

    async def _unclaim(self, names: Sequence[str]) -> None:
        if names:
            await self._database.write(AuthImport.delete().where(AuthImport.id.is_in(list(names))))

    async def _ended(self, rows: Mapping[object, tuple[object, ItemT]]) -> list[object]:
        """Return the keys of rows that must not open their person's account any more.

        It holds the people until the transaction ends: a new password comes before the move, or ends what was moved.
        """
        people = list({owner for owner, _ in rows.values()})
        good = await self._hold_unchanged(people) - await self._factors.owners(people)
        return [key for key, (owner, _) in rows.items() if owner not in good]

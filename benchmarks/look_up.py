"""Finding a session among many: a thousand, a hundred thousand, a million rows."""

import contextlib
import functools
import itertools
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped] # it ships no types

from benchmarks.peer import CHEAPEST, OURS
from benchmarks.peers.ours import open_auth, sign_up
from benchmarks.places import Kind, Place, Places, piccolo_engine
from benchmarks.report import Run
from benchmarks.rounds import Operation, Rounds, race
from piccolo_fastapi_auth import User
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.primitives.clock import utc_now
from piccolo_fastapi_auth.sessions.tables import AuthSession

try:
    from piccolo_api.session_auth.tables import SessionsBase
except ModuleNotFoundError:
    SessionsBase = None  # type: ignore[assignment, misc] # not installed: nothing to compare with

SIZES = (1_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 20_000)
KNOWN = 64  # sessions that are looked up, one after the other
MOST_GROWTH = 1.3
KINDS: tuple[Kind, ...] = ("SQLite", "PostgreSQL")

RANDOM_HEX = {
    "SQLite": "lower(hex(randomblob(32)))",
    "PostgreSQL": "md5(random()::text) || md5(random()::text)",
}
_HEX = "hex(randomblob({}))"
RANDOM_UUID = {
    "SQLite": f"lower({' || chr || '.join(_HEX.format(size) for size in (4, 2, 2, 2, 6))})".replace(
        "chr", "'-'"
    ),
    "PostgreSQL": "gen_random_uuid()",
}
NUMBERS = {
    "SQLite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})",
    "PostgreSQL": "WITH n AS (SELECT generate_series(1, {}) AS i)",
}


@dataclass(frozen=True, slots=True)
class Rival:
    """A table of sessions in a place, some known tokens, and a way to find their rows."""

    name: str
    place: Place
    table: str
    columns: Sequence[str]
    own: Mapping[str, str]
    """The columns in which rows differ, and the SQL that makes their values."""
    tokens: Sequence[str]
    find: Callable[[str], Awaitable[object]]

    def operations(self) -> dict[str, Operation]:
        """Find a known session, and none."""
        tokens = itertools.cycle(self.tokens)

        async def known() -> None:
            assert await self.find(next(tokens)) is not None

        async def unknown() -> None:
            assert await self.find(secrets.token_urlsafe(32)) is None

        return {f"{self.name}, found": known, f"{self.name}, unknown": unknown}


async def main(run: Run) -> None:
    """Fill a place for each size, then measure all sizes side by side."""
    sizes = QUICK_SIZES if run.quick else SIZES
    run.expect(len(KINDS) * (len(sizes) + run.plan.steps))
    with Places() as places:
        for kind in KINDS:
            async with contextlib.AsyncExitStack() as stack:
                operations: dict[str, Operation] = {}
                for size in sizes:
                    for rival in await stack.enter_async_context(rivals(places, kind)):
                        await grow(rival, size)
                        for name, operation in rival.operations().items():
                            operations[f"{name}, {size}"] = operation
                    run.step()
                _tell(run, kind, sizes, await race(operations, run.plan, step=run.step))


@contextlib.asynccontextmanager
async def rivals(places: Places, kind: Kind) -> AsyncIterator[list[Rival]]:
    """Open a place for each, with some known sessions in it."""
    async with contextlib.AsyncExitStack() as stack:
        found = [await _ours(stack, await places.new(kind))]
        if SessionsBase is not None:
            found.append(await _piccolo_api(stack, await places.new(kind)))
        yield found


async def _ours(stack: contextlib.AsyncExitStack, place: Place) -> Rival:
    auth, app = await stack.enter_async_context(open_auth(place, CHEAPEST))
    await sign_up(app, "alice")
    user = await User.objects().get(User.username == "alice")
    assert user is not None
    start = functools.partial(
        auth.sessions.start, user.id, transport="cookie", methods=["password"], scope=None,
        ip="192.0.2.1", user_agent="Mozilla/5.0 (X11; Linux x86_64)", authenticated_at=utc_now(),
    )  # fmt: skip
    engine = User._meta.db

    async def find(token: str) -> object:
        User._meta.db = engine  # the other sizes have bound it to theirs
        return await auth.sessions.find.by_cookie(str(opaque_tokens.digest(token)), now=utc_now())

    return Rival(
        OURS,
        place,
        "auth_session",
        [column._meta.db_column_name for column in AuthSession._meta.columns],
        {"id": RANDOM_UUID[place.kind], "token_hash": RANDOM_HEX[place.kind]},
        [(await start()).secret for _ in range(KNOWN)],
        find,
    )


async def _piccolo_api(stack: contextlib.AsyncExitStack, place: Place) -> Rival:
    await stack.enter_async_context(piccolo_engine(place, [SessionsBase]))
    engine = SessionsBase._meta.db
    rows = [await SessionsBase.create_session(user_id=1) for _ in range(KNOWN)]

    async def find(token: str) -> object:
        SessionsBase._meta.db = engine  # as above
        return await SessionsBase.get_user_id(token)

    return Rival(
        "piccolo-api",
        place,
        "sessions",
        ["token", "user_id", "expiry_date", "max_expiry_date"],
        {"token": RANDOM_HEX[place.kind]},
        [row.token for row in rows],
        find,
    )


async def grow(rival: Rival, size: int) -> None:
    """Add copies of the table's first row, each with values of its own, until it has ``size`` rows."""
    names = ", ".join(f'"{name}"' for name in rival.columns)
    values = ", ".join(rival.own.get(name, f'first."{name}"') for name in rival.columns)
    count = f"(SELECT {size} - count(*) FROM {rival.table})"  # noqa: S608 - names of ours
    statement = (
        f"{NUMBERS[rival.place.kind].format(count)} INSERT INTO {rival.table} ({names})"  # noqa: S608 - as above
        f" SELECT {values} FROM n, (SELECT * FROM {rival.table} LIMIT 1) first"
    )
    if rival.place.kind == "SQLite":
        with contextlib.closing(sqlite3.connect(rival.place.address, timeout=60)) as file, file:
            file.execute(statement)
            file.execute("ANALYZE")
        return
    connection = await asyncpg.connect(rival.place.address)
    try:
        await connection.execute(statement)
        await connection.execute(f"VACUUM ANALYZE {rival.table}")
    finally:
        await connection.close()


def _tell(run: Run, kind: Kind, sizes: Sequence[int], found: Rounds) -> None:
    smallest, largest = sizes[0], sizes[-1]
    names = list(dict.fromkeys(name.rpartition(", ")[0] for name in found))

    def growth(name: str) -> float:
        return found.ratio(f"{name}, {largest}", f"{name}, {smallest}")

    run.findings.table(
        f"Finding a session, {kind}, µs",
        ["", *(f"{size:,} rows" for size in sizes), "growth"],
        [
            [
                name,
                *(f"{found.median(f'{name}, {size}'):,.0f}" for size in sizes),
                f"{growth(name):.2f}",
            ]
            for name in names
        ],
    )
    what = f"Look-up, {kind}: growth from {smallest:,} to {largest:,} rows"
    run.findings.at_most(what, growth(f"{OURS}, found"), MOST_GROWTH)

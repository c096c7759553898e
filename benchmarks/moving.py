"""A hundred thousand sessions of Piccolo API, moved: how long it takes, and what is held in memory."""

import contextlib
import secrets
import sqlite3
import time
import tracemalloc
from datetime import UTC, datetime, timedelta

import asyncpg  # type: ignore[import-untyped] # it ships no types

from benchmarks.peer import CHEAPEST
from benchmarks.peers.ours import open_auth, sign_up
from benchmarks.places import Kind, Place, Places
from benchmarks.report import Run
from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.moving.decryption import decryption
from piccolo_fastapi_auth.primitives.clock import utc_now
from piccolo_fastapi_auth.users.tables import AuthAccount

KINDS: tuple[Kind, ...] = ("SQLite", "PostgreSQL")
ROWS, QUICK_ROWS = 100_000, 5_000
MOST_MEGABYTES, MOST_SECONDS = 24, 60
# As Piccolo API's migrations make it.
COLUMNS = "token VARCHAR(100), user_id INTEGER, expiry_date TIMESTAMP, max_expiry_date TIMESTAMP"


async def main(run: Run) -> None:
    """Move them: once watched for time, once more on SQLite watched for memory."""
    rows = QUICK_ROWS if run.quick else ROWS
    run.expect(len(KINDS) + 1)
    seconds: dict[str, float] = {}
    with Places() as places:
        for kind in KINDS:
            seconds[kind] = (await _moved(await places.new(kind), rows))[0]
            run.step()
        tracemalloc.start()
        peak = (await _moved(await places.new("SQLite"), rows))[1]
        tracemalloc.stop()
        run.step()
    run.findings.table(
        f"Moving {rows:,} sessions of Piccolo API, a thousand in one transaction",
        ["", "s", "sessions a second"],
        [[kind, f"{taken:.1f}", f"{rows / taken:,.0f}"] for kind, taken in seconds.items()],
        note=f"At most {peak:.1f} MB are held at once.",
    )
    run.findings.at_most("Memory held while moving", peak, MOST_MEGABYTES, " MB")
    run.findings.at_most("Moving on SQLite", seconds["SQLite"], MOST_SECONDS, " s")


async def _moved(place: Place, rows: int) -> tuple[float, float]:
    """Fill a place, move what is in it; return seconds and the megabytes held at most."""
    async with contextlib.AsyncExitStack() as stack:
        auth, app = await stack.enter_async_context(open_auth(place, CHEAPEST))
        await sign_up(app, "alice")
        user = await User.objects().get(User.username == "alice")
        assert user is not None
        # The password is from before this library came, or nothing of the person would be moved.
        account = AuthAccount
        await account.update({account.password_changed_at: None}).where(account.user == user.id)
        await _fill(place, user.id, rows)
        if tracemalloc.is_tracing():
            tracemalloc.reset_peak()
        begun = time.perf_counter()
        moved = await _move(auth)
        taken = time.perf_counter() - begun
        assert moved == rows
        return taken, tracemalloc.get_traced_memory()[1] / 2**20


async def _move(auth: Auth[User]) -> int:
    reports = await auth.moving.run(zone=UTC, decrypt=decryption("plain", None))
    return reports[0].moved


async def _fill(place: Place, user_id: int, rows: int) -> None:
    soon: datetime = (utc_now() + timedelta(days=1)).replace(tzinfo=None)
    if place.kind == "SQLite":
        with contextlib.closing(sqlite3.connect(place.address, timeout=60)) as file, file:
            file.execute(f"CREATE TABLE sessions (id INTEGER PRIMARY KEY, {COLUMNS})")
            file.executemany(
                "INSERT INTO sessions (token, user_id, expiry_date, max_expiry_date) VALUES (?, ?, ?, ?)",
                ((secrets.token_urlsafe(32), user_id, str(soon), str(soon)) for _ in range(rows)),
            )
        return
    connection = await asyncpg.connect(place.address)
    try:
        await connection.execute(f"CREATE TABLE sessions (id SERIAL PRIMARY KEY, {COLUMNS})")
        await connection.copy_records_to_table(
            "sessions",
            columns=["token", "user_id", "expiry_date", "max_expiry_date"],
            records=((secrets.token_urlsafe(32), user_id, soon, soon) for _ in range(rows)),
        )
    finally:
        await connection.close()

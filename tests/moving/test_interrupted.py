"""An import that is stopped anywhere and run again, and one of very many sessions."""

import asyncio
import contextlib
import secrets
import sqlite3
import tracemalloc
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from piccolo.engine.base import Engine
from piccolo_api.session_auth.tables import SessionsBase

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.moving.tables import AuthImport
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.faults.test_interrupted import CancelledAt
from tests.fixtures import People
from tests.moving.helpers import ALL_NEW, HOUR, NEW_TABLES, fill, local, move, old_session, rows

SESSIONS = 10_000  # a hundred thousand are in benchmarks/moving.py
MEGABYTES = 8


class _StopError(Exception):
    """Somebody stops the import."""


async def _stopped(work: Any, at: int) -> Any:
    return await CancelledAt(work, at)


@pytest.mark.usefixtures("old_tables")
async def test_an_import_stopped_anywhere_and_run_again_is_the_same(
    auth: Auth[User], sign_up: People, clock: FrozenClock
) -> None:
    """At each point where it waits, so before, in and after each row: every row is moved whole, and once."""
    for name in ("alice", "bob"):
        await fill((await sign_up(name)).id, clock())
    await old_session(99, clock())
    await move(auth)
    wanted = await rows()
    for at in count(1, 3):
        for table in ALL_NEW:
            await table.delete(force=True)
        task = asyncio.create_task(_stopped(move(auth, batch=1), at))
        await asyncio.wait([task])
        if not task.cancelled():
            break
        await _nothing_is_half_moved()
        await move(auth, batch=1)
        assert await rows() == wanted

    assert at > 30
    assert await rows() == wanted


async def _nothing_is_half_moved() -> None:
    """Each row that counts as moved is there, with all that belongs to it."""
    marks = [str(row["id"]).partition(":")[0] for row in await AuthImport.select()]
    sessions, keys, factors, codes = [await table.count() for table in NEW_TABLES]
    assert (sessions, keys, factors, codes) == (
        marks.count("sessions"),
        marks.count("token_auth"),
        marks.count("authenticator_secret"),
        3 * marks.count("authenticator_secret"),
    )


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("old_tables")
async def test_many_sessions_in_bounded_memory(
    auth: Auth[User], sign_up: People, clock: FrozenClock, tmp_path: Path
) -> None:
    """What is held at once is a batch, however many rows there are; interrupted half-way, it goes on from there."""
    alice = await sign_up("alice")
    ends = [str(local(clock() + life)) for life in (HOUR, timedelta(days=7))]
    with contextlib.closing(sqlite3.connect(tmp_path / "auth.sqlite")) as connection, connection:
        connection.executemany(
            "INSERT INTO sessions (token, user_id, expiry_date, max_expiry_date) VALUES (?, ?, ?, ?)",
            ((secrets.token_urlsafe(32), alice.id, *ends) for _ in range(SESSIONS)),
        )
    peaks: list[float] = []

    def watch(_: str, done: int, __: int) -> None:
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.reset_peak()
        if done == SESSIONS // 2 and len(peaks) == done // 500:
            raise _StopError

    tracemalloc.start()
    try:
        with pytest.raises(_StopError):
            await move(auth, batch=500, progress=watch)
        report = (await move(auth, batch=500, progress=watch))["sessions"]
    finally:
        tracemalloc.stop()

    assert (report.moved, report.already) == (SESSIONS // 2, SESSIONS // 2)
    assert await AuthSession.count() == SESSIONS
    assert max(peaks) < MEGABYTES
    assert max(peaks[-10:]) < 1.2 * max(peaks[:10])


@pytest.mark.usefixtures("old_tables")
async def test_more_rows_than_a_statement_takes(
    auth: Auth[User], sign_up: People, clock: FrozenClock, database: Engine[Any]
) -> None:
    """A batch is split where the database would refuse it."""
    del database
    alice = await sign_up("alice")
    ends = [local(clock() + life) for life in (HOUR, 2 * HOUR)]
    columns = (
        SessionsBase.token,
        SessionsBase.user_id,
        SessionsBase.expiry_date,
        SessionsBase.max_expiry_date,
    )
    made = [(secrets.token_urlsafe(32), alice.id, *ends) for _ in range(4000)]
    async with Database(User).atomic():
        await Database(User).insert_rows(columns, made, unless=SessionsBase.id)

    assert (await move(auth, batch=10_000))["sessions"].moved == 4000

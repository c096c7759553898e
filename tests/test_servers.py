"""The test infrastructure itself: both databases, Valkey, and processes that leave nothing behind."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped] # it ships no types
import httpx
import pytest
import redis
from piccolo.columns import Integer, Timestamptz, Varchar
from piccolo.engine.base import Engine
from piccolo.table import Table, create_db_tables

from tests.conftest import bind
from tests.processes import uvicorn_server
from tests.servers import ServerError, ValkeyServer, guarded, valkey_server, wait_until


class Ticket(Table, tablename="infrastructure_ticket"):
    """A thing that may be used once."""

    name = Varchar(length=20, unique=True)
    uses = Integer(default=0)
    used_at = Timestamptz(null=True, default=None)


@pytest.fixture
async def tickets(engine: Engine[Any]) -> AsyncIterator[Engine[Any]]:
    with bind(engine, [Ticket]):
        await create_db_tables(Ticket, if_not_exists=True)
        yield engine


@pytest.mark.usefixtures("tickets")
async def test_a_row_comes_back() -> None:
    """What is stored is read again, from an empty table, on each engine."""
    assert await Ticket.count() == 0

    await Ticket(name="first").save()

    assert await Ticket.select(Ticket.name, Ticket.uses) == [{"name": "first", "uses": 0}]


@pytest.mark.usefixtures("tickets")
async def test_a_conditional_update_has_one_winner() -> None:
    """Of many simultaneous uses of one row, UPDATE .. RETURNING lets exactly one through."""
    await Ticket(name="once").save()

    async def use() -> bool:
        used = Ticket.update({Ticket.uses: Ticket.uses + 1}).where(
            Ticket.name == "once", Ticket.uses == 0
        )
        return bool(await used.returning(Ticket.uses))

    wins = await asyncio.gather(*(use() for _ in range(20)))

    assert sum(wins) == 1


async def test_a_failed_transaction_leaves_nothing(tickets: Engine[Any]) -> None:
    """An error inside a transaction takes the writes before it back."""

    async def fail() -> None:
        async with tickets.transaction():
            await Ticket(name="lost").save()
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    assert await Ticket.count() == 0


@pytest.mark.usefixtures("tickets")
@pytest.mark.parametrize("turn", ["first", "second"])
async def test_the_next_test_finds_an_empty_database(turn: str) -> None:
    """Nothing of one test reaches the next."""
    before = await Ticket.count()

    await Ticket(name=turn).save()

    assert before == 0


@pytest.mark.usefixtures("tickets")
async def test_each_engine_is_what_it_says(engine_kind: str) -> None:
    """The SQLite file writes ahead; PostgreSQL is the release that the documentation names."""
    if engine_kind == "sqlite":
        (row,) = await Ticket.raw("PRAGMA journal_mode")

        assert row == {"journal_mode": "wal"}
    else:
        (row,) = await Ticket.raw("SHOW server_version")

        assert row["server_version"].startswith("18.")


@pytest.mark.usefixtures("tickets")
@pytest.mark.parametrize("engine_kind", ["postgres"], indirect=True)
async def test_the_address_leads_to_the_same_database(database_url: str) -> None:
    """Another process can be handed the address of the test's database."""
    await Ticket(name="seen").save()

    connection = await asyncpg.connect(database_url)
    try:
        seen = await connection.fetchval("SELECT name FROM infrastructure_ticket")
    finally:
        await connection.close()

    assert seen == "seen"


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
def test_the_sqlite_address_is_a_file(database_url: str) -> None:
    """The other address names a database file."""
    with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_valkey_answers_and_is_empty(valkey: ValkeyServer, turn: str) -> None:
    """A Redis client reaches Valkey, which holds nothing of the test before."""
    with redis.Redis.from_url(valkey.url) as client:
        before = client.get("turn")
        client.set("turn", turn)

        assert client.ping()
        assert before is None


def test_a_stopped_server_is_gone() -> None:
    """At the end of its block a server no longer listens."""
    with valkey_server() as server, socket.create_connection((server.host, server.port), 1):
        pass

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), 1)


def test_a_program_that_ends_early_is_an_error_with_its_log(tmp_path: Path) -> None:
    """A server that does not start says why."""
    log = tmp_path / "log"
    process = guarded(
        sys.executable, "-c", "raise SystemExit('no luck')", stop=signal.SIGTERM, log=log
    )

    with process, pytest.raises(ServerError, match="no luck"):
        wait_until(lambda: False, what="it", process=process, log=log)


def test_a_killed_session_takes_its_servers_along(tmp_path: Path) -> None:
    """The kernel breaks the lifeline of a session that had no time to tidy up."""
    program = "import time; from tests.servers import valkey_server as v\n"
    program += "with v() as s: print(s.port, flush=True); time.sleep(600)"
    with subprocess.Popen(  # noqa: S603 - the program above
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as session:
        assert session.stdout is not None
        server = ValkeyServer(host="127.0.0.1", port=int(session.stdout.readline()))
        session.kill()

    wait_until(lambda: not _listens(server), what="Valkey's end", log=tmp_path / "none", seconds=10)

    assert not _listens(server)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_application_is_served_by_processes(workers: int) -> None:
    """The base URL leads to the application; afterwards nobody is there."""
    with uvicorn_server("tests.test_servers:served", workers=workers, env={}) as url:
        first = httpx.get(url)

    assert int(first.text) != os.getpid()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_failure_beside_an_application_carries_its_log() -> None:
    """The log of the server is a note on the error."""

    def fail() -> None:
        with uvicorn_server("tests.test_servers:served", env={}) as url:
            httpx.get(url)
            raise LookupError

    with pytest.raises(LookupError) as caught:
        fail()

    assert "GET / HTTP/1.1" in caught.value.__notes__[0]


def _listens(server: ValkeyServer) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((server.host, server.port), 1):
        return True
    return False


async def served(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """A small ASGI application: its process number for whoever asks."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

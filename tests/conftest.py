"""Fixtures for everybody: both databases, the tables of the library, and Valkey.

One PostgreSQL server serves the whole run, however many workers there are. The first test that asks
for it starts it; it ends with the run, because its lifeline is held by the process that began the run.
"""

import asyncio
import contextlib
import fcntl
import functools
import gc
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped] # it ships no types
import coverage
import fastapi.routing
import pytest
import redis
from fastapi.utils import create_model_field
from piccolo.engine.base import Engine
from piccolo.engine.postgres import PostgresEngine
from piccolo.engine.sqlite import SQLiteEngine
from piccolo.table import Table, create_db_tables

from tests.servers import (
    STOP_SECONDS,
    PostgresServer,
    ValkeyServer,
    postgres_has_ended,
    start_postgres,
    valkey_server,
    wait_until,
)

pytest_plugins = ["tests.fixtures", "tests.statements"]

RUN_FOLDER: Final = pytest.StashKey[Path]()
LIFELINE: Final = pytest.StashKey[int]()


# An application is made for nearly every test. FastAPI makes the same field of the same model for each route of each,
# and the rubbish collector walks all of it over and over: together a good third of the run.
fastapi.routing.create_model_field = functools.cache(create_model_field)  # type: ignore[attr-defined] # it imports it
gc.set_threshold(100_000, 20, 20)


def pytest_collection_finish() -> None:
    """Leave everything that was imported out of each collection of rubbish."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure coverage on SQLite: measuring doubles the time, and the second database adds few lines of its own."""
    measured = coverage.Coverage.current()
    if measured is None or "postgres" not in item.name or "sqlite" in item.name:
        return (yield)
    measured.stop()
    try:
        return (yield)
    finally:
        measured.start()


def pytest_configure(config: pytest.Config) -> None:
    """Lay the folder that all workers share, and hold the lifeline of the servers in it."""
    if hasattr(config, "workerinput"):
        config.stash[RUN_FOLDER] = Path(config.workerinput["run_folder"])
        return
    folder = Path(tempfile.mkdtemp(prefix="auth-tests-"))
    folder.chmod(0o755)  # PostgreSQL, run as nobody, must be able to enter
    os.mkfifo(folder / "lifeline", mode=0o600)
    config.stash[RUN_FOLDER] = folder
    config.stash[LIFELINE] = os.open(folder / "lifeline", os.O_RDWR)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each pytest-xdist worker where the shared folder is."""
    node.workerinput["run_folder"] = str(node.config.stash[RUN_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Break the lifeline, wait for the server to go, and remove what it left."""
    if LIFELINE not in config.stash:
        return
    folder = config.stash[RUN_FOLDER]
    os.close(config.stash[LIFELINE])
    try:
        wait_until(
            lambda: postgres_has_ended(folder / "postgres"),
            what="the end of PostgreSQL",
            log=folder / "postgres" / "postgres.log",
            seconds=STOP_SECONDS,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio: Piccolo knows no other loop."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> PostgresServer:
    """The PostgreSQL server of this run, started by whoever asks first."""
    folder = pytestconfig.stash[RUN_FOLDER]
    known = folder / "postgres.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if known.exists():
            return PostgresServer(**json.loads(known.read_text()))
        lifeline = os.open(folder / "lifeline", os.O_RDONLY)
        try:
            server, guard = start_postgres(folder / "postgres", lifeline=lifeline)
        except BaseException:
            shutil.rmtree(folder / "postgres", ignore_errors=True)  # the next worker tries anew
            raise
        finally:
            os.close(lifeline)
        guard.returncode = 0  # it outlives this process if need be; the lifeline ends it
        known.write_text(json.dumps(asdict(server)))
        return server


@pytest.fixture(scope="session")
def postgres_database(postgres: PostgresServer, pytestconfig: pytest.Config) -> str:
    """The name of this worker's own database."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    name = f"tests_{worker}"
    asyncio.run(_execute(postgres.dsn("postgres"), f'CREATE DATABASE "{name}"'))
    return name


@pytest.fixture(params=["sqlite", "postgres"])
def engine_kind(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on; override by indirect parameters to run on one only."""
    return str(request.param)


@pytest.fixture
def database_url(engine_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database: ``sqlite:///...`` or ``postgresql://...``."""
    if engine_kind == "sqlite":
        path = tmp_path / "auth.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    dsn = server.dsn(request.getfixturevalue("postgres_database"))
    yield dsn
    asyncio.run(_empty(dsn))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine[Any]]:
    """A Piccolo engine on an empty database; once with SQLite, once with PostgreSQL and a pool."""
    if database_url.startswith("sqlite:///"):
        yield SQLiteEngine(path=database_url.removeprefix("sqlite:///"), timeout=30)
        return
    engine = PostgresEngine({"dsn": database_url})
    await engine.start_connection_pool(min_size=1, max_size=10)
    try:
        yield engine
    finally:
        async with asyncio.timeout(STOP_SECONDS):  # longer only if a connection was not given back
            await engine.close_connection_pool()


@contextlib.contextmanager
def bind(engine: Engine[Any], tables: Sequence[type[Table]]) -> Iterator[None]:
    """Point ``tables`` at ``engine`` until the block ends, so that no ``piccolo_conf`` is needed."""
    before = [table._meta._db for table in tables]
    for table in tables:
        table._meta._db = engine
    try:
        yield
    finally:
        for table, previous in zip(tables, before, strict=True):
            table._meta._db = previous


@pytest.fixture(scope="session")
def tables() -> list[type[Table]]:
    """Every table of the library and the user table."""
    from piccolo_fastapi_auth.piccolo_app import APP_CONFIG  # noqa: PLC0415 - on demand
    from piccolo_fastapi_auth.users.user_table import user_table  # noqa: PLC0415 - on demand

    return list(dict.fromkeys([user_table(), *APP_CONFIG.table_classes]))


@pytest.fixture
async def database(
    engine: Engine[Any], tables: Sequence[type[Table]]
) -> AsyncIterator[Engine[Any]]:
    """``engine`` with every table of the library made in it and bound to it."""
    with bind(engine, tables):
        await create_db_tables(*tables, if_not_exists=True)
        yield engine


@pytest.fixture(scope="session")
def valkey_process() -> Iterator[ValkeyServer]:
    """This worker's own Valkey server."""
    with valkey_server() as server:
        yield server


@pytest.fixture
def valkey(valkey_process: ValkeyServer) -> ValkeyServer:
    """A Valkey server with nothing in it."""
    with redis.Redis.from_url(valkey_process.url) as client:
        client.flushall()
    return valkey_process


async def _execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _empty(dsn: str) -> None:
    """Drop everything, even if a test left a connection with locks behind."""
    await _execute(
        dsn,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
    )

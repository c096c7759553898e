"""Databases to measure on: SQLite files, and the PostgreSQL and Valkey that the tests start."""

import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import asyncpg  # type: ignore[import-untyped] # it ships no types
from piccolo.engine.base import Engine
from piccolo.engine.postgres import PostgresEngine
from piccolo.engine.sqlite import SQLiteEngine
from piccolo.table import Table, create_db_tables

from tests.servers import PostgresServer, postgres_server

Kind = Literal["SQLite", "PostgreSQL"]
POOL = 10  # connections of every contestant


@dataclass(frozen=True, slots=True)
class Place:
    """An empty database for one contestant."""

    kind: Kind
    address: str

    @property
    def for_sqlalchemy(self) -> str:
        """The address as SQLAlchemy writes it."""
        if self.kind == "SQLite":
            return f"sqlite+aiosqlite:///{self.address}"
        return self.address.replace("postgresql://", "postgresql+asyncpg://")


class Places:
    """Makes places; PostgreSQL starts with the first one that needs it."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._server: PostgresServer | None = None
        self._folder = Path()

    def __enter__(self) -> Self:
        name = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="auth-bench-"))
        self._folder = Path(name)
        self._folder.chmod(0o755)  # PostgreSQL, run as nobody by root, must be able to enter
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    async def new(self, kind: Kind) -> Place:
        """Make an empty database."""
        name = f"bench_{secrets.token_hex(6)}"
        if kind == "SQLite":
            return Place(kind, str(self._folder / f"{name}.sqlite"))
        if self._server is None:
            server = postgres_server(self._folder / "postgres")
            self._server = self._stack.enter_context(server)
        connection = await asyncpg.connect(self._server.dsn("postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return Place(kind, self._server.dsn(name))


@contextlib.asynccontextmanager
async def piccolo_engine(place: Place, tables: Sequence[type[Table]]) -> AsyncIterator[Engine[Any]]:
    """Bind Piccolo tables to a place and make them; PostgreSQL with a pool."""
    if place.kind == "SQLite":
        engine: Engine[Any] = SQLiteEngine(path=place.address, timeout=30)
    else:
        engine = PostgresEngine({"dsn": place.address})
        await engine.start_connection_pool(min_size=1, max_size=POOL)
    for table in tables:
        table._meta.db = engine
    if place.kind == "SQLite":
        await tables[0].raw("PRAGMA journal_mode=WAL")
    await create_db_tables(*tables, if_not_exists=True)
    yield engine
    if isinstance(engine, PostgresEngine):
        await engine.close_connection_pool()

"""What the database is asked, counted where the drivers send statements."""

import sqlite3
from typing import Any

import pytest
from piccolo.engine.base import Engine
from piccolo.engine.postgres import PostgresEngine

STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


class Statements(list[str]):
    """What the database was asked, without what drivers send for themselves."""

    def note(self, statement: str) -> None:
        """Take one from a driver."""
        is_reset = "pg_advisory_unlock_all" in statement  # when a connection goes back to its pool
        if statement.lstrip().upper().startswith(STATEMENTS) and not is_reset:
            self.append(statement)


@pytest.fixture
async def statements(database: Engine[Any], monkeypatch: pytest.MonkeyPatch) -> Statements:
    """Every statement from now on, as sqlite3 or asyncpg reports it."""
    seen = Statements()
    if isinstance(database, PostgresEngine):

        async def listen(connection: Any) -> None:  # asyncpg ships no types
            connection.add_query_logger(lambda record: seen.note(record.query))

        await database.close_connection_pool()
        await database.start_connection_pool(min_size=1, max_size=4, init=listen)
    else:
        connect = sqlite3.connect

        def connect_and_listen(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)
            connection.set_trace_callback(seen.note)
            return connection

        monkeypatch.setattr(sqlite3, "connect", connect_and_listen)
    return seen

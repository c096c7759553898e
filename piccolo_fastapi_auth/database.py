"""How statements reach the database: transactions that do not leak, fast reads, failures as 503.

Works around three faults of Piccolo 1.38, each with a test: a failed ``BEGIN IMMEDIATE`` on SQLite leaves
a thread that keeps the process alive; a failed ``COMMIT`` on PostgreSQL keeps its pool connection and its
context variable; SQLite opens a connection and a thread for every statement outside a transaction.
"""

import asyncio
import contextlib
import copy
import itertools
import logging
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Protocol, TypeVar, cast

from piccolo.columns import Column
from piccolo.custom_types import Combinable
from piccolo.engine.base import BaseTransaction, Engine
from piccolo.engine.sqlite import SQLiteEngine, SQLiteTransaction, TransactionType
from piccolo.query.base import Query
from piccolo.table import Table

from piccolo_fastapi_auth.errors import TemporarilyUnavailableError
from piccolo_fastapi_auth.reads import Read, Row

__all__ = [
    "Database",
    "Row",
    "is_unique_violation",
    "primary_key",
    "quoted",
    "unavailable_when_broken",
]

logger = logging.getLogger(__name__)

TableT = TypeVar("TableT", bound=Table)
ResponseT = TypeVar("ResponseT")
AfterCommit = Callable[[], Awaitable[None]]

MOST_PARAMETERS = 30_000  # of one statement: SQLite takes 32,766, PostgreSQL 32,767

# Names, not classes: asyncpg is there only when the application uses PostgreSQL.
_POSTGRES_FAILURES = (
    "PostgresConnectionError",
    "InterfaceError",
    "OperatorInterventionError",
    "InsufficientResourcesError",
    "TransactionRollbackError",
    "LockNotAvailableError",
    "UndefinedTableError",
    "ReadOnlySQLTransactionError",
)


class _Reader(Protocol):
    """The part of an aiosqlite connection that is used here; aiosqlite is an optional install."""

    row_factory: None

    async def execute_fetchall(
        self, sql: str, parameters: Sequence[object]
    ) -> list[Sequence[object]]: ...

    async def close(self) -> None: ...


def _failures() -> tuple[type[BaseException], ...]:
    """Return the exceptions that mean "the store cannot answer now"."""
    asyncpg = sys.modules.get("asyncpg")
    names = _POSTGRES_FAILURES if asyncpg else ()
    return (
        sqlite3.OperationalError,
        OSError,
        TimeoutError,
        *(getattr(asyncpg, name) for name in names),
    )


@contextlib.contextmanager
def unavailable_when_broken() -> Iterator[None]:
    """Turn a store that is down, locked or without its tables into 503.

    Raises:
        TemporarilyUnavailableError: The store could not answer.
    """
    try:
        yield
    except Exception as error:
        # The exception classes are only known at run time: asyncpg may not be installed.
        # A file that is no database any more is a DatabaseError itself; so are the errors of our own making below it.
        if not isinstance(error, _failures()) and type(error) is not sqlite3.DatabaseError:
            raise
        hint = " Run: piccolo migrations forwards all" if _lacks_tables(error) else ""
        logger.exception("The database cannot answer: %s.%s", type(error).__name__, hint)
        raise TemporarilyUnavailableError from error


def _lacks_tables(error: Exception) -> bool:
    return type(error).__name__ == "UndefinedTableError" or "no such table" in str(error)


def is_unique_violation(error: Exception) -> bool:
    """Say whether ``error`` is a row that broke a unique key."""
    if isinstance(error, sqlite3.IntegrityError):
        return error.sqlite_errorname in {
            "SQLITE_CONSTRAINT_UNIQUE",
            "SQLITE_CONSTRAINT_PRIMARYKEY",
        }
    return type(error).__name__ == "UniqueViolationError"


def quoted(column: Column, *, table: str = "") -> str:
    """Return a column as it is written in SQL: ``"name"`` or ``alias."name"``."""
    name = f'"{column._meta.db_column_name}"'
    return f"{table}.{name}" if table else name


def primary_key(table: type[Table]) -> Column:
    """Return the primary key of a table, whatever its name and type."""
    return table._meta.primary_key


class Database:
    """The engine of the user table, with the three things that Piccolo leaves to its callers."""

    def __init__(self, table: type[Table]) -> None:
        self._table = table
        self._reader: _Reader | None = None
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._after: dict[int, list[AfterCommit]] = {}

    @property
    def engine(self) -> Engine[BaseTransaction]:
        """The engine that the application gave the user table."""
        return cast("Engine[BaseTransaction]", self._table._meta.db)

    async def fetch(self, read: Read, *values: object) -> list[Row]:
        """Run a read, and return its rows.

        On SQLite it goes over one open connection while the application runs (`open` to `close`), on PostgreSQL
        past Piccolo's building of queries straight to the pool. Inside a transaction it belongs to that.
        """
        engine = self.engine
        if not engine.transaction_exists():
            if self._reader is not None:
                return read.from_sqlite(await self._reader.execute_fetchall(read.sqlite, values))
            pool = getattr(engine, "pool", None)
            if pool is not None and not engine.log_queries and not engine.log_responses:
                async with pool.acquire() as connection:
                    return cast("list[Row]", await connection.fetch(read.postgres, *values))
        return await self.rows(
            read.in_sqlite if engine.engine_type == "sqlite" else read.text, *values
        )

    async def rows(self, text: str, *values: object) -> list[Row]:
        """Run a read of tables that are not ours, written with ``{}`` for each value; Piccolo finds the types."""
        return cast("list[Row]", await self._table.raw(text, *values))

    async def delete_some(
        self, table: type[Table], key: Column, condition: Combinable, *, most: int
    ) -> int:
        """Delete rows, at most so many, past those that another worker is deleting just now; return how many."""
        async with self.atomic():
            query = table.select(key).where(condition).limit(most)
            if not isinstance(self.engine, SQLiteEngine):  # which has one writer at a time
                query = query.lock_rows("UPDATE", skip_locked=True)
            keys = [row[key._meta.name] for row in await query]
            if keys:
                await self.write(table.delete().where(key.is_in(keys)))
        return len(keys)

    async def has_table(self, name: str) -> bool:
        """Say whether the database has a table of that name."""
        if self.engine.engine_type == "sqlite":
            known = "SELECT 1 AS n FROM sqlite_master WHERE type = 'table' AND name = {}"
        else:
            known = "SELECT 1 AS n FROM pg_tables WHERE schemaname = current_schema() AND tablename = {}"
        return bool(await self.rows(known, name))

    async def insert_rows(
        self, columns: Sequence[Column], rows: Sequence[Sequence[object]], *, unless: Column
    ) -> list[object]:
        """Insert many rows in few statements, but for those whose ``unless`` is taken; return it of the others.

        Piccolo's own insert makes an object of each row and looks at each value of it. Call it inside a transaction.
        """
        names, key = ", ".join(quoted(one) for one in columns), quoted(unless)
        size, made = MOST_PARAMETERS // len(columns), list[object]()
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            text = (
                f"INSERT INTO {unless._meta.table._meta.tablename} ({names})"
                f" VALUES {self._places(len(some), len(columns))} ON CONFLICT ({key}) DO NOTHING RETURNING {key}"
            )
            made += await self._first_column(text, [value for row in some for value in row])
        return made

    def _places(self, rows: int, columns: int) -> str:
        """Write the places of so many values: ``(?, ?), (?, ?)``, or ``($1, $2), ($3, $4)``."""
        numbers = iter(range(1, rows * columns + 1))
        mark = "?" if self.engine.engine_type == "sqlite" else "$"
        named = (mark if mark == "?" else f"{mark}{next(numbers)}" for _ in range(rows * columns))
        return ", ".join(f"({', '.join(itertools.islice(named, columns))})" for _ in range(rows))

    async def _first_column(self, text: str, values: Sequence[object]) -> list[object]:
        """Run a statement in the running transaction, past Piccolo, which takes longer to write it than the database to run it."""
        connection = getattr(self.engine.current_transaction.get(), "connection")  # noqa: B009 - each engine has its own type of it
        if self.engine.engine_type != "sqlite":
            return [row[0] for row in await connection.fetch(text, *values)]
        found = await connection.execute_fetchall(text, values)
        return [next(iter(row.values())) if isinstance(row, dict) else row[0] for row in found]

    async def write(self, query: Query[TableT, ResponseT]) -> list[Row]:
        """Run one writing Piccolo query by itself; return the rows of its ``RETURNING``."""
        async with self._one_writer():
            return cast("list[Row]", await query)

    @contextlib.asynccontextmanager
    async def atomic(self) -> AsyncIterator[None]:
        """Run a block as one transaction: all of it or nothing, and no connection left behind."""
        engine = self.engine
        if engine.transaction_exists():
            yield
            return
        after: list[AfterCommit] = []
        async with self._one_writer():
            transaction = _begin(engine)
            await _enter(transaction, engine)
            self._after[id(transaction)] = after
            failure: BaseException | None = None
            try:
                yield
            except BaseException as error:
                failure = error
                raise
            finally:
                del self._after[id(transaction)]
                await _leave(transaction, engine, failure)
        for work in after:
            await work()

    async def after_commit(self, work: AfterCommit) -> None:
        """Run ``work`` when the running transaction of ours is committed, never when it is rolled back.

        Without one it runs at once; so it does in a transaction that the application itself began.
        """
        waiting = self._after.get(id(self.engine.current_transaction.get()))
        if waiting is None:
            await work()
        else:
            waiting.append(work)

    @contextlib.asynccontextmanager
    async def _one_writer(self) -> AsyncIterator[None]:
        """Queue the writers of this process on SQLite, which has room for one: a queue beats a busy wait."""
        if self.engine.engine_type != "sqlite" or self.engine.transaction_exists():
            yield
            return
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = (loop, asyncio.Lock())
        async with self._lock[1]:
            yield

    async def open(self) -> None:
        """Open the reading connection on SQLite; warn when PostgreSQL would connect for every statement."""
        engine = self.engine
        if isinstance(engine, SQLiteEngine):
            self._reader = await _plain_connection(engine)
        elif getattr(engine, "pool", None) is None:
            logger.warning(
                "PostgreSQL without a pool costs a connection a query: await engine.start_connection_pool()"
            )

    async def close(self) -> None:
        """Close the reading connection; without this the thread behind it keeps the process alive."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()


async def _connected(engine: SQLiteEngine) -> _Reader:
    return cast("_Reader", await engine.get_connection())


async def _plain_connection(engine: SQLiteEngine) -> _Reader:
    """Return a connection that gives values as they are stored, in tuples: `Read` knows what they are."""
    plain = copy.copy(engine)
    plain.connection_kwargs = {**engine.connection_kwargs, "detect_types": 0}
    reader = await _connected(plain)
    reader.row_factory = None
    return reader


class _SQLiteTransaction(SQLiteTransaction):
    """A transaction whose connection is closed also when the request is cancelled while it is being opened."""

    async def get_connection(self) -> _Reader:
        opening = asyncio.ensure_future(_connected(self.engine))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            connection = await opening
            await connection.close()
            raise


def _begin(engine: Engine[BaseTransaction]) -> BaseTransaction:
    """Return a transaction; on SQLite one that takes the write lock at once, so that no read is upgraded."""
    if isinstance(engine, SQLiteEngine):
        return _SQLiteTransaction(engine, transaction_type=TransactionType.immediate)
    return engine.transaction()


async def _enter(transaction: BaseTransaction, engine: Engine[BaseTransaction]) -> None:
    try:
        await transaction.__aenter__()
    except BaseException:
        await _give_back(transaction, engine)
        raise


async def _leave(
    transaction: BaseTransaction, engine: Engine[BaseTransaction], failure: BaseException | None
) -> None:
    try:
        await transaction.__aexit__(
            type(failure) if failure else None, failure, failure.__traceback__ if failure else None
        )
    except BaseException:
        # COMMIT or ROLLBACK itself failed; Piccolo stops here, with the connection and the variable still set.
        # Where only the waiting for the connection's return was cancelled, the return goes on by itself.
        if not (
            getattr(transaction, "_committed", False) or getattr(transaction, "_rolled_back", False)
        ):
            await _give_back(transaction, engine)
        context = getattr(transaction, "context", None)
        with contextlib.suppress(ValueError, RuntimeError):
            if context is not None:
                engine.current_transaction.reset(context)
        raise


async def _give_back(transaction: BaseTransaction, engine: Engine[BaseTransaction]) -> None:
    """Close the connection that a half-made transaction holds: nobody knows what it is in the middle of."""
    connection = getattr(transaction, "connection", None)
    if connection is None:
        return
    with contextlib.suppress(Exception):
        if isinstance(engine, SQLiteEngine):
            await connection.close()
        else:
            connection.terminate()  # its pool opens another one

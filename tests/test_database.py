"""Transactions that do not leak, and a store that is down: 503, and nobody slips in."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from piccolo.engine.base import Engine
from piccolo.engine.sqlite import SQLiteEngine

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.database import Database, unavailable_when_broken
from piccolo_fastapi_auth.errors import TemporarilyUnavailableError
from piccolo_fastapi_auth.sessions.tables import AuthSession
from tests.fixtures import PASSWORD, Person, bearer, code_of, get_tokens


async def _save(name: str) -> None:
    await User.insert(User(username=name, email=f"{name}@example.com"))


@pytest.mark.usefixtures("database")
async def test_a_block_is_all_or_nothing() -> None:
    """An exception and a cancellation roll back; a block inside a block joins it."""
    database = Database(User)
    with pytest.raises(RuntimeError):  # noqa: PT012 - the block is what is tested
        async with database.atomic():
            await _save("one")
            async with database.atomic():
                await _save("two")
            raise RuntimeError

    async def endless() -> None:
        async with database.atomic():
            await _save("three")
            await asyncio.Event().wait()

    task = asyncio.create_task(endless())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await User.count() == 0
    assert not database.engine.transaction_exists()


@pytest.mark.usefixtures("database")
async def test_a_hundred_writers_all_succeed() -> None:
    """On SQLite they queue instead of failing."""
    database = Database(User)

    async def write(number: int) -> None:
        async with database.atomic():
            await _save(f"user{number}")

    await asyncio.gather(*(write(number) for number in range(100)))

    assert await User.count() == 100


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
async def test_a_lock_that_is_held_leaves_no_thread_behind(database: Engine[Any]) -> None:
    """Piccolo's own transaction leaves one for each failure, and the process never ends."""
    assert isinstance(database, SQLiteEngine)
    database.connection_kwargs["timeout"] = 0
    holder = sqlite3.connect(database.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    before = threading.active_count()
    for _ in range(20):
        with pytest.raises(TemporarilyUnavailableError), unavailable_when_broken():
            async with Database(User).atomic():
                pass
    holder.close()
    for _ in range(
        200
    ):  # a closed connection's thread takes a moment to end; a leaked one never does
        if threading.active_count() <= before:
            break
        await asyncio.sleep(0.01)

    assert threading.active_count() <= before


@pytest.mark.parametrize("engine_kind", ["postgres"], indirect=True)
async def test_a_commit_that_fails_gives_its_connection_back(database: Engine[Any]) -> None:
    """Piccolo's own transaction keeps the connection and the context variable."""
    await User.raw("CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    for _ in range(15):  # more than the pool holds
        with pytest.raises(Exception, match="unique"):
            async with Database(User).atomic():
                await User.raw("INSERT INTO late VALUES (1), (1)")
        assert not database.transaction_exists()

    assert await User.count() == 0


def test_programming_errors_are_not_called_an_outage() -> None:
    """Only what means "cannot answer now" becomes 503."""
    with pytest.raises(KeyError), unavailable_when_broken():
        raise KeyError


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
async def test_a_locked_database_is_503_and_comes_back_by_itself(
    database: Engine[Any], client: AsyncClient, alice: Person
) -> None:
    """FLT-3: log-in, refresh and guards refuse with Retry-After; nothing is half-written."""
    assert isinstance(database, SQLiteEngine)
    tokens = await get_tokens(client, alice)
    database.connection_kwargs["timeout"] = 0
    holder = sqlite3.connect(database.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    login = await client.post("/auth/login", json={"username": "alice", "password": PASSWORD})
    refreshed = await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    grant = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    by_form = await client.post("/auth/token", data=grant)
    holder.close()

    for answer in (login, refreshed):
        assert (answer.status_code, code_of(answer)) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert (by_form.status_code, by_form.json()["error"]) == (503, "temporarily_unavailable")
    assert await AuthSession.count() == 1
    again = await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert again.status_code == 200


async def test_a_table_that_is_missing_lets_nobody_in(client: AsyncClient, alice: Person) -> None:
    """FLT-3: refused while it is away, good again when it is back."""
    tokens = await get_tokens(client, alice)
    await User.raw("ALTER TABLE auth_session RENAME TO gone")
    refused = await client.get("/user", headers=bearer(tokens))
    optional = await client.get("/optional", headers=bearer(tokens))
    await User.raw("ALTER TABLE gone RENAME TO auth_session")

    assert [refused.status_code, optional.status_code] == [503, 503]
    assert (await client.get("/user", headers=bearer(tokens))).status_code == 200


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
async def test_a_file_that_is_no_database_lets_nobody_in(
    database: Engine[Any], client: AsyncClient, alice: Person
) -> None:
    """FLT-3: 503 where a disk spoiled it; the next connection sees it."""
    assert isinstance(database, SQLiteEngine)
    await AuthSession.raw("PRAGMA wal_checkpoint(TRUNCATE)")
    Path(database.path).write_bytes(b"spoiled" * 2000)  # noqa: ASYNC240 - a few kilobytes

    for path in ("/auth/login", "/auth/register"):
        body = {"username": alice.username, "password": PASSWORD}
        if path == "/auth/register":
            body["email"] = alice.email
        answer = await client.post(path, json=body)
        assert (answer.status_code, code_of(answer)) == (503, "temporarily_unavailable")


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("database")
async def test_the_tables_are_made_once(auth: Auth[User]) -> None:
    """``create_tables`` may be called again, and sets SQLite's journal for readers beside a writer."""
    await auth.create_tables()
    await auth.create_tables()

    assert await User.raw("PRAGMA journal_mode") == [{"journal_mode": "wal"}]

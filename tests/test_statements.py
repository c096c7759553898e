"""What a guard costs, counted where the drivers send statements (PERFORMANCE.md 1)."""

import contextlib
import sqlite3
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient
from piccolo.engine.base import Engine
from piccolo.engine.postgres import PostgresEngine

from piccolo_fastapi_auth import Auth, Principal, Session, User
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import ORIGIN, Person, bearer, get_tokens, log_in

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


@pytest.mark.parametrize("opened", [False, True], ids=["no-lifespan", "lifespan"])
async def test_a_guard_is_one_statement_and_a_principal_from_a_token_is_none(
    statements: Statements, auth: Auth[User], app: FastAPI, clock: FrozenClock, *, opened: bool
) -> None:
    """One read for a cookie or a token, however many guards; a write beside it once a minute (SES-4)."""

    @app.get("/many", dependencies=[Depends(auth.require(fresh=timedelta(minutes=10)))])
    async def many(
        user: Annotated[User, Depends(auth.current_user)],
        session: Annotated[Session, Depends(auth.current_session)],
        principal: Annotated[Principal, Depends(auth.principal)],
        optional: Annotated[User | None, Depends(auth.optional_user)],
    ) -> list[object]:
        return [user.username, session.user_id, principal.user_id, optional is not None]

    async def cost(path: str, headers: dict[str, str]) -> int:
        statements.clear()
        await browser.get(path, headers=headers)
        return len(statements)

    async with AsyncClient(transport=ASGITransport(app), base_url=ORIGIN) as browser:
        person = Person(0, "alice", "alice@example.com")
        body = {"username": "alice", "email": person.email, "password": person.password}
        assert (await browser.post("/auth/register", json=body)).status_code == 201
        token = bearer(await get_tokens(browser, person))
        cookie = {
            "cookie": f"__Host-session={(await log_in(browser, person)).cookies['__Host-session']}"
        }
        browser.cookies.clear()
        async with auth.lifespan() if opened else contextlib.nullcontext():
            for path in (
                "/user",
                "/optional",
                "/whose-session",
                "/posts",
                "/fresh",
                "/verified",
                "/many",
            ):
                assert await cost(path, token) == 1, (path, statements)
                assert await cost(path, cookie) == 1, (path, statements)
            assert await cost("/principal", cookie) == 1
            assert await cost("/principal", token) == 0
            assert (await browser.get("/many", headers=cookie)).json() == ["alice", 1, 1, True]
            for bad in ({}, {"authorization": "Bearer x"}, {"cookie": "__Host-session=x"}):
                assert await cost("/user", bad) == 0
            clock.move(timedelta(seconds=61))
            assert [await cost("/user", token), await cost("/user", token)] == [2, 1]
            assert [await cost("/user", cookie), await cost("/user", cookie)] == [2, 1]
            clock.move(timedelta(minutes=10))
            assert await cost("/user", token) == 0  # too old: known without the database

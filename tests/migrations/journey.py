"""What an application lives through: migrations there and back, people, and ``create_tables``.

The user table is resolved once a process, so this runs in a process of its own, in the folder of a small
project: ``python -m tests.migrations.journey``. It says what it saw as one line of JSON.
"""

import asyncio
import contextlib
import importlib
import io
import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import asyncpg  # type: ignore[import-untyped] # it ships no types
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient
from piccolo import main as piccolo_cli
from piccolo.table import drop_db_tables

from piccolo_fastapi_auth import Auth, AuthSettings, AuthUser
from piccolo_fastapi_auth.piccolo_app import APP_CONFIG
from piccolo_fastapi_auth.tables import TABLES
from piccolo_fastapi_auth.testing import fast_hasher
from piccolo_fastapi_auth.users.user_table import user_table

SECRET: Final = "k7Jf2pQx9wLmZr4TbVn8sYc1hGd6uEa3oPiXtRyUqWs"
PASSWORD: Final = "a horse in the pantry"

# For each table: its columns, foreign keys and indexes, each as plain lists that compare.
Catalogue = dict[str, dict[str, Any]]

_POSTGRES_COLUMNS = """
    SELECT column_name, data_type, character_maximum_length, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 ORDER BY 1
"""
_POSTGRES_KEYS = """
    SELECT a.attname, c.confrelid::regclass::text, f.attname, c.confdeltype::text
    FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = c.confkey[1]
    WHERE c.contype = 'f' AND c.conrelid = $1::text::regclass ORDER BY 1
"""
_POSTGRES_INDEXES = """
    SELECT i.indisunique, i.indisprimary, pg_get_indexdef(i.indexrelid) FROM pg_index i
    WHERE i.indrelid = $1::text::regclass ORDER BY 3
"""
_CASCADE = {"c": "CASCADE", "n": "SET NULL"}


def _sqlite_catalogue(path: str) -> Catalogue:
    with contextlib.closing(sqlite3.connect(path)) as file:
        tables = [
            row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found: Catalogue = {}
        for table in tables:
            indexes = []
            for row in file.execute(f'PRAGMA index_list("{table}")').fetchall():
                columns = [one[2] for one in file.execute(f'PRAGMA index_info("{row[1]}")')]
                # The database names the indexes that it makes for UNIQUE by their order.
                name = None if row[3] == "u" else row[1]
                indexes.append([bool(row[2]), columns, name])
            found[table] = {
                "columns": sorted(
                    list(row[1:]) for row in file.execute(f'PRAGMA table_info("{table}")')
                ),
                "keys": sorted(
                    [row[3], row[2], row[4], row[6]]
                    for row in file.execute(f'PRAGMA foreign_key_list("{table}")')
                ),
                "indexes": sorted(indexes, key=str),
            }
    return found


async def _postgres_catalogue(url: str) -> Catalogue:
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        found: Catalogue = {}
        for (table,) in tables:
            columns, keys, indexes = [
                [list(row) for row in await connection.fetch(query, table)]
                for query in (_POSTGRES_COLUMNS, _POSTGRES_KEYS, _POSTGRES_INDEXES)
            ]
            keys = [[*key[:3], _CASCADE.get(key[3], key[3])] for key in keys]
            found[table] = {"columns": columns, "keys": keys, "indexes": indexes}
    finally:
        await connection.close()
    return found


def catalogue(url: str) -> Catalogue:
    """Ask the database itself what is in it, Piccolo's list of migrations aside."""
    found = (
        _sqlite_catalogue(url.removeprefix("sqlite:///"))
        if url.startswith("sqlite:///")
        else asyncio.run(_postgres_catalogue(url))
    )
    return {
        name: table for name, table in found.items() if name not in {"migration", "sqlite_sequence"}
    }


def piccolo(*words: str) -> str:
    """Run one ``piccolo`` command and return what it printed.

    Raises:
        RuntimeError: It failed; the message is what it printed.
    """
    said = io.StringIO()
    importlib.invalidate_caches()  # a command may just have written a migration
    sys.argv = ["piccolo", *words]
    try:
        with contextlib.redirect_stdout(said):
            piccolo_cli.main()
    except SystemExit as error:
        if error.code:
            raise RuntimeError(said.getvalue()) from error
    return said.getvalue()


def new_migration_of_the_library() -> str:
    """Let Piccolo look for changes that no migration knows; on a copy, so that nothing is written to the checkout."""
    copy = Path("copy_of_migrations").resolve()
    shutil.copytree(APP_CONFIG.migrations_folder_path, copy, ignore=shutil.ignore_patterns("*.pyc"))
    before = APP_CONFIG.migrations_folder_path
    APP_CONFIG.migrations_folder_path = str(copy)
    try:
        return piccolo("migrations", "new", "fastapi_auth", "--auto")
    finally:
        APP_CONFIG.migrations_folder_path = before


def application() -> tuple[Auth[AuthUser], FastAPI]:
    """The smallest application: the library's routes and one protected route."""
    auth = Auth(AuthSettings(secret_keys=[SECRET]), user_table=user_table(), hasher=fast_hasher())
    app = FastAPI()
    app.include_router(auth.router)

    @app.get("/hello")
    async def hello(user: Annotated[AuthUser, Depends(auth.current_user)]) -> str:
        return f"{user.username} {getattr(user, 'id')}"  # noqa: B009 - a subclass has another type of key

    return auth, app


def browser(app: FastAPI) -> AsyncClient:
    """A client with cookies of its own."""
    return AsyncClient(transport=ASGITransport(app), base_url="https://app.test")


async def call(client: AsyncClient, method: str, path: str, **arguments: Any) -> Any:
    """Call a route that must answer well, and return the body."""
    answer = await client.request(method, path, **arguments)
    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


async def sign_up(name: str) -> str:
    """Register and log in; return the key that the log-in names."""
    auth, app = application()
    async with auth.lifespan(), browser(app) as client:
        address = f"{name}@example.com"
        body = {"username": name, "email": address, "password": PASSWORD}
        await call(client, "POST", "/auth/register", json=body)
        seen = await call(
            client, "POST", "/auth/login", json={"username": name, "password": PASSWORD}
        )
    return str(seen["user"]["id"])


async def rows_about_people() -> dict[str, int]:
    """Count the rows of the library's own tables."""
    return {table._meta.tablename: await table.count() for table in TABLES}


async def stay_and_leave(name: str) -> dict[str, Any]:
    """Log in, be recognised, delete the account, and be refused."""
    auth, app = application()
    async with auth.lifespan(), browser(app) as client:
        await call(client, "POST", "/auth/login", json={"username": name, "password": PASSWORD})
        hello = await call(client, "GET", "/hello")
        await live_with_tokens(app, name, hello)
        assert (await client.get("/hello")).status_code == 401  # the new password ended it
        await call(client, "POST", "/auth/login", json={"username": name, "password": PASSWORD})
        await call(client, "DELETE", "/auth/me", json={"password": PASSWORD})
        refused = (await client.get("/hello")).status_code
    return {"hello": hello, "refused": refused, "left": await rows_about_people()}


async def live_with_tokens(app: FastAPI, name: str, hello: str) -> None:
    """Whatever the type of the key: tokens, refresh, sessions, a new proof, a profile, a second factor, a new password."""
    form = {"grant_type": "password", "username": name, "password": PASSWORD}
    async with browser(app) as client:
        tokens = await call(client, "POST", "/auth/token", data=form)
        token = tokens["refresh_token"]
        tokens = await call(client, "POST", "/auth/refresh", json={"refresh_token": token})
        client.headers["authorization"] = f"Bearer {tokens['access_token']}"
        assert await call(client, "GET", "/hello") == hello
        me = await call(client, "PATCH", "/auth/me", json={"first_name": "Mira"})
        assert me == await call(client, "GET", "/auth/me")
        assert hello == f"{name} {me['id']}"
        sessions = await call(client, "GET", "/auth/sessions")
        assert [one["current"] for one in sessions] == [True, False]
        third = await call(client, "POST", "/auth/token", data=form)
        newest = (await call(client, "GET", "/auth/sessions"))[0]["id"]
        await call(client, "DELETE", f"/auth/sessions/{newest}")
        await call(client, "POST", "/auth/token/revoke", data={"token": third["refresh_token"]})
        await call(client, "POST", "/auth/reauthenticate", json={"password": PASSWORD})
        assert (await call(client, "POST", "/auth/mfa/totp"))["secret"]
        change = {"current_password": PASSWORD, "new_password": PASSWORD[::-1]}
        await call(client, "POST", "/auth/password/change", json=change)
        change = {"current_password": PASSWORD[::-1], "new_password": PASSWORD}
        await call(client, "POST", "/auth/password/change", json=change)
        await call(client, "POST", "/auth/logout")
        assert (await client.get("/hello")).status_code == 401


async def deleted_behind_the_librarys_back() -> dict[str, int]:
    """Delete every person by a plain statement; return what is left of them."""
    table = user_table()
    await table.delete(force=True)
    return await rows_about_people()


async def make_tables_without_migrations() -> None:
    """Drop everything and let ``create_tables`` make it, twice: the second time there is nothing to do."""
    await drop_db_tables(user_table(), *TABLES)
    auth, _ = application()
    await auth.create_tables()
    await auth.create_tables()


def journey(url: str) -> dict[str, Any]:
    """Live through it all, and return what was seen."""
    seen: dict[str, Any] = {}
    if Path("members").exists():
        piccolo("migrations", "new", "members", "--auto")
    piccolo("migrations", "forwards", "all")
    seen["forwards"] = catalogue(url)
    seen["key"] = asyncio.run(sign_up("mira"))

    piccolo("migrations", "backwards", "fastapi_auth", "all", "--auto_agree")
    seen["backwards"] = catalogue(url)
    piccolo("migrations", "forwards", "all")
    seen["again"] = catalogue(url)
    seen["changes"] = new_migration_of_the_library()
    seen["migrations"] = sorted(path.name for path in Path("copy_of_migrations").glob("*_20*.py"))

    seen["trip"] = asyncio.run(stay_and_leave("mira"))
    asyncio.run(sign_up("noor"))
    seen["before_deletion"] = asyncio.run(rows_about_people())
    seen["after_deletion"] = asyncio.run(deleted_behind_the_librarys_back())

    asyncio.run(make_tables_without_migrations())
    seen["created"] = catalogue(url)
    return seen


if __name__ == "__main__":
    print(json.dumps(journey(os.environ["DATABASE_URL"])))  # noqa: T201 - for the test that started it

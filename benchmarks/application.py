"""The application that is measured: the library at its production settings, on a SQLite file of its own."""

import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from piccolo.engine.sqlite import SQLiteEngine

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.mail import Mailer
from piccolo_fastapi_auth.tables import TABLES

PASSWORD = "a horse in the pantry"


@dataclass(frozen=True)
class Bench:
    """An application, its ``Auth`` and a client that calls it in this process."""

    app: FastAPI
    auth: Auth[User]
    client: AsyncClient


@contextlib.asynccontextmanager
async def running(*, mailer: Mailer | None = None, **settings: Any) -> AsyncIterator[Bench]:
    """Run the application on an empty database until the block ends. What is measured would soon be limited."""
    off = {"login_limit_per_ip": "", "login_limit_per_account": ""}
    with tempfile.TemporaryDirectory() as folder:
        engine = SQLiteEngine(path=str(Path(folder) / "bench.sqlite"), timeout=30)
        for table in (User, *TABLES):
            table._meta.db = engine
        chosen = {"secret_keys": [secrets.token_urlsafe(32)], **off, **settings}
        auth = Auth(AuthSettings(**chosen), mailer=mailer)
        app = FastAPI()
        app.include_router(auth.router)

        @app.get("/ping")
        async def ping() -> str:
            return "pong"

        await auth.create_tables()
        transport = ASGITransport(app)
        async with (
            auth.lifespan(),
            AsyncClient(transport=transport, base_url="https://bench") as client,
        ):
            yield Bench(app, auth, client)


async def sign_up(bench: Bench, username: str) -> None:
    """Make a person."""
    body = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
    answer = await bench.client.post("/auth/register", json=body)
    assert answer.status_code == 201, answer.text

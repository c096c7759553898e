"""A real HTTP server that stands for other services, well-behaved or not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import ORIGIN
from tests.servers import HOST


@dataclass
class Service:
    """What it was asked, and what it answers."""

    url: str = ""
    answer: bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    hangs: bool = False
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def says(self, body: bytes, *, status: str = "200 OK", more: str = "") -> None:
        """Answer with a body."""
        head = (
            f"HTTP/1.1 {status}\r\nConnection: close\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        )
        self.answer = head.encode() + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer as told."""
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):  # the client gave up
            await self._answer_one(reader, writer)

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (
                int(line.partition(":")[2])
                for line in head.lower().splitlines()
                if line.startswith("content-length:")
            ),
            0,
        )
        form = parse_qs((await reader.readexactly(length)).decode())
        self.heads.append(head)
        self.asked.append((head.split(" ")[1], form))
        if not self.hangs:
            writer.write(self.answer)
            writer.close()


BAD = ["hang", "500", "redirect", "10 MB", "garbage", "nobody there", "half an answer"]


def bound(how: str) -> timedelta:
    """Return how long to wait: not long where nothing will come, and long enough elsewhere on a busy machine."""
    return timedelta(seconds=0.3 if how == "hang" else 20)


def misbehave(service: Service, how: str) -> None:
    """Make the service answer badly."""
    service.hangs = how == "hang"
    if how == "500":
        service.says(b'{"success": true}', status="500 Oops")
    elif how == "redirect":
        service.says(b"", status="302 Found", more=f"Location: {service.url}elsewhere\r\n")
    elif how == "10 MB":
        service.says(b'{"success": true, "x": "' + b"x" * 10 * 1024 * 1024 + b'"}')
    elif how == "garbage":
        service.says(b"<html>yes</html>")
    elif how == "half an answer":
        service.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """The server, on a free port."""
    made = Service()
    server = await asyncio.start_server(made.serve, HOST, 0, limit=2**20)
    made.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/"
    yield made
    server.close()
    for writer in made.writers:
        writer.transport.abort()
    for writer in made.writers:
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def call(
    service: Service, database: object, settings: AuthSettings, clock: FrozenClock
) -> AsyncIterator[Any]:
    """Open a browser on an application whose ``Auth`` has what the test gives it."""
    del service, database
    clients: list[tuple[AsyncClient, Auth[User]]] = []

    def make(**options: Any) -> AsyncClient:
        auth = Auth(settings, user_table=User, clock=clock, hasher=fast_hasher(), **options)
        app = FastAPI()
        app.include_router(auth.router)
        client = AsyncClient(transport=ASGITransport(app), base_url=ORIGIN)
        clients.append((client, auth))
        return client

    yield make
    for client, auth in clients:
        await client.aclose()
        await auth._parts.close()

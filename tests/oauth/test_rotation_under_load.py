"""Signing keys are replaced while four workers serve: each phase is a rolling restart, as the how-to page says."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from piccolo_fastapi_auth.primitives.jwt_keys import load_keys, new_pem
from tests.processes import uvicorn_server

WORKERS = 4
CLIENTS = 2


@dataclass
class Load:
    """Clients that get tokens and present every token that was ever handed out, and what became of it."""

    client: httpx.AsyncClient
    tokens: dict[str, list[str]] = field(default_factory=dict)
    workers: dict[int, tuple[str, ...]] = field(default_factory=dict)
    answers: list[tuple[str, int]] = field(default_factory=list)
    parent: int = 0

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask; a worker that is going may drop a connection, which is no refusal."""
        for _ in range(20):
            try:
                return await self.client.get(path, **options)
            except httpx.TransportError:
                continue
        raise AssertionError("nobody answers")

    async def ask(self) -> None:
        """Get one token, and present one of each key."""
        seen = (await self.get("/worker")).json()
        self.parent = seen["parent"]
        self.workers[seen["pid"]] = tuple(seen["kids"])
        self.tokens.setdefault(seen["kids"][0], []).append(seen["token"])
        for kid, tokens in list(self.tokens.items()):
            token = tokens[len(self.answers) % len(tokens)]
            answer = await self.get("/who", headers={"Authorization": f"Bearer {token}"})
            self.answers.append((kid, answer.status_code))

    async def until_all_have(self, kids: tuple[str, ...]) -> None:
        """Keep asking until every worker has these keys and those before them are gone.

        The supervisor replaces one after the other, and starts each new one beside the one that it ends.
        """

        def all_have() -> bool:
            new = [pid for pid, known in self.workers.items() if known == kids]
            return len(new) >= WORKERS and not any(map(_runs, self.workers.keys() - new))

        async def one_client() -> None:
            while not all_have():
                await self.ask()

        async with asyncio.timeout(100):
            await asyncio.gather(*(one_client() for _ in range(CLIENTS)))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.timeout(300)
def test_keys_are_rotated_while_four_workers_serve(tmp_path: Path) -> None:
    """KEY-1: appended, put first, dropped: no good token is refused on the way, no dropped key accepted after it."""
    file = tmp_path / "keys.json"
    asyncio.run(_rotate(str(file), lambda keys: file.write_text(json.dumps(keys))))


async def _rotate(file: str, write: Callable[[list[str]], object]) -> None:
    old, new = (new_pem("ES256").decode() for _ in range(2))
    name = {pem: str(load_keys("ES256", [pem.encode()])[0].kid) for pem in (old, new)}
    write([old])
    environment = {
        "KEYS_FILE": file,
        "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "60",  # a new worker has to start beside the load
        "PICCOLO_CONF": "example_app.piccolo_conf",
        "DATABASE_URL": f"sqlite:///{file}.sqlite",  # opened, and never asked
    }
    with uvicorn_server("tests.oauth.rotating_app:app", workers=WORKERS, env=environment) as url:
        limits = httpx.Limits(max_keepalive_connections=0)  # each request may meet another worker
        async with httpx.AsyncClient(
            base_url=url, limits=limits, timeout=30, trust_env=False
        ) as client:
            load = Load(client)
            await load.until_all_have((name[old],))
            for keys in ([old, new], [new, old]):
                write(keys)
                os.kill(load.parent, signal.SIGHUP)
                await load.until_all_have(tuple(name[pem] for pem in keys))
            before_the_drop = list(load.answers)
            published = (await load.get("/.well-known/jwks.json")).json()["keys"]
            write([new])
            os.kill(load.parent, signal.SIGHUP)
            await load.until_all_have((name[new],))
            load.answers.clear()
            for _ in range(20):
                await load.ask()

    assert {status for _, status in before_the_drop} == {200}
    assert {kid for kid, _ in before_the_drop} == set(name.values())
    assert [key["kid"] for key in published] == [name[new], name[old]]
    assert set(load.answers) == {(name[old], 401), (name[new], 200)}

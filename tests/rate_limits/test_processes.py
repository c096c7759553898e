"""Several application processes, one Valkey: exact."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from httpx2 import AsyncClient, ConnectError

from piccolo_fastapi_auth.rate_limits.windows import STRATEGIES
from tests.rate_limits.conftest import ValkeyServer, free_port

PROGRAM = """
import os
from contextlib import asynccontextmanager
from fastapi import Depends, FastAPI
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter

limiter = RateLimiter(os.environ["STORE"], strategy=os.environ["STRATEGY"])

@asynccontextmanager
async def lifespan(app):
    yield
    await limiter.aclose()

app = FastAPI(lifespan=lifespan)

async def pid() -> int:
    return os.getpid()

async def ready() -> int:
    return os.getpid()

app.get("/", dependencies=[Depends(limiter.limit("50/hour", bucket="all"))])(pid)
app.get("/strict", dependencies=[
    Depends(limiter.limit("1000/hour", bucket="strict", on_store_failure="deny"))])(pid)
app.get("/ready")(ready)
"""


@pytest.fixture
def ports(
    tmp_path: Path, own_valkey: ValkeyServer, request: pytest.FixtureRequest
) -> Iterator[list[int]]:
    """Four processes of the application."""
    (tmp_path / "limited_app.py").write_text(PROGRAM)
    strategy = getattr(request, "param", "sliding-window-counter")
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    environment = {**os.environ, "STORE": own_valkey.uri, "STRATEGY": strategy, "PYTHONPATH": paths}
    found = [free_port() for _ in range(4)]
    command = [sys.executable, "-m", "uvicorn", "limited_app:app", "--log-level", "error", "--port"]
    workers = [
        subprocess.Popen([*command, str(port)], env=environment, cwd=tmp_path)  # noqa: S603 - ours
        for port in found
    ]
    yield found
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    for worker in workers:
        worker.wait(10)


async def until_ready(client: AsyncClient, port: int) -> None:
    with anyio.fail_after(30):
        while True:
            try:
                await client.get(f"http://127.0.0.1:{port}/ready")
            except ConnectError:
                await anyio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize("ports", STRATEGIES, indirect=True)
async def test_four_processes_allow_exactly_the_limit(ports: list[int]) -> None:
    """4 processes x 200 hits at a limit of 50: 50 pass."""
    statuses: list[int] = []

    async def work(client: AsyncClient, port: int) -> None:
        url = f"http://127.0.0.1:{port}/"
        statuses.extend([(await client.get(url)).status_code for _ in range(20)])

    async with AsyncClient(timeout=30) as client:
        for port in ports:
            await until_ready(client, port)
        async with anyio.create_task_group() as group:
            for port in ports:
                for _ in range(10):
                    group.start_soon(work, client, port)

    assert len(statuses) == 800
    assert statuses.count(200) == 50
    assert statuses.count(429) == 750


async def test_under_load_a_frozen_store_hangs_nobody_and_comes_back(
    ports: list[int], own_valkey: ValkeyServer
) -> None:
    """503 while it is frozen, 200 when it is back, and no request waits longer than the time-out."""
    seen: list[tuple[float, float, int]] = []

    async def work(client: AsyncClient, port: int, until: float) -> None:
        while (start := time.monotonic()) < until:
            status = (await client.get(f"http://127.0.0.1:{port}/strict")).status_code
            seen.append((start, time.monotonic() - start, status))
            await anyio.sleep(0.05)

    async with AsyncClient(timeout=30) as client:
        for port in ports:
            await until_ready(client, port)
        begin = time.monotonic()
        async with anyio.create_task_group() as group:
            for port in ports:
                group.start_soon(work, client, port, begin + 9)
            await anyio.sleep(1)
            own_valkey.freeze()
            frozen = time.monotonic()
            await anyio.sleep(3)
            own_valkey.thaw()
            thawed = time.monotonic()

    during = [status for start, took, status in seen if frozen < start and start + took < thawed]
    after = [(start, status) for start, _, status in seen if start > thawed]
    assert set(during) == {503}
    assert max(took for _, took, _ in seen) < 5
    assert after[-1][1] == 200

"""Several application processes, one Valkey: exact."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
app.get("/few", dependencies=[Depends(limiter.limit("5/hour", bucket="few"))])(pid)
app.get("/strict", dependencies=[
    Depends(limiter.limit("1000000/hour", bucket="strict", on_store_failure="deny"))])(pid)
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


@dataclass
class Load:
    """Requests without pause to two routes of every process, and what they were told in each phase."""

    phase: str = "before"
    over: bool = False
    took: list[float] = field(default_factory=list)
    told: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))

    async def work(self, client: AsyncClient, url: str, path: str) -> None:
        while not self.over:
            begun, start = self.phase, time.monotonic()
            status = (await client.get(url + path)).status_code
            self.took.append(time.monotonic() - start)
            if begun == self.phase:
                self.told[begun, path].append(status)

    async def until(self, is_so: Callable[[], bool]) -> None:
        with anyio.fail_after(40):
            while True:
                if is_so():
                    return
                await anyio.sleep(0.02)


@pytest.mark.parametrize("outage", ["frozen", "stopped"])
async def test_under_load_an_outage_hangs_nobody_and_lets_nobody_through(
    ports: list[int], own_valkey: ValkeyServer, outage: str
) -> None:
    """FLT-3: 503 where the limit says so, elsewhere a limit in each process; it ends by itself."""
    load = Load()
    told, strict, few = load.told, "/strict", "/few"

    async with AsyncClient(timeout=30) as client:
        for port in ports:
            await until_ready(client, port)
        async with anyio.create_task_group() as group:
            for port in ports:
                for path in (strict, few):
                    group.start_soon(load.work, client, f"http://127.0.0.1:{port}", path)
            await load.until(lambda: len(told["before", strict]) > 20 < len(told["before", few]))
            (own_valkey.freeze if outage == "frozen" else own_valkey.stop)()
            load.phase = "during"
            await load.until(lambda: len(told["during", strict]) > 60 < len(told["during", few]))
            (own_valkey.thaw if outage == "frozen" else own_valkey.start)()
            load.phase = "after"
            await load.until(lambda: 200 in told["after", strict])
            load.over = True

    assert set(told["before", strict]) == {200}
    assert told["before", few].count(200) <= 5
    assert set(told["during", strict]) == {503}
    assert told["during", few].count(200) <= 4 * 5
    assert set(told["during", few]) <= {200, 429}
    assert max(load.took) < 5  # the time-out is 1 s; the rest is a busy machine

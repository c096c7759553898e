"""Rate limits: what a limit adds to a request, what a hit costs among many keys, and whether a store blocks the loop."""

import asyncio
import functools
import gc
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from fastapi import Depends, FastAPI, Request, Response
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string
from slowapi import Limiter

from benchmarks.asgi import Call, expect, send
from benchmarks.far import DELAY
from benchmarks.peer import OURS, ok, protected_by, trivial
from benchmarks.report import Bars, Run
from benchmarks.rounds import Operation, race
from piccolo_fastapi_auth import RateLimiter
from piccolo_fastapi_auth.rate_limits.limit import parse_limits
from piccolo_fastapi_auth.rate_limits.store import BoundedStore, Quota
from tests.servers import HOST, free_port, valkey_server

PLENTY = "1000000/minute"
KEYS, QUICK_KEYS = (1, 1_000, 100_000), (1, 1_000)
BARE, TRIVIAL = "bare", "trivial dependency"
STRATEGY: Final = "sliding-window-counter"

Hit = Callable[[int], Awaitable[object]]


async def main(run: Run) -> None:
    """Measure in memory, then on Valkey, then on one that is far away."""
    keys = QUICK_KEYS if run.quick else KEYS
    run.expect(2 * run.plan.steps + 2 * len(keys) * (2 if run.quick else 3) + 3)
    await _in_memory(run)
    await _many_keys(run, keys)
    with valkey_server() as near:
        await _on_valkey(run, near.url)
        with _far(near.port) as url:
            await _stall(run, url)


def _slowapi(uri: str, *, headers: bool = False) -> FastAPI:
    app = FastAPI(openapi_url=None)
    limiter = Limiter(_address, storage_uri=uri, headers_enabled=headers)
    app.state.limiter = limiter

    @app.get("/")
    @limiter.limit(PLENTY)
    async def decorated(request: Request) -> Response:  # noqa: ARG001 - slowapi looks for it
        return Response()

    return app


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _limited(limiter: RateLimiter) -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.get("/", dependencies=[Depends(limiter.limit(PLENTY, bucket="b"))])(ok)
    return app


def _getting(app: FastAPI) -> Operation:
    return functools.partial(expect, Call(app), 200)


def _everywhere() -> FastAPI:
    """Limit the whole application, in the middleware."""
    app = protected_by()
    RateLimiter().install(app, rate_limit=PLENTY)
    return app


def _piccolo_api() -> FastAPI:
    from piccolo_api.rate_limiting.middleware import (  # noqa: PLC0415 - may be missing
        InMemoryLimitProvider,
        RateLimitingMiddleware,
    )

    app = protected_by()
    provider = InMemoryLimitProvider(limit=10**6, timespan=60)
    app.add_middleware(RateLimitingMiddleware, provider=provider)
    return app


async def _in_memory(run: Run) -> None:
    operations = {
        BARE: _getting(protected_by()),
        TRIVIAL: _getting(protected_by(trivial)),
        OURS: _getting(_limited(RateLimiter())),
        f"{OURS}, for the whole application": _getting(_everywhere()),
        "slowapi": _getting(_slowapi("memory://")),
        "slowapi, with headers": _getting(_slowapi("memory://", headers=True)),
    }
    if importlib.util.find_spec("piccolo_api"):
        operations["piccolo-api"] = _getting(_piccolo_api())
    found = await race(operations, run.plan, step=run.step)
    run.findings.table(
        "A limit in memory",
        ["", "µs over bare", "µs over a trivial dependency"],
        [
            [name, f"{found.over(name, BARE):.0f}", f"{found.over(name, TRIVIAL):.0f}"]
            for name in sorted(found, key=found.median)
            if name != BARE
        ],
        note="The trivial dependency is what FastAPI itself needs for any dependency at all.",
    )
    over = {name: found.over(name, BARE) for name in found if name != BARE}
    run.findings.bars.append(Bars("Rate limit in memory", over))
    extra = found.over(OURS, TRIVIAL) * 55 / found.median(BARE)
    what = "Limit in memory: µs over a trivial dependency where bare is 55"
    run.findings.at_most(what, extra, 8)


def _ours_in_memory() -> Hit:
    (limit,) = parse_limits("5/hour")
    store = BoundedStore(capacity=1_000_000)

    async def hit(i: int) -> object:
        return store.take(STRATEGY, [Quota(f"LIMITER/{i}/b/5/1/hour", limit)])

    return hit


def _limits_in_memory() -> Hit:
    limiter, item = SlidingWindowCounterRateLimiter(MemoryStorage()), parse("5/hour")

    async def hit(i: int) -> object:
        return await limiter.hit(item, str(i), "b")

    return hit


async def _many_keys(run: Run, keys: tuple[int, ...]) -> None:
    makers = {OURS: _ours_in_memory, "limits.aio, memory": _limits_in_memory}
    found: dict[str, dict[int, list[float]]] = {name: {n: [] for n in keys} for name in makers}
    for _ in range(2 if run.quick else 3):
        for name, make in makers.items():
            for count in keys:
                found[name][count].append(await _cpu_of_a_hit(make(), count, quick=run.quick))
                run.step()
    medians = {
        name: {count: statistics.median(taken) for count, taken in by_count.items()}
        for name, by_count in found.items()
    }
    run.findings.table(
        "CPU of a hit at a hit every millisecond, µs",
        ["", *(f"{count:,} keys" for count in keys)],
        [[name, *(f"{figure:,.0f}" for figure in row.values())] for name, row in medians.items()],
        note="The timer between two hits is part of each figure.",
    )
    growth = medians[OURS][keys[-1]] / medians[OURS][keys[0]]
    what = f"Limit in memory: CPU of a hit, {keys[-1]:,} keys over {keys[0]}"
    run.findings.at_most(what, growth, 1.5)


async def _cpu_of_a_hit(hit: Hit, keys: int, *, quick: bool) -> float:
    for i in range(keys):
        await hit(i)
        if i % 1000 == 0:
            await asyncio.sleep(0)  # the tasks of limits' own store come to an end
    gc.collect()
    count = 50 if quick else 300
    begun = time.process_time()
    for i in range(count):
        await hit(i % keys)
        await asyncio.sleep(0.001)
    taken = (time.process_time() - begun) / count * 1e6
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()  # of limits' own store
        with suppress(asyncio.CancelledError):
            await task
    return taken


async def _on_valkey(run: Run, url: str) -> None:
    uri = url.replace("redis://", "valkey://")
    ours = RateLimiter(uri, strategy=STRATEGY)
    stock = SlidingWindowCounterRateLimiter(storage_from_string(f"async+{uri}"))
    item = parse(PLENTY)

    async def stock_hit() -> None:
        await stock.hit(item, "192.0.2.1", "b")

    app = FastAPI(openapi_url=None)

    async def bare_limit(request: Request) -> None:
        assert await stock.hit(item, _address(request), "b")

    app.get("/", dependencies=[Depends(bare_limit)])(ok)
    operations: dict[str, Operation] = {
        BARE: _getting(protected_by()),
        OURS: _getting(_limited(ours)),
        "a dependency that calls `limits.aio`": _getting(app),
        "slowapi (blocks the event loop)": _getting(_slowapi(url)),
        "`limits.aio`, no request": stock_hit,
    }
    found = await race(operations, run.plan, step=run.step)
    run.findings.table(
        "A limit on Valkey",
        ["", "µs", "µs over bare"],
        [
            [name, f"{found.median(name):,.0f}", f"{found.over(name, BARE):,.0f}"]
            for name in operations
            if name != BARE
        ],
    )
    ratio = found.ratio(OURS, "a dependency that calls `limits.aio`")
    run.findings.at_most("Limit on Valkey: times a bare `limits.aio` hit", ratio, 1.3)
    await ours.aclose()


async def _stall(run: Run, url: str) -> None:
    """Compare how long the loop stands still with a store that is far away."""
    ours = RateLimiter(url)
    apps = {"no limit": protected_by(), OURS: _limited(ours), "slowapi": _slowapi(url)}
    found: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(3):
        for name, app in apps.items():
            found[name].append(await _longest_stop(app))
        run.step()
    await ours.aclose()
    # The best of each: what other programs on the machine add is nobody's fault here.
    best = {name: min(worst) for name, worst in found.items()}
    run.findings.table(
        f"50 requests in flight, Valkey {DELAY * 1000:.0f} ms away",
        ["", "the event loop stands still, ms"],
        [[name, f"{worst:.0f}"] for name, worst in best.items()],
    )
    what = "Limit on Valkey: how much longer the event loop stands still than without"
    run.findings.at_most(what, best[OURS] - best["no limit"], DELAY * 1000, " ms")


async def _longest_stop(app: FastAPI) -> float:
    await send(Call(app))
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
    await asyncio.gather(*[send(Call(app)) for _ in range(50)])
    await asyncio.sleep(0.005)
    done.set()
    await ticker
    return max(gaps)


@contextmanager
def _far(target: int) -> Iterator[str]:
    """Put a proxy in front of a store, which makes everything late; a process of its own, so that it never waits."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.far", str(port), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - this module
        assert process.stdout
        process.stdout.readline()  # it says when it listens
        try:
            yield f"redis://{HOST}:{port}"
        finally:
            process.kill()

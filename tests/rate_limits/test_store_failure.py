"""Rule 5: a store that is down is never a pass, and never an unlimited one."""

import functools
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import anyio
import pytest
import valkey
from fastapi import Depends, FastAPI, WebSocket
from httpx2 import ASGITransport, AsyncClient
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from piccolo_fastapi_auth.errors import TemporarilyUnavailableError
from piccolo_fastapi_auth.rate_limits.breaker import CircuitBreaker
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.rate_limits.lock import LockRule
from piccolo_fastapi_auth.rate_limits.windows import STRATEGIES, Strategy
from tests.rate_limits.conftest import FrozenClock, ValkeyServer, free_port, wait_until


@pytest.fixture
async def limiter(own_valkey: ValkeyServer, clock: FrozenClock) -> AsyncIterator[RateLimiter]:
    found = RateLimiter(own_valkey.uri, clock=clock)
    yield found
    await found.aclose()


async def hit(limiter: RateLimiter, policy: str = "memory", rate: str = "5/hour") -> bool:
    answer = await limiter.hit(rate, key="k", bucket="b", on_store_failure=policy)  # type: ignore[arg-type]
    return answer.allowed


async def test_while_the_store_is_down_each_process_limits_on_its_own(
    limiter: RateLimiter, own_valkey: ValkeyServer
) -> None:
    """``memory``: a limit all the same."""
    own_valkey.stop()

    assert [await hit(limiter) for _ in range(8)] == [True] * 5 + [False] * 3


async def test_while_the_store_is_down_a_strict_limit_refuses(
    limiter: RateLimiter, own_valkey: ValkeyServer
) -> None:
    """``deny``: 503 with Retry-After."""
    own_valkey.stop()

    for _ in range(3):
        with pytest.raises(TemporarilyUnavailableError) as refused:
            await hit(limiter, "deny")
        assert refused.value.headers
        assert int(refused.value.headers["Retry-After"]) >= 1


async def test_a_frozen_store_costs_one_caller_a_time_out_not_everybody(
    limiter: RateLimiter, own_valkey: ValkeyServer, clock: FrozenClock
) -> None:
    """Nobody hangs: the first waits for its time-out, the rest are answered at once."""
    await hit(limiter)
    own_valkey.freeze()
    start = time.monotonic()

    found = [await hit(limiter) for _ in range(50)]

    assert sum(found) == 5
    assert time.monotonic() - start < 3  # one time-out is 1 s; fifty would be 50 s
    clock.move(60)
    own_valkey.thaw()
    assert await hit(limiter, "deny")


async def test_parallel_requests_at_a_frozen_store_all_end(
    limiter: RateLimiter, own_valkey: ValkeyServer
) -> None:
    """More callers than connections: the wait for a connection is part of the time-out."""
    await hit(limiter)
    own_valkey.freeze()
    found: list[bool] = []

    async def one() -> None:
        found.append(await hit(limiter))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(one)

    assert sum(found) == 5


async def test_waiting_for_a_connection_is_part_of_the_time_out(own_valkey: ValkeyServer) -> None:
    """Who finds all connections busy does not wait twice."""
    limiter = RateLimiter(own_valkey.uri, timeout=timedelta(seconds=2))
    await hit(limiter)
    own_valkey.freeze()
    took: list[float] = []

    async def one() -> None:
        start = time.monotonic()
        await hit(limiter)
        took.append(time.monotonic() - start)

    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(one)
        await anyio.sleep(1)
        for _ in range(50):
            group.start_soon(one)

    await limiter.aclose()
    assert max(took) < 2.8


async def test_it_comes_back_by_itself(
    limiter: RateLimiter, own_valkey: ValkeyServer, clock: FrozenClock
) -> None:
    """Restarted, with its scripts and connections gone; nobody has to do anything."""
    await hit(limiter, "deny")
    own_valkey.stop()
    with pytest.raises(TemporarilyUnavailableError):
        await hit(limiter, "deny")
    own_valkey.start()

    clock.move(6)

    assert [await hit(limiter, "deny") for _ in range(6)] == [True] * 5 + [False]


@pytest.mark.parametrize("scheme", ["valkey", "redis"])
async def test_an_idle_connection_that_died_is_no_failure(
    own_valkey: ValkeyServer, scheme: str
) -> None:
    """A restart between two requests goes unnoticed."""
    limiter = RateLimiter(own_valkey.uri.replace("valkey", scheme))
    await hit(limiter, "deny")
    own_valkey.stop()
    own_valkey.start()

    assert await hit(limiter, "deny")
    await limiter.aclose()


async def test_giving_back_to_a_store_that_is_down_is_no_error(
    limiter: RateLimiter, own_valkey: ValkeyServer
) -> None:
    """The attempt stays counted, and the log-in that was right goes on."""
    taken = await limiter.hit("5/hour", key="k", bucket="b")
    own_valkey.stop()

    await limiter.give_back(taken)
    await limiter.clear("5/hour", key="k", bucket="b")


async def test_a_hit_counted_in_memory_is_given_back_to_memory(
    limiter: RateLimiter, own_valkey: ValkeyServer, clock: FrozenClock
) -> None:
    """Even if the store is back in between."""
    own_valkey.stop()
    taken = await limiter.hit("5/hour", key="k", bucket="b")
    own_valkey.start()
    clock.move(6)

    await limiter.give_back(taken)

    assert [await hit(limiter, "deny") for _ in range(6)] == [True] * 5 + [False]


async def test_a_lock_survives_an_outage_in_memory(
    limiter: RateLimiter, own_valkey: ValkeyServer
) -> None:
    """Strikes are kept somewhere, and a strict lock refuses meanwhile."""
    own_valkey.stop()

    assert await limiter.service.strike("a", LockRule()) == 30_000
    assert await limiter.service.locked("a", on_store_failure="memory") > 0
    with pytest.raises(TemporarilyUnavailableError):
        await limiter.service.locked("a")
    await limiter.service.unlock("a")
    assert await limiter.service.locked("a", on_store_failure="memory") == 0


async def test_a_strict_limit_answers_503() -> None:
    """Over HTTP, with nothing installed."""
    limiter = RateLimiter(f"redis://127.0.0.1:{free_port()}")
    app = FastAPI(dependencies=[Depends(limiter.limit("5/minute", on_store_failure="deny"))])
    app.get("/")(lambda: "ok")

    async with AsyncClient(transport=ASGITransport(app), base_url="http://t") as client:
        response = await client.get("/")

    assert response.status_code == 503
    assert response.json()["detail"]["code"] == "temporarily_unavailable"
    assert int(response.headers["retry-after"]) >= 1
    await limiter.aclose()


def test_a_strict_limit_closes_a_websocket_with_1013() -> None:
    """A WebSocket has no 503."""
    limiter = RateLimiter(f"redis://127.0.0.1:{free_port()}")
    app = FastAPI(dependencies=[Depends(limiter.limit("5/minute", on_store_failure="deny"))])

    @app.websocket("/")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()

    with pytest.raises(WebSocketDisconnect) as refused, TestClient(app).websocket_connect("/"):
        pass

    assert refused.value.code == 1013


def test_after_a_failure_the_store_is_left_alone_for_longer_each_time(clock: FrozenClock) -> None:
    """One probe per interval, 1 s to 5 s, until one succeeds."""
    breaker = CircuitBreaker(clock=clock)
    probes = []
    breaker.failed()

    for tick in range(200):
        clock.move(0.1)
        if breaker.may_call():
            probes.append((tick + 1) / 10)
            assert not breaker.may_call()
            breaker.failed()

    assert probes == [1.0, 3.0, 7.0, 12.0, 17.0]
    breaker.succeeded()
    assert breaker.may_call()
    assert not breaker.is_open


def test_a_clock_that_is_set_back_does_not_keep_the_store_away(clock: FrozenClock) -> None:
    """An hour of 503 would be worse than one call too early."""
    breaker = CircuitBreaker(clock=clock)
    breaker.failed()

    clock.move(-3600)

    assert breaker.may_call()
    assert not breaker.may_call()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ValkeyServer]:
    """Three nodes with a third of the slots each; the first one."""
    nodes = [_node(tmp_path / name) for name in ("a", "b", "c")]
    first = nodes[0]
    for number, node in enumerate(nodes):
        with node.client() as client:
            slots = (16384 * number // 3, 16384 * (number + 1) // 3 - 1)
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port, first.options[-1])
    for node in nodes:
        with node.client() as client:
            wait_until(functools.partial(_is_whole, client))
    yield first
    for node in nodes:
        node.stop()


def _node(folder: Path) -> ValkeyServer:
    folder.mkdir()
    node = ValkeyServer(folder, ("--cluster-enabled", "yes", "--cluster-port", str(free_port())))
    node.start()
    return node


def _is_whole(client: valkey.Valkey) -> bool:
    info = cast("dict[str, str]", client.cluster("INFO"))
    return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("scheme", ["valkey+cluster", "redis+cluster"])
async def test_a_cluster_counts(cluster: ValkeyServer, strategy: Strategy, scheme: str) -> None:
    """Counters on several nodes: all or none, too."""
    limiter = RateLimiter(f"{scheme}://127.0.0.1:{cluster.port}", strategy=strategy)

    answers = [
        await limiter.hit("3/day;2/hour", key="k", bucket="b", on_store_failure="deny")
        for _ in range(4)
    ]

    assert [answer.allowed for answer in answers] == [True, True, False, False]
    assert answers[-1].readings[0].used == 2
    others = [
        (await limiter.hit("1/day", key=f"k{i}", bucket="b", on_store_failure="deny")).allowed
        for i in range(20)
    ]
    assert others == [True] * 20  # on all three nodes
    await limiter.give_back(answers[0])
    assert await hit(limiter, "deny", "3/day;2/hour")
    assert await limiter.service.strike("a", LockRule()) == 30_000
    assert await limiter.service.locked("a") > 29_000
    await limiter.service.unlock("a")
    await limiter.clear("3/day;2/hour", key="k", bucket="b")
    assert await hit(limiter, "deny", "3/day;2/hour")
    await limiter.aclose()


@pytest.mark.parametrize("scheme", ["valkey+sentinel", "redis+sentinel"])
async def test_a_sentinel_is_asked_for_the_master(
    own_valkey: ValkeyServer, tmp_path: Path, scheme: str
) -> None:
    """The master may move; its name does not."""
    config = tmp_path / "sentinel.conf"
    config.write_text(f"sentinel monitor main 127.0.0.1 {own_valkey.port} 1\n")
    sentinel = ValkeyServer(tmp_path, (str(config), "--sentinel"))
    sentinel.start()
    limiter = RateLimiter(f"{scheme}://127.0.0.1:{sentinel.port}/main")

    assert [await hit(limiter, "deny") for _ in range(6)] == [True] * 5 + [False]
    await limiter.aclose()
    sentinel.stop()

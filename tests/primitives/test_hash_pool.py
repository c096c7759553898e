import asyncio
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from piccolo_fastapi_auth.primitives.hash_pool import HashPool, PoolFullError

WAIT = 10


class Gate:
    """A job that stays busy until it is let go, and says when it has begun."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self) -> str:
        self.begun.release()
        assert self.open.wait(WAIT)
        return "done"

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=WAIT)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def pool() -> Iterator[HashPool]:
    pool = HashPool(workers=2, queue=1)
    yield pool
    pool.close()


async def test_a_job_runs_in_a_thread_of_the_pool(pool: HashPool) -> None:
    """The event loop never hashes."""
    name = await pool.run(lambda: threading.current_thread().name)

    assert name.startswith("password-hash")


async def test_an_exception_reaches_the_caller(pool: HashPool) -> None:
    """The job's own exception, and its slot is free again."""
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0)


async def test_a_full_pool_refuses_at_once(pool: HashPool, gate: Gate) -> None:
    """PWD-8: workers plus queue, exactly, and a refused job never runs."""
    jobs = [asyncio.create_task(pool.run(gate)) for _ in range(3)]
    await gate.has_begun()
    await gate.has_begun()
    refused: list[int] = []

    for number in range(200):
        with pytest.raises(PoolFullError):
            await pool.run(lambda number=number: refused.append(number))  # type: ignore[misc]

    gate.open.set()
    assert await asyncio.gather(*jobs) == ["done"] * 3
    assert refused == []
    assert await pool.run(lambda: "room again") == "room again"


async def test_no_more_jobs_run_at_once_than_there_are_workers() -> None:
    """PWD-8: the memory of a flood is bounded by the workers."""
    pool = HashPool(workers=2, queue=100)
    lock, running, most = threading.Lock(), 0, 0

    def count() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.005)
        with lock:
            running -= 1

    await asyncio.gather(*(pool.run(count) for _ in range(50)))

    pool.close()
    assert most <= 2


async def test_cancelling_a_running_job_makes_no_room(pool: HashPool, gate: Gate) -> None:
    """PWD-8: a client that hangs up cannot push the pool over its bound."""
    jobs = [asyncio.create_task(pool.run(gate)) for _ in range(2)]
    await gate.has_begun()
    await gate.has_begun()
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)

    waiting = asyncio.create_task(pool.run(lambda: "at last"))
    await asyncio.sleep(0)
    with pytest.raises(PoolFullError):
        await pool.run(lambda: "too many")

    gate.open.set()
    assert await waiting == "at last"


async def test_cancelling_a_waiting_job_frees_its_place(pool: HashPool, gate: Gate) -> None:
    """PWD-8: a job that never began holds nothing, and never begins."""
    jobs = [asyncio.create_task(pool.run(gate)) for _ in range(2)]
    await gate.has_begun()
    await gate.has_begun()
    ran: list[str] = []
    waiting = asyncio.create_task(pool.run(lambda: ran.append("cancelled")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    another = asyncio.create_task(pool.run(lambda: "in its place"))

    gate.open.set()
    assert await another == "in its place"
    assert await asyncio.gather(*jobs) == ["done"] * 2
    assert ran == []


async def test_a_closed_pool_can_be_used_again(pool: HashPool, gate: Gate) -> None:
    """An application may start twice in one process; jobs in hand are finished."""
    job = asyncio.create_task(pool.run(gate))
    await gate.has_begun()

    pool.close()
    pool.close()

    assert await pool.run(lambda: "again") == "again"
    gate.open.set()
    assert await job == "done"


def test_a_pool_serves_several_event_loops() -> None:
    """Slots come back though the loop that took them is gone."""
    pool = HashPool(workers=1, queue=0)

    answers = [asyncio.run(pool.run(lambda: "answer")) for _ in range(5)]

    pool.close()
    assert answers == ["answer"] * 5


def test_no_thread_starts_before_the_first_job() -> None:
    """A pool may be made before a server forks."""
    before = threading.active_count()

    HashPool(workers=4, queue=4)

    assert threading.active_count() == before


@pytest.mark.skipif(sys.platform != "linux", reason="threads have their own priority on Linux only")
async def test_hashing_threads_step_back(pool: HashPool) -> None:
    """PWD-8: on Linux the event loop keeps its core; only the pool's threads are niced."""
    before = os.getpriority(os.PRIO_PROCESS, 0)

    inside = await pool.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    assert inside == min(max(before, 10), 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


@pytest.mark.parametrize(("workers", "queue"), [(0, 1), (-1, 1), (1, -1)])
def test_an_impossible_size_is_refused(workers: int, queue: int) -> None:
    """A pool without workers would hang for ever."""
    with pytest.raises(ValueError, match="at least one worker"):
        HashPool(workers=workers, queue=queue)

"""A bounded thread pool for password hashing (OWASP ASVS 2.4.1), beside the event loop.

Argon2 lets go of the interpreter lock, so threads are enough; the bound keeps a flood of log-ins
from taking the memory and the cores.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

NICENESS = 10


class PoolFullError(Exception):
    """Every worker is busy and the queue is full: try again later."""


class HashPool:
    """Runs at most ``workers`` jobs at once and lets at most ``queue`` more wait.

    The threads begin with the first job, so a pool may be made before a server forks.
    """

    def __init__(self, *, workers: int, queue: int) -> None:
        if workers < 1 or queue < 0:
            raise ValueError("a hash pool needs at least one worker and no negative queue")
        self._workers = workers
        self._capacity = workers + queue
        self._executor: ThreadPoolExecutor | None = None
        self._jobs = 0
        # Worker threads give slots back, and not through the event loop, which may be gone by then.
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, having run it in a thread of this pool.

        Cancelling the wait does not stop a job that runs, and its slot stays taken until it ends:
        a client that hangs up cannot make room for more than the pool's bound.

        Raises:
            PoolFullError: The pool is full; nothing was started.
        """
        return await asyncio.wrap_future(self._submit(work))

    def close(self) -> None:
        """Let the threads end after the jobs they have. The next job starts new ones."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)  # waiting here would hold up the event loop

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        with self._lock:
            if self._jobs >= self._capacity:
                raise PoolFullError("All password hashing workers are busy.")
            if self._executor is None:
                self._executor = ThreadPoolExecutor(
                    self._workers, thread_name_prefix="password-hash", initializer=_step_back
                )
            job = self._executor.submit(work)
            self._jobs += 1
        job.add_done_callback(self._release)
        return job

    def _release(self, _: Future[T]) -> None:
        with self._lock:
            self._jobs -= 1


def _step_back() -> None:
    """Lower this thread's priority, so that hashing never delays the event loop."""
    if sys.platform == "linux":  # elsewhere the call would lower the whole process
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)

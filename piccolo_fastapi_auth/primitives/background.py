"""Work off the request: bounded, in a context of its own, and waited for at the end.

A task that is begun inside a transaction would inherit it and die with it, so each begins with an empty context.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

logger = logging.getLogger(__name__)

Job = Callable[[], Awaitable[None]]
Sleep = Callable[[timedelta], Awaitable[None]]


async def pause(duration: timedelta) -> None:
    """Wait: the ``Sleep`` of everybody but tests."""
    await asyncio.sleep(duration.total_seconds())


class Background:
    """Runs jobs one after another in the background; at most ``capacity`` are there at once, waiting ones included.

    Args:
        name: What the jobs are, for the log.
        capacity: How many jobs may be there at once.
        concurrency: How many of them may be inside `turn` at once.
    """

    def __init__(self, name: str, *, capacity: int, concurrency: int) -> None:
        self._name = name
        self._capacity = capacity
        self._concurrency = concurrency
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.turn = asyncio.Semaphore(self._concurrency)
        """Held by a job while it works, not while it waits."""

    @property
    def is_idle(self) -> bool:
        """Whether there is no job."""
        return not self._tasks

    def start(self, job: Job) -> bool:
        """Begin a job; ``False`` when there are too many."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # an event loop takes its tasks and its locks along
            self._begin_anew()
            self._loop = loop
        if len(self._tasks) >= self._capacity:
            return False
        task = loop.create_task(self._run(job), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def drain(self) -> None:
        """Wait until no job is left, those that jobs begin included."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self, *, within: timedelta) -> None:
        """Let the jobs end, but not for longer than ``within``."""
        if self._loop is not asyncio.get_running_loop() or not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=within.total_seconds())
        for task in late:
            task.cancel()
        if late:
            logger.error("%s: %d jobs did not end in time and are lost", self._name, len(late))
            await asyncio.wait(late)

    async def _run(self, job: Job) -> None:
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - nobody waits for it; a text may name people, so only its kind is logged
            logger.error("%s: a job failed: %s", self._name, type(error).__name__)  # noqa: TRY400 - the traceback may hold secrets

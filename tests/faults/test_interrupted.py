"""A request that is cancelled, as when a server stops: at each point where it waits (FLT-2, RFT-8)."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from itertools import count
from typing import Any

import pytest
from httpx import AsyncClient
from piccolo.engine.base import Engine

from tests.faults.flows import FLOWS, Flow, is_well
from tests.fixtures import Browsers, Person


class CancelledAt:
    """Awaits ``work`` and cancels the task when it waits for the ``at``-th time, as asyncio itself would."""

    def __init__(self, work: Awaitable[object], at: int) -> None:
        self._work = work
        self._at = at

    def __await__(self) -> Generator[Any, Any, object]:
        """Hand on what is waited for, and what comes back."""
        inner = self._work.__await__()
        go_on: Callable[[], Any] = partial(next, inner)
        for number in count(1):
            try:
                waited_for = go_on()
            except StopIteration as done:
                return done.value
            if number == self._at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001 - handed on
                go_on = partial(inner.throw, error)
            else:
                go_on = partial(next, inner)
        raise AssertionError


async def _run(work: Awaitable[object], at: int) -> object:
    return await CancelledAt(work, at)


def _task(work: Coroutine[Any, Any, object]) -> "asyncio.Task[object]":
    return asyncio.create_task(work)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
async def test_a_request_cancelled_anywhere_is_done_or_not_done(
    client: AsyncClient, new_browser: Browsers, alice: Person, database: Engine[Any], flow: Flow
) -> None:
    """FLT-2, RFT-8: before or after, never between; no connection, thread or transaction stays behind."""
    threads = threading.active_count()
    for at in count(1):
        step = await flow(new_browser, alice)
        task = _task(_run(step.send(), at))
        await asyncio.wait([task])
        await step.check()
        if not task.cancelled():
            assert task.result().is_success  # type: ignore[attr-defined] # a response
            break

    assert at > 3
    assert not database.transaction_exists()
    await is_well(client)
    assert threading.active_count() <= threads + 2

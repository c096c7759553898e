"""Measuring side by side: every variant once a round, in another order each time.

A shared machine changes its speed from second to second. Two variants measured one after the other are only
compared within their round, and the median over the rounds is what is reported.
"""

import asyncio
import gc
import random  # noqa: TID251 - the order of variants, no secret
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Operation = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure: rounds, and how long one variant runs in each."""

    rounds: int
    seconds: float

    @property
    def steps(self) -> int:
        """How often the progress bar moves: the first round only warms up."""
        return self.rounds + 1


class Rounds(dict[str, list[float]]):
    """Microseconds per operation of each variant, one figure a round."""

    def median(self, name: str) -> float:
        """Microseconds of one variant."""
        return statistics.median(self[name])

    def over(self, name: str, base: str) -> float:
        """Microseconds of one variant above another's, in the same rounds."""
        return statistics.median(a - b for a, b in zip(self[name], self[base], strict=True))

    def ratio(self, name: str, base: str) -> float:
        """How many times another variant's time one variant takes, in the same rounds."""
        return statistics.median(a / b for a, b in zip(self[name], self[base], strict=True))


async def race(
    operations: Mapping[str, Operation],
    plan: Plan,
    *,
    in_flight: int = 1,
    step: Callable[[], None] = lambda: None,
) -> Rounds:
    """Measure ``operations`` side by side, each with ``in_flight`` at a time."""
    counts = {name: await _calibrate(operation, plan) for name, operation in operations.items()}
    step()
    found = Rounds({name: [] for name in operations})
    for _ in range(plan.rounds):
        for name in random.sample(list(operations), len(operations)):
            took = await _run(operations[name], counts[name], in_flight)
            found[name].append(took * 1e6)
        step()
    return found


async def _calibrate(operation: Operation, plan: Plan) -> int:
    """Return how many operations fill the time of one round, having warmed up."""
    await operation()  # the first one opens, compiles, fills caches
    begun, done = time.perf_counter(), 0
    while (taken := time.perf_counter() - begun) < plan.seconds / 2:
        await operation()
        done += 1
    return max(1, round(done * plan.seconds / taken))


async def _run(operation: Operation, count: int, in_flight: int) -> float:
    """Return seconds per operation."""
    gc.collect()
    each = max(1, count // in_flight)

    async def loop() -> None:
        for _ in range(each):
            await operation()

    begun = time.perf_counter()
    if in_flight == 1:
        await loop()
    else:
        await asyncio.gather(*[loop() for _ in range(in_flight)])
    return (time.perf_counter() - begun) / (each * in_flight)

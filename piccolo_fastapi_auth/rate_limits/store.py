"""Counters in memory: bounded, exact, without a thread, task or timer.

Why not the memory stores of `limits`: they look at every key again and again while there is traffic (94 %
of a core at 1e5 keys), and their keys are chosen by strangers.

Every operation costs O(log n). Expired counters are dropped, a few per hit, soonest first. When all
``capacity`` places are taken, room is made in this order:

1. an expired counter,
2. the *cold* counter (less than half of its limit used) that expires first,
3. only when no cold one is left, the *hot* counter that expires first,
4. and a lock only when there is nothing but locks.

So a stranger who floods the store with new keys pushes out other one-hit keys, not the counter that is
stopping somebody: to push that out, ``capacity`` other counters must be driven to half their limit
first. To stay cold for ever costs him ``capacity`` other keys for every half limit of hits.
"""

import heapq
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final, NamedTuple, TypeVar

from piccolo_fastapi_auth.primitives.clock import Clock, utc_now
from piccolo_fastapi_auth.rate_limits.limit import Limit
from piccolo_fastapi_auth.rate_limits.lock import Locked, LockRule
from piccolo_fastapi_auth.rate_limits.windows import WINDOWS, Reading, Strategy, Window

DEFAULT_CAPACITY: Final = 100_000
_SWEPT_PER_HIT: Final = 4
_SPARE: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_COLD, _HOT, _LOCK = range(3)

T = TypeVar("T")


class Quota(NamedTuple):
    """A counter by its full name, and the limit that it has to keep."""

    key: str
    limit: Limit


class BoundedStore:
    """Counters of all three strategies, and growing locks, in one bounded table. Safe across threads."""

    def __init__(self, *, clock: Clock = utc_now, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; at least one counter must fit")
        self._clock = clock
        self._capacity = capacity
        self._mutex = Lock()
        self._windows: dict[str, Window] = {}
        self._queues = _new_queues()
        self._latest = 0
        self._set_back = 0
        self._soonest = 0  # no counter expires in a second before this one

    def __len__(self) -> int:
        return len(self._windows)

    def take(
        self, strategy: Strategy, quotas: Sequence[Quota], *, cost: int = 1, commit: bool = True
    ) -> tuple[bool, tuple[Reading, ...]]:
        """Count a hit on all ``quotas``, or on none if one of them refuses; then read them all."""
        with self._mutex:
            now = self._now()
            if now >= self._soonest * 1000:
                self._sweep(now)
            if commit and len(quotas) == 1:
                allowed, reading = self._hit(now, strategy, quotas[0], cost)
                return allowed, (reading,)
            readings = tuple([self._look(now, strategy, quota, cost) for quota in quotas])
            if any(reading.wait for reading in readings):
                return False, readings
            if commit:
                readings = tuple([self._hit(now, strategy, quota, cost)[1] for quota in quotas])
            return True, readings

    def give_back(
        self, strategy: Strategy, quotas: Sequence[Quota], tokens: Sequence[int], *, cost: int
    ) -> None:
        """Take back hits, each from the window that counted it."""
        with self._mutex:
            now = self._now()
            for quota, token in zip(quotas, tokens, strict=True):
                key, length = strategy + quota.key, quota.limit.seconds * 1000
                if window := self._windows.get(key):
                    window.give_back(now, length, cost, token)
                    if window.weight:
                        self._file(key, window, quota.limit.amount, length)
                    else:  # or what never was a guess would keep its place
                        self._drop(key)

    def clear(self, strategy: Strategy, key: str) -> None:
        """Forget one counter."""
        with self._mutex:
            self._drop(strategy + key)

    def reset(self) -> int:
        """Forget everything; return how much that was."""
        with self._mutex:
            count = len(self._windows)
            self._windows.clear()
            self._queues = _new_queues()
            return count

    def locked(self, key: str) -> int:
        """Return the milliseconds for which ``key`` is still locked."""
        with self._mutex:
            window = self._windows.get("lock" + key)
            return window.left(self._now()) if isinstance(window, Locked) else 0

    def strike(self, key: str, rule: LockRule) -> int:
        """Lock ``key``, for longer each time; return the milliseconds."""
        with self._mutex:
            now = self._now()
            self._sweep(now)
            window = self._windows.get("lock" + key)
            lock = window if isinstance(window, Locked) else Locked()
            left = lock.strike(now, rule)
            self._file("lock" + key, lock, amount=0, length=0)
            return left

    def unlock(self, key: str) -> bool:
        """End the lock and forget how it grew; return whether there was one."""
        with self._mutex:
            was_locked = "lock" + key in self._windows
            self._drop("lock" + key)
        return was_locked

    def increment(self, key: str, *, seconds: int, cost: int) -> int:
        """Count without asking first, as the fixed window of `limits` does; return the count."""
        with self._mutex:
            now = self._now()
            self._sweep(now)
            window = self._find("fixed-window", key)
            window.add(now, seconds * 1000, cost)
            # No limit is known here: a second hit makes the counter hot.
            self._file("fixed-window" + key, window, amount=4, length=seconds * 1000)
            return window.read(now, 0, seconds * 1000, 0).used

    def look(self, strategy: Strategy, key: str, read: Callable[[int, Window], T]) -> T:
        """Return what ``read`` makes of the present moment and a counter (an empty one if need be)."""
        with self._mutex:
            return read(self._now(), self._find(strategy, key))

    def _now(self) -> int:
        """Return the present moment in whole ms; when the clock is set back, time goes on from where it was."""
        now = (self._clock() - _EPOCH) // _MILLISECOND + self._set_back
        if now < self._latest:
            self._set_back += self._latest - now
            now = self._latest
        self._latest = now
        return now

    def _find(self, strategy: Strategy, key: str) -> Window:
        return self._windows.get(strategy + key) or WINDOWS[strategy]()

    def _look(self, now: int, strategy: Strategy, quota: Quota, cost: int) -> Reading:
        limit = quota.limit
        window = self._find(strategy, quota.key)
        return window.read(now, limit.amount, limit.seconds * 1000, cost)

    def _hit(self, now: int, strategy: Strategy, quota: Quota, cost: int) -> tuple[bool, Reading]:
        key, limit = strategy + quota.key, quota.limit
        window, length = self._windows.get(key), limit.seconds * 1000
        if window is None:
            window = WINDOWS[strategy]()
        allowed, reading = window.hit(now, limit.amount, length, cost)
        if allowed and cost and not window.is_filed(limit.amount, length):
            self._file(key, window, limit.amount, length)
        return allowed, reading

    def _file(self, key: str, window: Window, amount: int, length: int) -> None:
        """Keep ``window``, in the queue that its rank and its expiry give."""
        second = window.expires(length) // 1000 + 1
        rank = _HOT if 2 * window.weight >= amount else _COLD
        if isinstance(window, Locked):
            rank = _LOCK
        if window.filed_under == second and window.rank == rank:
            return
        if key in self._windows:
            self._queues[window.rank].discard(window.filed_under, key)
        elif len(self._windows) >= self._capacity:
            self._evict()
        window.filed_under, window.rank = second, rank
        self._soonest = min(self._soonest, second)
        self._windows[key] = window
        self._queues[rank].add(second, key)

    def _sweep(self, now: int) -> None:
        second = now // 1000
        for queue in self._queues:
            if queue.seconds and queue.seconds[0] <= second:
                for _ in range(_SWEPT_PER_HIT):
                    if (key := queue.pop(until=second)) is not None:
                        del self._windows[key]
        # Seconds of a queue whose keys all moved on may be earlier than any key: then this runs once for nothing.
        self._soonest = min((q.seconds[0] for q in self._queues if q.seconds), default=second + 1)

    def _evict(self) -> None:
        for queue in self._queues:
            if (key := queue.pop()) is not None:
                del self._windows[key]
                return

    def _drop(self, key: str) -> None:
        if window := self._windows.pop(key, None):
            self._queues[window.rank].discard(window.filed_under, key)


class _ExpiryQueue:
    """Keys by the second in which they expire: a heap of seconds, each with its set of keys."""

    def __init__(self) -> None:
        self.seconds: list[int] = []
        self._keys: dict[int, set[str]] = {}

    def add(self, second: int, key: str) -> None:
        """File ``key`` under ``second``."""
        keys = self._keys.get(second)
        if keys is None:
            self._keys[second] = {key}
            heapq.heappush(self.seconds, second)
        else:
            keys.add(key)

    def discard(self, second: int, key: str) -> None:
        """Remove ``key`` from ``second``."""
        keys = self._keys.get(second)
        if keys is None:
            return
        keys.discard(key)
        if not keys:
            del self._keys[second]
        if len(self.seconds) > 2 * len(self._keys) + _SPARE:  # mostly seconds long empty
            self.seconds = sorted(self._keys)

    def pop(self, *, until: int | None = None) -> str | None:
        """Take out a key that expires first, and no later than ``until``."""
        while self.seconds and (until is None or self.seconds[0] <= until):
            second = self.seconds[0]
            if keys := self._keys.get(second):
                return keys.pop()
            heapq.heappop(self.seconds)
            self._keys.pop(second, None)
        return None


def _new_queues() -> tuple[_ExpiryQueue, ...]:
    """Return the queues in the order in which they make room: cold, hot, locks."""
    return tuple(_ExpiryQueue() for _ in (_COLD, _HOT, _LOCK))

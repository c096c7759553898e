"""Counting with a choice for the time when the store is down. No HTTP.

``memory`` counts in this process until the store is back; ``deny`` refuses (rule 5: never an unlimited pass).
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Literal, NamedTuple, TypeVar

from piccolo_fastapi_auth.errors import TemporarilyUnavailableError
from piccolo_fastapi_auth.rate_limits.breaker import CircuitBreaker
from piccolo_fastapi_auth.rate_limits.lock import LockRule
from piccolo_fastapi_auth.rate_limits.remote import RemoteCounters, StoreDownError
from piccolo_fastapi_auth.rate_limits.store import BoundedStore, Quota
from piccolo_fastapi_auth.rate_limits.windows import Reading, Strategy

OnStoreFailure = Literal["memory", "deny"]
T = TypeVar("T")

logger: Final = logging.getLogger(__name__)


class Taken(NamedTuple):  # quicker to make than a frozen dataclass, and made for each request
    """The answer to a hit: whether it is allowed, and what each of its counters says."""

    allowed: bool
    quotas: tuple[Quota, ...]
    readings: tuple[Reading, ...]
    cost: int
    in_memory: bool

    @property
    def retry_after(self) -> int:
        """Whole seconds after which the same hit is allowed, and not one sooner; 0 if it is allowed now."""
        return seconds(max((reading.wait for reading in self.readings), default=0))


def seconds(milliseconds: int) -> int:
    """Round up."""
    return -(-milliseconds // 1000)


class CounterService:
    """Counters in the memory of this process, or in a store that all workers share."""

    def __init__(
        self,
        memory: BoundedStore,
        remote: RemoteCounters | None,
        *,
        strategy: Strategy,
        breaker: CircuitBreaker,
    ) -> None:
        self.memory = memory
        self.strategy = strategy
        self._remote = remote
        self._breaker = breaker

    def apart(self, memory: BoundedStore) -> "CounterService":
        """Return the same store with another memory: what fills the one cannot push anything out of the other."""
        return CounterService(memory, self._remote, strategy=self.strategy, breaker=self._breaker)

    async def take(
        self,
        quotas: Sequence[Quota],
        *,
        cost: int = 1,
        commit: bool = True,
        on_store_failure: OnStoreFailure = "memory",
    ) -> Taken:
        """Count a hit on all ``quotas``, or on none if one of them refuses.

        Raises:
            TemporarilyUnavailableError: the store is down and this limit says ``deny``.
            ValueError: ``cost`` is negative.
        """
        if cost < 0:
            raise ValueError(f"a hit costs {cost}; it cannot be negative")
        asked = tuple(quotas)
        if (remote := self._remote) is not None and asked:
            answer = await self._try(lambda: remote.take(asked, cost=cost, commit=commit))
            if answer is not None:
                return Taken(answer[0], asked, tuple(answer[1]), cost, in_memory=False)
            self._refuse_if(on_store_failure)
        allowed, readings = self.memory.take(self.strategy, asked, cost=cost, commit=commit)
        return Taken(allowed, asked, readings, cost, True)  # noqa: FBT003 - names cost as much as the rest

    async def give_back(self, taken: Taken) -> None:
        """Undo a hit that was allowed. If the store is down just now, the hit stays counted."""
        if not taken.allowed or not taken.cost:
            return
        tokens = [reading.token for reading in taken.readings]
        if taken.in_memory:
            self.memory.give_back(self.strategy, taken.quotas, tokens, cost=taken.cost)
        elif (remote := self._remote) is not None:
            await self._try(lambda: remote.give_back(taken.quotas, tokens, cost=taken.cost))

    async def clear(self, quotas: Sequence[Quota]) -> None:
        """Forget counters."""
        for quota in quotas:
            self.memory.clear(self.strategy, quota.key)
            if self._remote is not None:
                await self._try(partial(self._remote.clear, quota.key))

    async def locked(self, key: str, *, on_store_failure: OnStoreFailure = "deny") -> int:
        """Return the milliseconds for which ``key`` is still locked.

        Raises:
            TemporarilyUnavailableError: the store is down and this lock says ``deny``.
        """
        if (remote := self._remote) is not None:
            left = await self._try(lambda: remote.locked(key))
            if left is not None:
                return left
            self._refuse_if(on_store_failure)
        return self.memory.locked(key)

    async def strike(self, key: str, rule: LockRule) -> int:
        """Lock ``key``, for longer each time; return the milliseconds."""
        if (remote := self._remote) is not None:
            left = await self._try(lambda: remote.strike(key, rule))
            if left is not None:
                return left
        return self.memory.strike(key, rule)

    async def unlock(self, key: str) -> bool:
        """End the lock and forget how it grew; return whether there was one."""
        was_locked = self.memory.unlock(key)
        if (remote := self._remote) is not None:
            was_locked = bool(await self._try(lambda: remote.unlock(key))) or was_locked
        return was_locked

    async def aclose(self) -> None:
        """Close the connections to the store."""
        if self._remote is not None:
            await self._remote.aclose()

    async def _try(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return the store's answer, ``None`` if it has none or was left alone."""
        if not self._breaker.may_call():
            return None
        try:
            answer = await call()
        except StoreDownError as error:
            if not self._breaker.is_open:
                logger.warning("the rate limit store is down (%s)", error)
            self._breaker.failed()
            return None
        if self._breaker.is_open:
            logger.warning("the rate limit store is back")
        self._breaker.succeeded()
        return answer

    def _refuse_if(self, on_store_failure: OnStoreFailure) -> None:
        if on_store_failure == "deny":
            raise TemporarilyUnavailableError(retry_after=self._breaker.retry_after)

"""``RateLimiter``: slowapi's vocabulary, as dependencies, over stores that do not block the event loop."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final, TypedDict, cast, get_args

from fastapi import FastAPI
from starlette.requests import Request

from piccolo_fastapi_auth.primitives.client_address import caller_bucket, trusted_networks
from piccolo_fastapi_auth.primitives.clock import Clock, utc_now
from piccolo_fastapi_auth.rate_limits.breaker import CircuitBreaker
from piccolo_fastapi_auth.rate_limits.dependencies import (
    CostFunction,
    Counting,
    KeyFunction,
    RateLimit,
    plain_key,
)
from piccolo_fastapi_auth.rate_limits.documentation import document_limits
from piccolo_fastapi_auth.rate_limits.limit import parse_limits
from piccolo_fastapi_auth.rate_limits.middleware import RateLimitMiddleware
from piccolo_fastapi_auth.rate_limits.remote import RemoteCounters
from piccolo_fastapi_auth.rate_limits.service import CounterService, OnStoreFailure, Taken
from piccolo_fastapi_auth.rate_limits.storages import BoundedStorage
from piccolo_fastapi_auth.rate_limits.store import DEFAULT_CAPACITY, BoundedStore, Quota
from piccolo_fastapi_auth.rate_limits.windows import STRATEGIES, Strategy

MEMORY_URIS: Final = frozenset({"memory://", "bounded://"})


class SlowapiOptions(TypedDict):
    """Arguments for slowapi's ``Limiter`` with which both count in one place."""

    key_func: Callable[[Request], str]
    storage_uri: str
    storage_options: dict[str, str]
    strategy: Strategy


class RateLimiter:
    """Rate limits as dependencies; one instance per application.

    Args:
        storage: ``memory://`` (this process only) or any Redis or Valkey URI of `limits`.
        strategy: How to count.
        on_store_failure: What to do while the store is down, unless a limit says otherwise: count in
            this process (``memory``) or refuse with 503 (``deny``).
        headers: Whether responses carry ``RateLimit-Policy`` and ``RateLimit``.
        slowapi_headers: Whether they carry ``X-RateLimit-*`` too.
        trusted_proxies: Addresses or CIDR ranges whose forwarded headers are believed.
        namespace: The start of every counter's name; the default is the one of slowapi.
        capacity: How many counters memory holds at most.
        timeout: How long one call to the store may take, all in all.
        clock: Returns the present moment. Redis and Valkey use their own.

    Raises:
        ValueError: the storage, the strategy or a proxy is unknown or misspelt.
    """

    def __init__(
        self,
        storage: str = "memory://",
        *,
        strategy: Strategy = "sliding-window-counter",
        on_store_failure: OnStoreFailure = "memory",
        headers: bool = True,
        slowapi_headers: bool = False,
        trusted_proxies: Iterable[str] = (),
        namespace: str = "LIMITER",
        capacity: int = DEFAULT_CAPACITY,
        timeout: timedelta = timedelta(seconds=1),
        clock: Clock = utc_now,
    ) -> None:
        if strategy not in STRATEGIES:
            raise ValueError(f"{strategy!r} is not a strategy; use one of {', '.join(STRATEGIES)}")
        self._storage = storage
        self._strategy: Strategy = strategy
        self._on_store_failure = _checked(on_store_failure)
        self.store = BoundedStore(clock=clock, capacity=capacity)
        remote = None
        if storage not in MEMORY_URIS:
            remote = RemoteCounters(storage, strategy=strategy, timeout=timeout.total_seconds())
        self.service = CounterService(
            self.store, remote, strategy=strategy, breaker=CircuitBreaker(clock=clock)
        )
        self._counting = Counting(
            service=self.service,
            namespace=namespace,
            trusted_proxies=trusted_networks(trusted_proxies),
            headers=headers,
            slowapi_headers=slowapi_headers,
            clock=clock,
        )

    def limit(
        self,
        rate: str,
        *,
        key: KeyFunction | None = None,
        bucket: str | None = None,
        cost: int | CostFunction = 1,
        on_store_failure: OnStoreFailure | None = None,
    ) -> RateLimit:
        """Return a dependency that allows ``rate`` to each caller.

        Args:
            rate: Such as ``"5/minute"`` or ``"5/minute;100/day"``.
            key: Names the caller, sync or async; the client's address by default. Must not block.
            bucket: Routes with the same bucket share a counter; by default each endpoint has its own.
            cost: How much of the limit a request uses up, or a function of the request.
            on_store_failure: ``memory`` or ``deny``, for this limit.

        Raises:
            ValueError: an argument can never work.
            TypeError: ``key`` or ``cost`` is not hashable.
        """
        limits = parse_limits(rate)
        if bucket is not None and not _is_sf_string(bucket):
            raise ValueError(f"the bucket {bucket!r} must be printable ASCII without quotes")
        if isinstance(cost, int) and not 0 <= cost <= min(limit.amount for limit in limits):
            raise ValueError(f"a cost of {cost} can never fit into {rate!r}")
        on_failure = _checked(on_store_failure or self._on_store_failure)
        made = RateLimit(self._counting, limits, key, bucket, cost, on_failure)
        hash(
            made
        )  # FastAPI will need it at the first request; a key function without one fails here
        return made

    def install(
        self,
        app: FastAPI,
        *,
        rate_limit: str | RateLimit | None = None,
        excluded_paths: Iterable[str] = (),
    ) -> None:
        """Put the headers of all limits on every response, errors too, and 429 into OpenAPI. ``Auth.install`` does the same.

        Args:
            app: Where.
            rate_limit: What one caller may do in the whole application, 404s and WebSockets included.
            excluded_paths: Exact paths that this limit does not count.

        Raises:
            ValueError: the rate is misspelt.
        """
        limit, excluded = self.global_limit(rate_limit), frozenset(excluded_paths)
        app.add_middleware(RateLimitMiddleware, limit=limit, excluded_paths=excluded)
        document_limits(app, everywhere=limit, excluded_paths=excluded)

    def global_limit(self, rate: str | RateLimit | None) -> RateLimit | None:
        """Return what ``rate`` means for a whole application: one counter a caller, whatever the path.

        Raises:
            ValueError: the rate is misspelt.
        """
        return self.limit(rate, bucket="application") if isinstance(rate, str) else rate

    async def hit(
        self,
        rate: str,
        *,
        key: str,
        bucket: str,
        cost: int = 1,
        on_store_failure: OnStoreFailure | None = None,
    ) -> Taken:
        """Count a hit, if ``rate`` allows it.

        Raises:
            TemporarilyUnavailableError: the store is down and the answer to that is ``deny``.
        """
        quotas = self._quotas(rate, key=key, bucket=bucket)
        on_failure = on_store_failure or self._on_store_failure
        return await self.service.take(quotas, cost=cost, on_store_failure=on_failure)

    async def test(self, rate: str, *, key: str, bucket: str, cost: int = 1) -> Taken:
        """Say what a hit would be told, without counting it.

        Raises:
            TemporarilyUnavailableError: the store is down and the answer to that is ``deny``.
        """
        quotas = self._quotas(rate, key=key, bucket=bucket)
        on_failure = self._on_store_failure
        return await self.service.take(quotas, cost=cost, commit=False, on_store_failure=on_failure)

    async def give_back(self, taken: Taken) -> None:
        """Undo a hit that was allowed."""
        await self.service.give_back(taken)

    async def clear(self, rate: str, *, key: str, bucket: str) -> None:
        """Forget a caller's counters."""
        await self.service.clear(self._quotas(rate, key=key, bucket=bucket))

    async def aclose(self) -> None:
        """Close the connections to the store; call it in the application's lifespan."""
        await self.service.aclose()

    def slowapi_options(self) -> SlowapiOptions:
        """Return what a slowapi ``Limiter`` needs to count where this one counts: ``Limiter(**...)``.

        Code decorated with ``@limiter.limit`` and a limit of ours with the same rate, and a ``bucket``
        that is slowapi's scope, then have one counter.
        """

        def key_func(request: Request) -> str:
            trusted = self._counting.trusted_proxies
            return caller_bucket(request.scope, trusted_proxies=trusted)

        in_memory = self._storage in MEMORY_URIS
        uri = BoundedStorage.STORAGE_SCHEME[0] + "://" if in_memory else self._storage
        options = {"store": self.store} if in_memory else {}
        return {
            "key_func": key_func,
            "storage_uri": uri,
            "storage_options": cast("dict[str, str]", options),
            "strategy": self._strategy,
        }

    def _quotas(self, rate: str, *, key: str, bucket: str) -> tuple[Quota, ...]:
        return self._counting.quotas(parse_limits(rate), key=plain_key(key), bucket=bucket)


def _checked(on_store_failure: OnStoreFailure) -> OnStoreFailure:
    if on_store_failure not in get_args(OnStoreFailure):
        raise ValueError(f"on_store_failure is {on_store_failure!r}; use 'memory' or 'deny'")
    return on_store_failure


def _is_sf_string(text: str) -> bool:
    """Whether ``text`` can stand in a header as it is (RFC 9651 section 3.3.3)."""
    return text.isascii() and text.isprintable() and not set(text) & {'"', "\\"}

"""Counters in Redis or Valkey (single, cluster, sentinel), through the storage URIs of ``limits.aio``.

One script per hit; a blocking pool; every call bounded by a time-out, pool and connection included.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Protocol, TypeVar, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from limits.aio.storage import RedisClusterStorage, RedisSentinelStorage, RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.errors import ConfigurationError

from piccolo_fastapi_auth.rate_limits.lock import LockRule
from piccolo_fastapi_auth.rate_limits.scripts import GIVE_BACK, STRIKE, TAKE
from piccolo_fastapi_auth.rate_limits.store import Quota
from piccolo_fastapi_auth.rate_limits.windows import Reading, Strategy

SCHEMES: Final[dict[str, type[RedisStorage]]] = {
    "redis": RedisStorage,
    "rediss": RedisStorage,
    "redis+unix": RedisStorage,
    "redis+cluster": RedisClusterStorage,
    "redis+sentinel": RedisSentinelStorage,
    "valkey": RedisStorage,
    "valkeys": RedisStorage,
    "valkey+unix": RedisStorage,
    "valkey+cluster": RedisClusterStorage,
    "valkey+sentinel": RedisSentinelStorage,
}
MAX_CONNECTIONS: Final = 50

T = TypeVar("T")


class StoreDownError(Exception):
    """The store does not answer, or not in time."""


class _Script(Protocol):
    def __call__(self, keys: Sequence[str], args: Sequence[int]) -> Awaitable[Any]: ...


class _Connected:
    """A storage of `limits` and our scripts, for one event loop."""

    def __init__(self, storage: RedisStorage, strategy: Strategy) -> None:
        bridge = cast("RedispyBridge", storage.bridge)
        connection = bridge.get_connection()
        self.storage = storage
        self.key = bridge.prefixed_key
        self.client: Any = connection
        self.take: _Script = connection.register_script(TAKE[strategy].encode())
        self.give_back: _Script = connection.register_script(GIVE_BACK[strategy].encode())
        self.strike: _Script = connection.register_script(STRIKE.encode())
        # A cluster and a sentinel have no blocking pool: wait for a place here instead.
        self.places = asyncio.Semaphore(MAX_CONNECTIONS)
        errors = storage.base_exceptions
        self.errors: tuple[type[Exception], ...] = (
            *(errors if isinstance(errors, tuple) else (errors,)),
            TimeoutError,
            OSError,
        )


class RemoteCounters:
    """The counters of one server (or cluster). Connects on first use, once per event loop."""

    def __init__(self, uri: str, *, strategy: Strategy, timeout: float = 1.0) -> None:
        """Read the URI; nothing is opened.

        Raises:
            ValueError: the scheme is unknown, or the rest is misspelt.
            ImportError: the client library of that scheme is not installed.
        """
        self._uri = uri
        self._strategy = strategy
        self._timeout = timeout
        self._scheme = urlsplit(uri).scheme
        if self._scheme not in SCHEMES:
            raise ValueError(
                f"{self._scheme!r} is not a store; use memory://, redis:// or valkey://"
            )
        self._library = _client_library("valkey" if "valkey" in self._scheme else "redis")
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Connected] = WeakKeyDictionary()
        try:
            self._connect()  # what `limits` finds wrong with the URI is found at start-up
        except (ConfigurationError, ValueError) as error:
            text = str(error).replace(uri, f"{self._scheme}://...")  # it may hold a password
            raise ValueError(f"the store cannot be used: {text}") from None

    async def take(
        self, quotas: Sequence[Quota], *, cost: int, commit: bool
    ) -> tuple[bool, list[Reading]]:
        """Count a hit on all ``quotas``, or on none if one refuses; then read them all.

        Raises:
            StoreDownError: the store does not answer.
        """
        return await self._call(lambda link: self._take(link, quotas, cost=cost, commit=commit))

    async def give_back(self, quotas: Sequence[Quota], tokens: Sequence[int], *, cost: int) -> None:
        """Take back hits, each from the window that counted it.

        Raises:
            StoreDownError: the store does not answer.
        """

        async def call(link: _Connected) -> None:
            for quota, token in zip(quotas, tokens, strict=True):
                args = (cost, token, quota.limit.seconds * 1000)
                await link.give_back(self._keys(link, quota.key), args)

        await self._call(call)

    async def clear(self, key: str) -> None:
        """Forget one counter.

        Raises:
            StoreDownError: the store does not answer.
        """
        await self._delete(lambda link: self._keys(link, key))

    async def locked(self, key: str) -> int:
        """Return the milliseconds for which ``key`` is still locked.

        Raises:
            StoreDownError: the store does not answer.
        """

        async def call(link: _Connected) -> int:
            return max(0, int(await link.client.pttl(_lock_keys(link, key)[0])))

        return await self._call(call)

    async def strike(self, key: str, rule: LockRule) -> int:
        """Lock ``key``, for longer each time; return the milliseconds.

        Raises:
            StoreDownError: the store does not answer.
        """

        async def call(link: _Connected) -> int:
            return int(await link.strike(_lock_keys(link, key), rule.milliseconds()))

        return await self._call(call)

    async def unlock(self, key: str) -> bool:
        """End the lock and forget how it grew; return whether there was one.

        Raises:
            StoreDownError: the store does not answer.
        """
        return await self._delete(lambda link: _lock_keys(link, key)) > 0

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        if link := self._loops.pop(asyncio.get_running_loop(), None):
            await link.client.aclose()
            if (pool := getattr(link.client, "connection_pool", None)) is not None:
                await pool.disconnect()  # a pool that was handed over is not closed with the client
            sentinel = getattr(link.storage.bridge, "sentinel", None)
            for client in sentinel.sentinels if sentinel is not None else ():
                await client.aclose()

    async def _take(
        self, link: _Connected, quotas: Sequence[Quota], *, cost: int, commit: bool
    ) -> tuple[bool, list[Reading]]:
        if len(quotas) == 1 or not isinstance(link.storage, RedisClusterStorage):
            return await self._take_at_once(link, quotas, cost=cost, commit=commit)
        # The counters live on several nodes: one after the other, and give back if a later one refuses.
        allowed, taken, readings = True, list[Quota](), list[Reading]()
        for quota in quotas:
            counts = commit and allowed
            passed, (reading,) = await self._take_at_once(link, [quota], cost=cost, commit=counts)
            readings.append(reading)
            taken.extend([quota] if passed and counts else [])
            allowed = allowed and passed
        for i, quota in enumerate([] if allowed else taken):
            args = (cost, readings[i].token, quota.limit.seconds * 1000)
            await link.give_back(self._keys(link, quota.key), args)
            _, (readings[i],) = await self._take_at_once(link, [quota], cost=cost, commit=False)
        return allowed, readings

    async def _take_at_once(
        self, link: _Connected, quotas: Sequence[Quota], *, cost: int, commit: bool
    ) -> tuple[bool, list[Reading]]:
        keys = [key for quota in quotas for key in self._keys(link, quota.key)]
        args = [cost, int(commit)]
        for _, limit in quotas:
            args += (limit.amount, limit.seconds * 1000)
        allowed, *flat = await link.take(keys, args)
        numbers = [int(number) for number in flat]
        readings = [Reading(*numbers[start : start + 4]) for start in range(0, len(numbers), 4)]
        return bool(allowed), readings

    def _keys(self, link: _Connected, key: str) -> list[str]:
        """Return the keys of one counter, as `limits` spells them."""
        if self._strategy == "sliding-window-counter":
            return [link.key(f"{{{key}}}"), link.key(f"{{{key}}}/-1")]
        return [link.key(key)]

    async def _delete(self, keys: Callable[[_Connected], Sequence[str]]) -> int:
        async def call(link: _Connected) -> int:
            return int(await link.client.delete(*keys(link)))

        return await self._call(call)

    async def _call(self, call: Callable[[_Connected], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        link = self._loops.get(loop)
        if link is None:
            link = self._loops[loop] = self._connect()
        task = loop.create_task(self._in_turn(link, call))
        try:
            await asyncio.wait({task}, timeout=self._timeout)
        finally:
            # The clients' own code loses a cancellation now and then (``asyncio.wait_for`` of Python
            # 3.11, two time-outs at once). So a late call is told to end, and not waited for.
            if not task.done():
                task.add_done_callback(_forget)
                task.cancel()
        if not task.done():
            raise StoreDownError("TimeoutError")
        try:
            return task.result()
        except link.errors as error:
            raise StoreDownError(type(error).__name__) from error

    async def _in_turn(self, link: _Connected, call: Callable[[_Connected], Awaitable[T]]) -> T:
        async with link.places:
            return await call(link)

    def _connect(self) -> _Connected:
        waits = {"socket_connect_timeout": self._timeout, "socket_timeout": self._timeout}
        storage = SCHEMES[self._scheme]
        options: dict[str, Any] = {**waits, "implementation": "redispy"}
        if storage is RedisStorage:
            options = {"implementation": "redispy", "connection_pool": self._pool(waits)}
        elif storage is RedisSentinelStorage:
            options |= {"sentinel_kwargs": dict(waits), "use_replicas": False}
        return _Connected(storage(f"async+{self._uri}", **options), self._strategy)

    def _pool(self, waits: dict[str, float]) -> object:
        """Return a pool that makes a caller wait when it is empty, and reconnects once, not for ever."""
        library: ModuleType = self._library
        lost = library.exceptions.ConnectionError  # an idle connection whose server was restarted
        once = library.asyncio.retry.Retry(library.backoff.NoBackoff(), 1, supported_errors=(lost,))
        uri = self._uri.replace(f"{library.__name__}+unix", "unix")
        return library.asyncio.BlockingConnectionPool.from_url(
            uri,
            max_connections=MAX_CONNECTIONS,
            timeout=self._timeout,
            retry=once,
            retry_on_error=[lost],
            **waits,
        )


def _forget(task: "asyncio.Task[object]") -> None:
    """Look at the end of a call that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def _client_library(name: str) -> ModuleType:
    try:
        import_module(f"{name}.asyncio")
        return import_module(name)
    except ModuleNotFoundError as error:
        message = f"a store at {name}:// needs: pip install 'piccolo-fastapi-auth[{name}]'"
        raise ImportError(message) from error


def _lock_keys(link: _Connected, key: str) -> list[str]:
    return [link.key(f"{{lock/{key}}}"), link.key(f"{{lock/{key}}}/strikes")]

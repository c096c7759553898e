"""The bounded store under the names that `limits` and slowapi know: ``bounded://``, ``async+bounded://``.

Hand the store itself over to share one with slowapi, for a URI alone makes a new, empty one:
``Limiter(..., storage_uri="bounded://", storage_options={"store": store})``.
"""

from limits.aio.storage import MovingWindowSupport as AsyncMovingWindowSupport
from limits.aio.storage import Storage as AsyncStorage
from limits.aio.storage.base import SlidingWindowCounterSupport as AsyncSlidingWindowSupport
from limits.storage import MovingWindowSupport, SlidingWindowCounterSupport, Storage

from piccolo_fastapi_auth.rate_limits.limit import Limit
from piccolo_fastapi_auth.rate_limits.store import BoundedStore, Quota
from piccolo_fastapi_auth.rate_limits.windows import SlidingWindow, Strategy, Window


class BoundedStorage(Storage, MovingWindowSupport, SlidingWindowCounterSupport):
    """A `limits` storage over a ``BoundedStore``: for ``Limiter`` of slowapi and for `limits` itself."""

    STORAGE_SCHEME = ["bounded"]  # noqa: RUF012 - declared by `limits`

    def __init__(
        self,
        uri: str | None = None,
        wrap_exceptions: bool = False,  # noqa: FBT001, FBT002 - the signature is that of `limits`
        *,
        store: BoundedStore | None = None,
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self.store = BoundedStore() if store is None else store

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the errors of the store: it has none of its own."""
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count in a fixed window; return the count."""
        return self.store.increment(key, seconds=expiry, cost=amount)

    def get(self, key: str) -> int:
        """Return the count of a fixed window."""
        return self.store.look("fixed-window", key, _used)

    def get_expiry(self, key: str) -> float:
        """Return the end of a fixed window in seconds since the epoch."""
        return self.store.look("fixed-window", key, _ends)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count in a moving window, if that is allowed."""
        return self._take("moving-window", key, limit, expiry, amount)

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return the oldest hit in view, in seconds since the epoch, and the number of hits."""
        length = expiry * 1000

        def read(now: int, window: Window) -> tuple[float, int]:
            reading = window.read(now, limit, length, 1)
            start = now + reading.reset - length if reading.used else now
            return start / 1000, reading.used

        return self.store.look("moving-window", key, read)

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count in a sliding window, if that is allowed."""
        return self._take("sliding-window-counter", key, limit, expiry, amount)

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the last window's count and seconds left, and this one's."""
        length = expiry * 1000

        def read(now: int, window: Window) -> tuple[int, float, int, float]:
            if not isinstance(window, SlidingWindow):
                return 0, 0.0, 0, 0.0
            left = window.roll(now, length)
            return window.previous, left / 1000, window.count, (left + length) / 1000

        return self.store.look("sliding-window-counter", key, read)

    def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 - as `limits` calls it
        """Forget a sliding window."""
        self.store.clear("sliding-window-counter", key)

    def clear(self, key: str) -> None:
        """Forget a fixed and a moving window."""
        self.store.clear("fixed-window", key)
        self.store.clear("moving-window", key)

    def check(self) -> bool:
        """Return ``True``: memory is always there."""
        return True

    def reset(self) -> int:
        """Forget everything."""
        return self.store.reset()

    def _take(self, strategy: Strategy, key: str, limit: int, expiry: int, amount: int) -> bool:
        quota = Quota(key, Limit(limit, expiry, "second", expiry))
        return self.store.take(strategy, [quota], cost=amount)[0]


class AsyncBoundedStorage(AsyncStorage, AsyncMovingWindowSupport, AsyncSlidingWindowSupport):
    """The same for ``limits.aio``."""

    STORAGE_SCHEME = ["async+bounded"]  # noqa: RUF012 - declared by `limits`

    def __init__(
        self,
        uri: str | None = None,
        wrap_exceptions: bool = False,  # noqa: FBT001, FBT002 - the signature is that of `limits`
        *,
        store: BoundedStore | None = None,
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self.plain = BoundedStorage(store=store)

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the errors of the store: it has none of its own."""
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count in a fixed window; return the count."""
        return self.plain.incr(key, expiry, amount)

    async def get(self, key: str) -> int:
        """Return the count of a fixed window."""
        return self.plain.get(key)

    async def get_expiry(self, key: str) -> float:
        """Return the end of a fixed window in seconds since the epoch."""
        return self.plain.get_expiry(key)

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count in a moving window, if that is allowed."""
        return self.plain.acquire_entry(key, limit, expiry, amount)

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return the oldest hit in view, in seconds since the epoch, and the number of hits."""
        return self.plain.get_moving_window(key, limit, expiry)

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count in a sliding window, if that is allowed."""
        return self.plain.acquire_sliding_window_entry(key, limit, expiry, amount)

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the last window's count and seconds left, and this one's."""
        return self.plain.get_sliding_window(key, expiry)

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget a sliding window."""
        self.plain.clear_sliding_window(key, expiry)

    async def clear(self, key: str) -> None:
        """Forget a fixed and a moving window."""
        self.plain.clear(key)

    async def check(self) -> bool:
        """Return ``True``: memory is always there."""
        return True

    async def reset(self) -> int:
        """Forget everything."""
        return self.plain.reset()


def _used(now: int, window: Window) -> int:
    return window.read(now, 0, 0, 0).used


def _ends(now: int, window: Window) -> float:
    return max(window.expires(0), now) / 1000

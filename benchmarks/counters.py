"""Fill one store of counters and print bytes and microseconds a key: ``python -m benchmarks.counters NAME KEYS``."""

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import STRATEGIES

from piccolo_fastapi_auth.rate_limits.limit import parse_limits
from piccolo_fastapi_auth.rate_limits.store import BoundedStore, Quota
from piccolo_fastapi_auth.rate_limits.windows import Strategy

RATE = "5/hour"


def main(name: str, keys: int) -> None:
    """Fill and print."""
    hit = maker(name)
    hit("192.0.2.1")
    gc.collect()
    before, begun = resident(), time.perf_counter()
    for i in range(keys):
        hit(f"198.51.{i // 256}.{i % 256}")
    taken = time.perf_counter() - begun
    print(f"{(resident() - before) / keys:.0f} {taken / keys * 1e6:.1f}")


def maker(name: str) -> Callable[[str], object]:
    """Return what counts a hit of a key."""
    whose, _, strategy = name.partition(", ")
    if whose == "ours":
        store, (limit,) = BoundedStore(capacity=10_000_000), parse_limits(RATE)
        chosen = cast("Strategy", strategy)
        return lambda key: store.take(chosen, [Quota(f"LIMITER/{key}/module.endpoint/{RATE}", limit)])  # fmt: skip
    if whose == "limits":
        storage, item = MemoryStorage(), parse(RATE)
        limiter = STRATEGIES[strategy](storage)
        return lambda key: limiter.hit(item, key, "module.endpoint")
    from piccolo_api.rate_limiting.middleware import InMemoryLimitProvider  # noqa: PLC0415 - may be missing

    hit: Callable[[str], object] = InMemoryLimitProvider(timespan=3600, limit=5).increment
    return hit


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

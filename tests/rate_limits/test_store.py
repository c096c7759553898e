"""NET-3: the counters in memory are bounded, cleaned up, and hard to push out."""

import threading
from pathlib import Path

import pytest
from limits import parse, strategies
from limits.aio import strategies as async_strategies
from limits.storage import storage_from_string

from piccolo_fastapi_auth.rate_limits.limit import parse_limits
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.rate_limits.lock import LockRule
from piccolo_fastapi_auth.rate_limits.storages import AsyncBoundedStorage, BoundedStorage
from piccolo_fastapi_auth.rate_limits.store import BoundedStore, Quota
from piccolo_fastapi_auth.rate_limits.windows import STRATEGIES, Strategy
from tests.rate_limits.conftest import FrozenClock

SLIDING: Strategy = "sliding-window-counter"
(FIVE_A_MINUTE,) = parse_limits("5/minute")


def resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def hit(store: BoundedStore, key: str, strategy: Strategy = SLIDING) -> bool:
    return store.take(strategy, [Quota(key, FIVE_A_MINUTE)])[0]


@pytest.mark.timeout(300)  # a million of anything takes its time on a busy machine
def test_a_million_keys_stay_within_the_capacity(clock: FrozenClock) -> None:
    """NET-3: a stranger who invents keys cannot fill the memory."""
    store = BoundedStore(clock=clock, capacity=10_000)
    for i in range(20_000):
        hit(store, f"caller-{i:07}")
    before = resident_bytes()

    for i in range(20_000, 1_000_000):
        hit(store, f"caller-{i:07}")
        if i % 1000 == 0:
            clock.move(1)

    assert len(store) == 10_000
    assert resident_bytes() - before < 20_000_000


def test_a_short_limit_is_cleaned_up_beside_a_long_one(clock: FrozenClock) -> None:
    """NET-3: the store knows when it next has something to drop, also when that comes closer."""
    store = BoundedStore(clock=clock)
    second, day = parse_limits("5/second")[0], parse_limits("5/day")[0]
    store.take(SLIDING, [Quota("long", day)])
    clock.move(1)
    store.take(SLIDING, [Quota("long", day)])  # looks for what has expired: nothing for a day
    store.take(SLIDING, [Quota("short", second)])
    clock.move(4)

    store.take(SLIDING, [Quota("long", day)])

    assert len(store) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_expired_counters_go_as_traffic_goes_on(strategy: Strategy, clock: FrozenClock) -> None:
    """NET-3: no timer, and still nothing stays for ever."""
    store = BoundedStore(clock=clock)
    for i in range(4000):
        hit(store, str(i), strategy)
    clock.move(130)

    for _ in range(1000):
        hit(store, "the only one left", strategy)

    assert len(store) == 1


def test_a_flood_does_not_free_somebody_who_is_stopped(clock: FrozenClock) -> None:
    """NET-3: one-hit keys push out one-hit keys, not the counter that matters."""
    store = BoundedStore(clock=clock, capacity=1000)
    while hit(store, "attacker"):
        clock.move(0.1)

    for i in range(10_000):
        hit(store, f"flood-{i}")

    assert not hit(store, "attacker")


def test_a_flood_does_not_open_a_lock(clock: FrozenClock) -> None:
    """NET-3, LCK-3."""
    store = BoundedStore(clock=clock, capacity=100)
    store.strike("account", LockRule())

    for i in range(10_000):
        hit(store, f"flood-{i}")

    assert store.locked("account") == 30_000


def test_hot_counters_do_not_open_a_lock(clock: FrozenClock) -> None:
    """LCK-3, NET-3: not even those that outlive it; the attacker has used up a limit of a year, again and again."""
    store = BoundedStore(clock=clock, capacity=100)
    (once,) = parse_limits("1/year")
    store.strike("account", LockRule())

    for i in range(1000):
        store.take(SLIDING, [Quota(f"flood-{i}", once)])

    assert store.locked("account") == 30_000
    assert len(store) == 100


def test_even_locks_are_bounded(clock: FrozenClock) -> None:
    """NET-3: with nothing but locks the one that is forgotten first goes."""
    store = BoundedStore(clock=clock, capacity=10)

    for i in range(30):
        clock.move(2)
        store.strike(f"account-{i}", LockRule())

    assert len(store) == 10
    assert store.locked("account-29") == 30_000
    assert store.locked("account-0") == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_given_back_holds_no_place(strategy: Strategy, clock: FrozenClock) -> None:
    """NET-3: hits that never were guesses (the hash queue was full) push nobody out, however many there were."""
    store = BoundedStore(clock=clock, capacity=100)
    while hit(store, "attacker", strategy):
        pass
    quota = Quota("half", FIVE_A_MINUTE)
    kept = store.take(strategy, [quota])[1][0].token

    for i in range(1000):
        quotas = [Quota(f"flood-{i}", FIVE_A_MINUTE)]
        taken = [store.take(strategy, quotas)[1][0].token for _ in range(3)]
        for token in taken:
            store.give_back(strategy, quotas, [token], cost=1)

    assert len(store) == 2
    assert not hit(store, "attacker", strategy)
    store.give_back(strategy, [quota], [kept], cost=1)
    assert len(store) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_given_back_makes_a_counter_cold_again(
    strategy: Strategy, clock: FrozenClock
) -> None:
    """NET-3: three attempts of which two were none are worth as much as one."""
    store = BoundedStore(clock=clock, capacity=100)
    quotas = [Quota("briefly hot", FIVE_A_MINUTE)]
    tokens = [store.take(strategy, quotas)[1][0].token for _ in range(3)]
    for token in tokens[1:]:
        store.give_back(strategy, quotas, [token], cost=1)
    clock.move(2)  # among the cold the oldest goes first

    for i in range(100):
        hit(store, f"flood-{i}", strategy)

    readings = store.take(strategy, quotas, commit=False)[1]
    assert readings[0].used == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_clock_that_is_set_back_stops_nobody_for_long(
    strategy: Strategy, clock: FrozenClock
) -> None:
    """RLH-1: time goes on from where it was: no free hits, and no hour of waiting."""
    store = BoundedStore(clock=clock)
    quotas = [Quota("k", FIVE_A_MINUTE)]
    while hit(store, "k", strategy):
        clock.move(1)
    store.strike("k", LockRule())

    clock.move(-3600)

    allowed, (reading,) = store.take(strategy, quotas)
    assert not allowed
    assert reading.wait <= 60_000
    assert store.locked("k") == 30_000
    clock.move(reading.wait / 1000)
    assert hit(store, "k", strategy)


def test_when_all_are_hot_the_one_that_expires_first_goes(clock: FrozenClock) -> None:
    """NET-3: bounded, whatever happens."""
    store = BoundedStore(clock=clock, capacity=10)

    for i in range(30):
        clock.move(1.1)
        for _ in range(5):
            hit(store, f"hot-{i}")

    assert len(store) == 10
    assert not hit(store, "hot-29")
    assert hit(store, "hot-0")


def test_an_expired_counter_goes_before_a_live_one(clock: FrozenClock) -> None:
    """Room is made where nothing is lost."""
    store = BoundedStore(clock=clock, capacity=2)
    (second,) = parse_limits("1/second")
    store.take(SLIDING, [Quota("old", second)])
    hit(store, "live")
    clock.move(4)

    hit(store, "new")

    assert store.take(SLIDING, [Quota("live", FIVE_A_MINUTE)])[1][0].used == 2


def test_nothing_runs_in_the_background(clock: FrozenClock) -> None:
    """No timer, no thread, no task."""
    before = threading.active_count()
    store = BoundedStore(clock=clock)

    for i in range(100):
        hit(store, str(i))

    assert threading.active_count() == before


def test_threads_share_it_exactly(clock: FrozenClock) -> None:
    """The sync endpoints of slowapi hit it from worker threads."""
    store = BoundedStore(clock=clock)
    (limit,) = parse_limits("1000/minute")
    allowed: list[bool] = []

    def work() -> None:
        allowed.extend(store.take(SLIDING, [Quota("k", limit)])[0] for _ in range(500))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(allowed) == 1000


def test_no_counter_fits_into_nothing() -> None:
    """A capacity of nothing is a mistake."""
    with pytest.raises(ValueError, match="capacity"):
        BoundedStore(capacity=0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_limits_itself_can_use_it(strategy: Strategy, clock: FrozenClock) -> None:
    """``bounded://`` is a storage of `limits`, for whoever uses that."""
    storage = storage_from_string("bounded://", store=BoundedStore(clock=clock))  # type: ignore[arg-type]
    limiter = strategies.STRATEGIES[strategy](storage)
    item = parse("5/minute")

    allowed = [limiter.hit(item, "k") for _ in range(7)]

    assert allowed == [True] * 5 + [False] * 2
    assert not limiter.test(item, "k")
    assert limiter.get_window_stats(item, "k").remaining <= 0
    assert limiter.get_window_stats(item, "k").reset_time > clock().timestamp()
    limiter.clear(item, "k")
    assert limiter.hit(item, "k")
    assert isinstance(storage, BoundedStorage)
    assert storage.check()
    assert storage.reset() == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_limits_aio_can_use_it(strategy: Strategy, clock: FrozenClock) -> None:
    """``async+bounded://`` too."""
    storage = storage_from_string("async+bounded://", store=BoundedStore(clock=clock))  # type: ignore[arg-type]
    limiter = async_strategies.STRATEGIES[strategy](storage)  # type: ignore[abstract]
    item = parse("5/minute")

    allowed = [await limiter.hit(item, "k") for _ in range(7)]

    assert allowed == [True] * 5 + [False] * 2
    assert not await limiter.test(item, "k")
    assert (await limiter.get_window_stats(item, "k")).remaining <= 0
    await limiter.clear(item, "k")
    assert await limiter.hit(item, "k")
    assert isinstance(storage, AsyncBoundedStorage)
    assert await storage.check()
    assert await storage.reset() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"storage": "memcached://localhost"}, "memcached"),
        ({"storage": "rediss"}, "store"),
        ({"storage": "redis+sentinel://127.0.0.1:1"}, "service_name"),
        ({"strategy": "leaky-bucket"}, "leaky-bucket"),
        ({"on_store_failure": "ignore"}, "ignore"),
        ({"trusted_proxies": ["nginx"]}, "nginx"),
    ],
)
def test_a_mistake_in_the_configuration_fails_at_start_up(
    arguments: dict[str, str], message: str
) -> None:
    """No limit is lost silently."""
    with pytest.raises(Exception, match=message):
        RateLimiter(**arguments)  # type: ignore[arg-type]

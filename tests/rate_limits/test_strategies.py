"""All strategies, in memory and in a real Valkey, through one contract."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piccolo_fastapi_auth.rate_limits.limit import parse_limits
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.rate_limits.service import Taken, seconds
from piccolo_fastapi_auth.rate_limits.store import BoundedStore, Quota
from piccolo_fastapi_auth.rate_limits.windows import STRATEGIES, SlidingWindow, Strategy, Window
from tests.rate_limits.conftest import FrozenClock, ValkeyServer


@dataclass
class World:
    """A limiter, and a way to let time pass for its counters."""

    limiter: RateLimiter
    pass_time: Callable[[float], None]
    """Makes the counters older."""
    wait: Callable[[float], None]
    """Lets the clock of the store itself go on."""

    async def hit(self, rate: str, key: str = "caller", cost: int = 1) -> Taken:
        return await self.limiter.hit(rate, key=key, bucket="b", cost=cost, on_store_failure="deny")

    async def allowed(self, rate: str, times: int, cost: int = 1) -> int:
        return sum([(await self.hit(rate, cost=cost)).allowed for _ in range(times)])


@pytest.fixture(params=STRATEGIES)
def strategy(request: pytest.FixtureRequest) -> Strategy:
    found: Strategy = request.param
    return found


@pytest.fixture(params=["memory", "valkey", "redis"])
async def world(
    request: pytest.FixtureRequest, strategy: Strategy, clock: FrozenClock
) -> AsyncIterator[World]:
    if request.param == "memory":
        yield World(RateLimiter(strategy=strategy, clock=clock), clock.move, clock.move)
        return
    server: ValkeyServer = request.getfixturevalue("valkey_server")
    uri = server.uri.replace("valkey", request.param)
    limiter = RateLimiter(uri, strategy=strategy)
    yield World(limiter, server.pass_time, server.wait)
    await limiter.aclose()


async def test_no_more_than_the_limit_pass(world: World) -> None:
    """The point of it all."""
    assert await world.allowed("5/minute", times=20) == 5


async def test_parallel_hits_are_counted_one_by_one(world: World) -> None:
    """LCK-2: a hit is counted in one step, not read and then written."""
    passed: list[bool] = []

    async def hit() -> None:
        passed.append((await world.hit("7/minute")).allowed)

    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(hit)

    assert sum(passed) == 7


async def test_waiting_exactly_retry_after_succeeds_and_a_second_less_does_not(
    world: World,
) -> None:
    """RLH-1."""
    await world.allowed("5/20 seconds", times=5)
    world.pass_time(5)

    refused = await world.hit("5/20 seconds")
    world.pass_time(refused.retry_after - 1)
    too_early = await world.hit("5/20 seconds")
    world.pass_time(1)
    in_time = await world.hit("5/20 seconds")

    assert (refused.allowed, too_early.allowed, in_time.allowed) == (False, False, True)
    assert in_time.readings[0].used <= 5


@pytest.mark.parametrize("strategy", ["sliding-window-counter"], indirect=True)
async def test_the_end_of_a_window_is_no_gap(world: World) -> None:
    """The default strategy never lets through two limits around a boundary, as a fixed window does."""
    await world.allowed("5/20 seconds", times=5)

    world.pass_time(21)

    assert await world.allowed("5/20 seconds", times=5) == 1


async def test_retry_after_covers_all_limits_of_a_rate(world: World) -> None:
    """RLH-1: after the minute the hour is still used up."""
    rate = "3/10 seconds;4/minute"
    await world.allowed(rate, times=3)
    world.pass_time(30)
    await world.allowed(rate, times=1)

    refused = await world.hit(rate)
    world.pass_time(refused.retry_after - 1)
    too_early = await world.hit(rate)
    world.pass_time(1)

    assert (refused.allowed, too_early.allowed) == (False, False)
    assert (await world.hit(rate)).allowed


async def test_a_refused_hit_costs_nothing(world: World) -> None:
    """The longer limit does not pay for what the shorter refused."""
    rate = "2/second;10/minute"
    await world.allowed(rate, times=9)

    answer = await world.limiter.test(rate, key="caller", bucket="b")

    assert answer.readings[1].used == 2


async def test_a_costly_hit_fits_whole_or_not_at_all(world: World) -> None:
    """A cost is taken in one piece."""
    assert (await world.hit("5/minute", cost=3)).allowed
    assert not (await world.hit("5/minute", cost=3)).allowed
    assert (await world.hit("5/minute", cost=2)).allowed
    assert not (await world.hit("5/minute", cost=6)).allowed


async def test_a_hit_can_be_given_back(world: World) -> None:
    """LCK-2: a right password is no guess."""
    answers = [await world.hit("5/minute") for _ in range(5)]

    await world.limiter.give_back(answers[2])

    assert await world.allowed("5/minute", times=3) == 1


async def test_a_hit_is_given_back_to_its_own_window(world: World) -> None:
    """LCK-2: somebody's later guesses are not forgiven by an old success."""
    old = await world.hit("5/second")
    world.wait(2.1)
    await world.allowed("5/second", times=5)

    await world.limiter.give_back(old)

    now_used = await world.limiter.test("5/second", key="caller", bucket="b")
    assert now_used.readings[0].used == 5


async def test_a_window_passes(world: World) -> None:
    """After twice its length nothing is left of a window."""
    await world.allowed("5/minute", times=5)
    world.pass_time(121)

    assert await world.allowed("5/minute", times=9) == 5


async def test_a_cleared_counter_starts_anew(world: World) -> None:
    """LCK-6."""
    await world.allowed("5/minute", times=5)

    await world.limiter.clear("5/minute", key="caller", bucket="b")

    assert await world.allowed("5/minute", times=9) == 5


async def test_looking_does_not_count(world: World) -> None:
    """``test`` is no hit."""
    for _ in range(9):
        assert (await world.limiter.test("5/minute", key="caller", bucket="b")).allowed

    assert await world.allowed("5/minute", times=9) == 5


async def test_keys_cannot_reach_into_each_other(world: World) -> None:
    """A caller's name with separators in it is not another caller in another bucket."""
    await world.limiter.hit("1/minute", key="a/b", bucket="c")

    assert (await world.limiter.hit("1/minute", key="a", bucket="b/c")).allowed


@pytest.mark.parametrize("key", ["💥", "\ud800", "x" * 100_000, "\x00", "a b", "{x}"])
async def test_a_hostile_key_is_counted_like_any_other(world: World, key: str) -> None:
    """A caller's name may be anything."""
    results = [(await world.limiter.hit("1/minute", key=key, bucket="b")).allowed for _ in range(2)]

    assert results == [True, False]


async def test_retry_after_is_never_nothing_and_never_longer_than_two_windows(
    world: World,
) -> None:
    """RLH-1: ``Retry-After: 0`` would be an invitation to a loop."""
    await world.allowed("2/10 seconds", times=2)

    refused = await world.hit("2/10 seconds")

    assert 1 <= refused.retry_after <= 20


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 3)), min_size=1, max_size=40),
    amount=st.integers(1, 6),
)
def test_waiting_exactly_as_told_is_enough_and_a_millisecond_less_is_not(
    strategy: Strategy, steps: list[tuple[int, int]], amount: int
) -> None:
    """RLH-1, to the millisecond, from any state that hits can reach."""
    clock = FrozenClock()
    store = BoundedStore(clock=clock)
    quotas = [Quota("k", limit) for limit in parse_limits(f"{amount}/7 seconds")]
    for pause, cost in steps:
        clock.move(pause / 1000)
        allowed, (reading,) = store.take(strategy, quotas, cost=cost)
        assert reading.used <= amount
        if allowed or cost > amount:
            continue
        clock.move((reading.wait - 1) / 1000)
        assert not store.take(strategy, quotas, cost=cost, commit=False)[0]
        clock.move(1 / 1000)
        assert store.take(strategy, quotas, cost=cost, commit=False)[0]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pauses=st.lists(st.integers(0, 9_000_000), min_size=1, max_size=20),
    start=st.integers(0, 2 * 10**15),
)
def test_microseconds_do_not_make_retry_after_a_lie(
    strategy: Strategy, pauses: list[int], start: int
) -> None:
    """RLH-1: in whole seconds, whatever the moment: as told is enough, and a second less is not."""
    clock = FrozenClock(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start))
    store = BoundedStore(clock=clock)
    quotas = [Quota("k", limit) for limit in parse_limits("2/7 seconds")]
    for pause in pauses:
        clock.now += timedelta(microseconds=pause)
        allowed, (reading,) = store.take(strategy, quotas)
        if not allowed:
            whole = seconds(reading.wait)
            clock.move(whole - 1)
            assert not store.take(strategy, quotas, commit=False)[0]
            clock.move(1)
            assert store.take(strategy, quotas, commit=False)[0]


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 4)), max_size=40),
    amount=st.integers(1, 6),
)
def test_the_fast_way_to_hit_is_the_same_as_the_plain_one(
    steps: list[tuple[int, int]], amount: int
) -> None:
    """The sliding window has one for speed."""
    fast, plain, now = SlidingWindow(), SlidingWindow(), 10**12
    for pause, cost in steps:
        now += pause
        found = fast.hit(now, amount, 7000, cost)
        assert found == Window.hit(plain, now, amount, 7000, cost)


@pytest.mark.parametrize("cost", [1, 2, 3, 5, 6])
async def test_memory_and_server_do_the_same_sum(
    strategy: Strategy, cost: int, clock: FrozenClock, valkey_server: ValkeyServer
) -> None:
    """The scripts and ``windows.py`` say the same of one history."""
    here = RateLimiter(strategy=strategy, clock=clock)
    there = RateLimiter(valkey_server.uri, strategy=strategy)
    ours = World(here, clock.move, clock.move)
    theirs = World(there, valkey_server.pass_time, valkey_server.wait)
    found = []

    for world in (ours, theirs):
        await world.allowed("5/10 seconds", times=4)
        world.pass_time(13)
        await world.allowed("5/10 seconds", times=2)
        world.pass_time(2)
        asked = await world.limiter.test("5/10 seconds", key="caller", bucket="b", cost=cost)
        found.append((asked.allowed, asked.readings[0].used, asked.retry_after))

    await there.aclose()
    assert found[0] == found[1]

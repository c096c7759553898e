"""LCK-1..6: guessing is stopped, the owner is not."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

import anyio
import anyio.lowlevel
import pytest

from piccolo_fastapi_auth.errors import RateLimitedError, TemporarilyUnavailableError
from piccolo_fastapi_auth.rate_limits.device_cookie import known_device, make_device_cookie
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.rate_limits.lock import LockRule, lock_length
from piccolo_fastapi_auth.rate_limits.login_guard import LoginGuard
from tests.rate_limits.conftest import FrozenClock, ValkeyServer, free_port

KEYS = [b"k" * 32]


@dataclass
class Door:
    """A log-in with one right password, behind the guard."""

    guard: LoginGuard
    pass_time: Callable[[float], None]
    hashed: int = 0

    async def try_password(
        self, password: str, *, account: str = "ada", address: str = "192.0.2.1", cookie: str = ""
    ) -> int:
        """Return 200, 401 or minus the Retry-After of a 429."""
        try:
            attempt = await self.guard.reserve(
                account=account, address=address, device_cookie=cookie
            )
        except RateLimitedError as refused:
            return -int((refused.headers or {})["Retry-After"])
        self.hashed += 1
        await anyio.lowlevel.checkpoint()
        if password == "right":
            await self.guard.succeeded(attempt)
            return 200
        await self.guard.failed(attempt)
        return 401


@pytest.fixture(params=["memory", "valkey"])
async def door(request: pytest.FixtureRequest, clock: FrozenClock) -> AsyncIterator[Door]:
    if request.param == "memory":
        limiter = RateLimiter(clock=clock)
        yield Door(LoginGuard(limiter.service, KEYS, clock=clock), clock.move)
        return
    server: ValkeyServer = request.getfixturevalue("valkey_server")
    limiter = RateLimiter(server.uri, clock=clock)
    yield Door(LoginGuard(limiter.service, KEYS, clock=clock), server.pass_time)
    await limiter.aclose()


async def test_of_a_hundred_parallel_guesses_five_reach_the_hasher(door: Door) -> None:
    """LCK-2: counted before the check, in one step."""
    found: list[int] = []

    async def guess(i: int) -> None:
        found.append(await door.try_password(f"guess {i}"))

    async with anyio.create_task_group() as group:
        for i in range(100):
            group.start_soon(guess, i)

    assert door.hashed == 5
    assert found.count(401) == 5


async def test_five_parallel_right_passwords_all_pass(door: Door) -> None:
    """LCK-2: and leave nothing counted."""
    found: list[int] = []

    async def enter() -> None:
        found.append(await door.try_password("right"))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(enter)

    assert found == [200] * 5
    assert [await door.try_password("wrong") for _ in range(5)] == [401] * 5


async def test_one_password_for_many_accounts_is_stopped(door: Door) -> None:
    """LCK-1: spraying from one address, whether the accounts exist or not."""
    for i in range(500):
        await door.try_password("Winter2026", account=f"user-{i}")

    assert door.hashed == 20


async def test_spraying_from_one_network_is_stopped(door: Door) -> None:
    """LCK-1, NET-2: 500 addresses of a /64 are one."""
    for i in range(500):
        await door.try_password("x", account=f"user-{i}", address=f"2001:db8::{i:x}")

    assert door.hashed == 20


async def test_many_addresses_guessing_at_one_account_are_stopped(door: Door) -> None:
    """LCK-1: distributed guessing."""
    for i in range(500):
        await door.try_password("x", address=f"198.51.{i // 250}.{i % 250}")

    assert door.hashed == 5


@pytest.mark.parametrize("spelling", ["ADA", " ada ", "ａｄａ", "Ada"])
async def test_another_spelling_is_the_same_account(door: Door, spelling: str) -> None:
    """LCK-1: otherwise every spelling would be five more guesses."""
    for _ in range(5):
        await door.try_password("wrong")

    assert await door.try_password("wrong", account=spelling, address="192.0.2.2") < 0


async def enter_and_get_cookie(door: Door) -> str:
    attempt = await door.guard.reserve(account="Ada", address="203.0.113.5")
    await door.guard.succeeded(attempt)
    return door.guard.device_cookie(attempt)


async def test_the_owner_on_a_known_device_is_not_locked_out(door: Door) -> None:
    """LCK-3: an attacker cannot use up what is not his."""
    cookie = await enter_and_get_cookie(door)
    for i in range(300):
        await door.try_password("x", address=f"198.51.{i // 250}.{i % 250}")
    assert await door.try_password("right", address="203.0.113.5") < 0

    assert await door.try_password("right", address="203.0.113.5", cookie=cookie) == 200
    assert await door.try_password("right", address="192.0.2.77", cookie=cookie) == 200


async def test_a_known_device_has_a_limit_of_its_own(door: Door) -> None:
    """LCK-3: a stolen cookie is five guesses, not any number."""
    cookie = await enter_and_get_cookie(door)

    found = [await door.try_password("x", cookie=cookie) for _ in range(8)]

    assert door.hashed == 5
    assert all(answer < 0 for answer in found[5:])
    assert await door.try_password("right", address="203.0.113.5") == 200


async def test_a_device_cookie_is_good_for_one_account(door: Door) -> None:
    """LCK-3: an attacker with an account of his own gains nothing."""
    cookie = await enter_and_get_cookie(door)
    for i in range(5):
        await door.try_password("x", account="grace", address=f"198.51.100.{i}")

    assert await door.try_password("x", account="grace", cookie=cookie) < 0


async def test_the_owner_s_success_on_a_known_device_gives_strangers_nothing(door: Door) -> None:
    """LCK-6: it resets that device's counter only."""
    cookie = await enter_and_get_cookie(door)
    for i in range(5):
        await door.try_password("x", address=f"198.51.100.{i}")

    await door.try_password("right", address="203.0.113.5", cookie=cookie)

    assert await door.try_password("x", address="198.51.100.9") < 0


async def test_the_owner_s_success_does_not_refill_the_guesser_s_own_counter(door: Door) -> None:
    """LCK-1, LCK-6: account and address together."""
    found = []
    for i in range(4):
        found += [await door.try_password("x", address="198.51.100.1") for _ in range(2)]
        await door.try_password("right", address=f"203.0.113.{i}")

    assert found.count(401) == 5


async def test_one_s_own_success_does_not_refill_the_address(door: Door) -> None:
    """LCK-5: a guesser cannot log in to an account of his own in between."""
    for i in range(40):
        await door.try_password("x", account=f"victim-{i}")
        await door.try_password("right", account="mallory")

    assert door.hashed - 20 <= 20  # twenty guesses; the others were his own log-ins


async def test_a_success_resets_the_account(door: Door) -> None:
    """LCK-6."""
    for _ in range(4):
        await door.try_password("wrong")

    assert await door.try_password("right") == 200
    assert [await door.try_password("wrong") for _ in range(5)] == [401] * 5


async def test_the_lock_grows_and_ends_by_itself(door: Door) -> None:
    """LCK-3: 30 s to 1 h beside the limit; waiting as told is always enough (RLH-1)."""
    waits = []
    for _ in range(14):
        answer = await door.try_password("wrong")
        assert answer == 401  # waiting as told was enough
        while answer == 401:
            answer = await door.try_password("wrong")
        waits.append(-answer)
        door.pass_time(-answer - 1)
        assert await door.try_password("wrong") < 0
        door.pass_time(1)

    assert max(waits) == 3600
    assert waits == sorted(waits) or min(waits[7:]) >= 1920
    assert await door.try_password("right") == 200
    assert await door.try_password("right") == 200


async def test_knocking_at_a_lock_does_not_lengthen_it(door: Door) -> None:
    """LCK-3: an attacker cannot keep it closed by refused attempts."""
    for _ in range(5):
        await door.try_password("wrong")
    first = await door.try_password("wrong")

    for i in range(100):
        await door.try_password("wrong", address=f"198.51.100.{i}")

    assert await door.try_password("wrong") >= first


async def test_knocking_at_a_long_lock_uses_up_nothing(door: Door) -> None:
    """LCK-3: when it ends the owner has all his attempts."""
    door.guard = LoginGuard(
        door.guard._service, KEYS, lock=LockRule(shortest=timedelta(hours=1)), per_address=""
    )
    for _ in range(5):
        await door.try_password("wrong")
    door.pass_time(3590)

    found = [await door.try_password("wrong", address=f"198.51.100.{i}") for i in range(20)]
    door.pass_time(11)

    assert all(answer < 0 for answer in found)
    assert [await door.try_password("wrong") for _ in range(5)] == [401] * 5


async def test_two_strikes_at_once_are_one(door: Door) -> None:
    """LCK-3: a lock grows from attempt to attempt, not from race to race."""
    service = door.guard._service

    first = await service.strike("x", LockRule())
    second = await service.strike("x", LockRule())

    assert first == 30_000
    assert 29_000 < second <= 30_000


async def test_any_number_of_right_passwords_pass(door: Door) -> None:
    """LCK-2: a success is given back to the address, too."""
    found = [await door.try_password("right", account=f"user-{i}") for i in range(30)]

    assert found == [200] * 30


async def test_an_attempt_that_ends_early_can_be_given_back(door: Door) -> None:
    """LCK-2: the hash queue was full, say; nobody guessed anything."""
    for _ in range(30):
        attempt = await door.guard.reserve(account="ada", address="192.0.2.1")
        await door.guard.give_back(attempt)

    assert await door.try_password("right") == 200


async def test_a_refusal_names_no_counter(door: Door) -> None:
    """Rule 3: known or unknown, locked or limited: one answer."""
    for _ in range(5):
        await door.try_password("wrong")

    with pytest.raises(RateLimitedError) as refused:
        await door.guard.reserve(account="ada", address="192.0.2.1")

    headers = refused.value.headers or {}
    assert headers["RateLimit-Policy"] == '"login";q=5;w=300'
    assert headers["RateLimit"] == f'"login";r=0;t={headers["Retry-After"]}'


async def test_names_are_not_stored(valkey_server: ValkeyServer) -> None:
    """Rule 2: people type passwords into the name field."""
    limiter = RateLimiter(valkey_server.uri)
    await LoginGuard(limiter.service, KEYS).reserve(account="Hunter2", address="192.0.2.1")
    await limiter.aclose()

    with valkey_server.client() as client:
        assert not [key for key in client.keys("*") if b"unter2" in key]


@pytest.mark.parametrize("per_account", ["5/5 minutes", ""])
async def test_without_a_store_nobody_is_let_in_uncounted(per_account: str) -> None:
    """Rule 5."""
    limiter = RateLimiter(f"valkey://127.0.0.1:{free_port()}")
    guard = LoginGuard(limiter.service, KEYS, per_account=per_account)

    with pytest.raises(TemporarilyUnavailableError):
        await guard.reserve(account="ada", address="192.0.2.1")
    await limiter.aclose()


async def test_a_limit_can_be_switched_off(clock: FrozenClock) -> None:
    """The empty string in the settings."""
    guard = LoginGuard(RateLimiter(clock=clock).service, KEYS, per_address="", per_account="")
    for _ in range(50):
        await guard.failed(await guard.reserve(account="ada", address="192.0.2.1"))


def test_a_guard_needs_a_key() -> None:
    """Names and cookies hang on it."""
    with pytest.raises(ValueError, match="key"):
        LoginGuard(RateLimiter().service, [])


def test_the_lock_doubles_up_to_its_longest() -> None:
    """30 s, 1 min, 2 min ... 1 h."""
    found = [lock_length(strikes, LockRule()) // 1000 for strikes in (1, 2, 3, 7, 8, 9, 10**6)]

    assert found == [30, 60, 120, 1920, 3600, 3600, 3600]


def test_a_device_cookie_is_signed_dated_and_bound(clock: FrozenClock) -> None:
    """LCK-3: anything but the genuine cookie of this account is no known device."""
    cookie = make_device_cookie(KEYS, account="ada", at=clock())
    version, device, issued, mac = cookie.split(".")

    def known(text: str, keys: list[bytes] = KEYS, account: str = "ada", days: float = 0) -> object:
        return known_device(text, keys, account=account, at=clock() + timedelta(days=days))

    assert known(cookie) == device
    assert known(cookie, keys=[b"new" * 16, *KEYS]) == device
    assert known(cookie, days=179) == device
    assert known(make_device_cookie(KEYS, account="ada", at=clock(), device=device)) == device
    assert known(cookie, account="eve") is None
    assert known(cookie, keys=[b"other" * 8]) is None
    assert known(cookie, days=180) is None
    assert known(cookie, days=-1) is None
    for forged in (
        "",
        "v1",
        "💥",
        cookie + "0",
        cookie.upper(),
        f"v2.{device}.{issued}.{mac}",
        f"{version}.{device}.{int(issued) + 1}.{mac}",
        f"{version}.{device[::-1]}.{issued}.{mac}",
        f"{version}.{device}.{issued}.{'0' * 64}",
        f"{version}.{device}.0{issued}.{mac}",
    ):
        assert known(forged) is None

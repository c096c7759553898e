"""Guessing passwords: counted before the hash, on every route, and never turned against the owner."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.primitives.passwords import TEST_ONLY, PasswordHasher, PasswordVerdict
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import ORIGIN, PASSWORD, SECRET, make_app


class _CountingHasher(PasswordHasher):
    checks = 0

    def check(self, *args: Any, **words: Any) -> PasswordVerdict:
        self.checks += 1
        return super().check(*args, **words)


@pytest.fixture
def hasher() -> _CountingHasher:
    """Counts what reaches it."""
    return _CountingHasher(TEST_ONLY, legacy_iterations=1)


@pytest.fixture
def auth_of_app(database: Engine[Any], clock: FrozenClock, hasher: _CountingHasher) -> Auth[User]:
    """The default limits."""
    del database
    settings = AuthSettings(secret_keys=[SECRET], trusted_proxies=["10.0.0.0/8"])
    return Auth(settings, user_table=User, clock=clock, hasher=hasher)


@pytest.fixture
async def app(auth_of_app: Auth[User]) -> FastAPI:
    """Alice and Bob."""
    app = make_app(auth_of_app)
    for name in ("alice", "bob"):
        account = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        assert (await at(app).post("/auth/register", json=account)).status_code == 201
    return app


def at(app: FastAPI, address: str = "192.0.2.1") -> AsyncClient:
    """A browser at an address."""
    return AsyncClient(transport=ASGITransport(app, client=(address, 5000)), base_url=ORIGIN)


async def guess(client: AsyncClient, name: str = "alice", password: str = "wrong") -> Response:  # noqa: S107 - a wrong one
    """Try to log in."""
    return await client.post("/auth/login", json={"username": name, "password": password})


def statuses(answers: Sequence[Response]) -> list[int]:
    """In order."""
    return sorted(answer.status_code for answer in answers)


async def test_of_a_hundred_parallel_guesses_five_reach_the_hasher(
    app: FastAPI, hasher: _CountingHasher
) -> None:
    """LCK-2: counted before the hash; the rest are told when to come back."""
    answers = await asyncio.gather(*(guess(at(app, f"192.0.2.{n}")) for n in range(100)))

    assert hasher.checks == 5
    assert statuses(answers) == [401] * 5 + [429] * 95
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["detail"]["code"] == "rate_limited"
    assert int(refused.headers["retry-after"]) > 0


async def test_five_parallel_log_ins_of_the_owner_all_pass(app: FastAPI) -> None:
    """LCK-2: a right password gives its attempt back."""
    for _ in range(3):
        answers = await asyncio.gather(*(guess(at(app), password=PASSWORD) for _ in range(5)))
        assert statuses(answers) == [200] * 5


async def test_an_unknown_name_is_counted_like_a_known_one(app: FastAPI) -> None:
    """ENU-1: the same statuses in the same order, by username or by address."""
    unknown = [await guess(at(app, f"192.0.2.{n}"), "nobody") for n in range(7)]
    known = [
        await guess(at(app, f"192.0.2.{n + 100}"), ("bob", "bob@example.com")[n % 2])
        for n in range(7)
    ]

    assert (
        [a.status_code for a in unknown] == [a.status_code for a in known] == [401] * 5 + [429] * 2
    )


@pytest.mark.parametrize("spelling", ["ALICE", "Alice", " alice ", "ａｌｉｃｅ"])
async def test_a_second_spelling_does_not_tell_who_exists(app: FastAPI, spelling: str) -> None:
    """ENU-1: a used-up name is used up in every spelling, whether it means somebody, or in that spelling nobody."""
    for name in ("alice", "nobody"):
        for number in range(5):
            assert (await guess(at(app, f"192.0.2.{number}"), name)).status_code == 401
    other = (
        spelling.replace("alice", "nobody").replace("ALICE", "NOBODY").replace("Alice", "Nobody")
    )
    other = other.replace("ａｌｉｃｅ", "ｎｏｂｏｄｙ")

    known, unknown = [
        await guess(at(app, f"198.51.100.{n}"), name) for n, name in enumerate((spelling, other))
    ]

    assert known.status_code == unknown.status_code == 429
    assert known.headers["retry-after"] == unknown.headers["retry-after"]
    assert known.json() == unknown.json()


async def test_a_second_account_does_not_free_the_first(app: FastAPI) -> None:
    """LCK-6: whoever owns a name that differs in case only resets nothing of the other's by logging in."""
    # Nobody can sign up with such a name; rows that other code wrote may have one.
    await User(username="ALICE", email="mallory@example.com", password=PASSWORD, active=True).save()
    found = []
    for number in range(10):
        found.append((await guess(at(app, f"198.51.100.{number}"))).status_code)
        await guess(at(app, f"203.0.113.{number}"), "ALICE", PASSWORD)

    assert found == [401] * 5 + [429] * 5


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # it is about memory
@pytest.mark.timeout(180)
async def test_filling_the_memory_of_other_limits_opens_no_lock(
    app: FastAPI, auth_of_app: Auth[User], clock: FrozenClock
) -> None:
    """LCK-3, NET-3: counters of the application's limits, however many and however full, push out none of a log-in."""
    for number in range(5):
        await guess(at(app, f"192.0.2.{number}"))

    for number in range(110_000):
        await auth_of_app.limiter.hit("1/year", key=str(number), bucket="b")

    clock.move(timedelta(seconds=40))  # the lock is over; it is the counter that refuses
    assert (await guess(at(app, "198.51.100.1"), password=PASSWORD)).status_code == 429


async def test_spraying_from_one_address_is_stopped(app: FastAPI, clock: FrozenClock) -> None:
    """LCK-1, NET-1, NET-2: 500 names from one /64, whatever a header claims; another address is not."""
    answers = []
    for number in range(50):
        client = at(app, f"2001:db8:1:2::{number:x}")
        client.headers["X-Forwarded-For"] = f"198.51.100.{number}"
        answers.append(await guess(client, f"user{number}"))

    assert statuses(answers) == [401] * 20 + [429] * 30
    assert (await guess(at(app), "alice", PASSWORD)).status_code == 200
    clock.move(timedelta(minutes=2))
    assert (await guess(at(app, "2001:db8:1:2::1"), "alice", PASSWORD)).status_code == 200


async def test_behind_a_trusted_proxy_people_are_told_apart(app: FastAPI) -> None:
    """NET-1: the proxy's header counts, and is what the session shows."""
    proxy = at(app, "10.1.2.3")
    for number in range(30):
        answer = await guess(proxy, f"user{number}", "wrong") if number % 2 else None
        assert answer is None or answer.status_code == 401
    shown = await proxy.post(
        "/auth/login",
        json={"username": "alice", "password": PASSWORD},
        headers={"X-Forwarded-For": "1.1.1.1, 203.0.113.9"},
    )

    assert shown.json()["session"]["ip"] == "203.0.113.9"


async def test_an_owner_on_a_known_device_is_not_locked_out(
    app: FastAPI, clock: FrozenClock
) -> None:
    """LCK-3: strangers use up the account, its owner's browser still gets in; elsewhere the lock ends by itself."""
    owner = at(app, "192.0.2.50")
    assert (await guess(owner, password=PASSWORD)).status_code == 200
    assert "__Host-session-device" in owner.cookies
    for number in range(20):
        await guess(at(app, f"198.51.100.{number}"))
    assert (await guess(at(app, "192.0.2.51"), password=PASSWORD)).status_code == 429

    assert (await guess(owner, password=PASSWORD)).status_code == 200
    clock.move(timedelta(minutes=10))
    assert (await guess(at(app, "192.0.2.51"), password=PASSWORD)).status_code == 200


async def test_one_s_own_success_does_not_refill_the_address(app: FastAPI) -> None:
    """LCK-5: log-ins of an own account between guesses at others."""
    client = at(app)
    answers = []
    for number in range(25):
        answers.append(await guess(client, f"user{number}"))
        await guess(client, "bob", PASSWORD)

    assert statuses(answers) == [401] * 20 + [429] * 5


@pytest.mark.parametrize("route", ["token", "reauthenticate", "change", "delete"])
async def test_every_route_that_checks_a_password_is_limited(app: FastAPI, route: str) -> None:
    """LCK-7: the same counters wherever a password is checked."""
    client = at(app)
    await guess(client, password=PASSWORD)

    async def attempt() -> Response:
        if route == "token":
            form = {"grant_type": "password", "username": "alice", "password": "wrong"}
            return await at(app).post("/auth/token", data=form)
        if route == "reauthenticate":
            return await client.post("/auth/reauthenticate", json={"password": "wrong"})
        if route == "change":
            body = {"current_password": "wrong", "new_password": "a mule in the larder"}
            return await client.post("/auth/password/change", json=body)
        return await client.request("DELETE", "/auth/me", json={"password": "wrong"})

    answers = [(await attempt()).status_code for _ in range(7)]

    assert answers == [400 if route == "token" else 401] * 5 + [429] * 2
    # A known device has used up its own counter, a stranger the account's: the same one that log-in looks at.
    elsewhere = at(app, "203.0.113.1") if route == "token" else client
    assert (await guess(elsewhere, password=PASSWORD)).status_code == 429


async def test_counters_that_cannot_be_reached_let_nobody_in(
    database: Engine[Any], hasher: _CountingHasher
) -> None:
    """FLT-3: 503 and not an unlimited pass."""
    del database
    settings = AuthSettings(secret_keys=[SECRET], rate_limit_storage="redis://127.0.0.1:1")
    client = at(make_app(Auth(settings, hasher=hasher)))

    answer = await guess(client)

    assert (answer.status_code, hasher.checks) == (503, 0)
    assert int(answer.headers["retry-after"]) >= 1


def test_a_misspelt_login_limit_refuses_to_start() -> None:
    """Not logged: raised."""
    with pytest.raises(ValueError, match="5/minuet"):
        Auth(AuthSettings(secret_keys=[SECRET], login_limit_per_ip="5/minuet"))

"""What is written when something happens: complete, once, with the change or not at all."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.audit.event import Event
from piccolo_fastapi_auth.audit.tables import AuthEvent
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import (
    PASSWORD,
    Browsers,
    Person,
    bearer,
    get_tokens,
    log_in,
    refresh,
)

STRICT = {"login_limit_per_ip": "", "login_limit_per_account": "2/5 minutes"}
BROWSER = "Mozilla/5.0 (X11)"


async def trail(auth: Auth[User]) -> list[Event]:
    """Everything that happened, oldest first."""
    return (await auth.events.all(before=None, limit=1000))[::-1]


async def actions(auth: Auth[User]) -> list[str]:
    """What happened, oldest first."""
    return [event.action for event in await trail(auth)]


async def test_a_log_in_says_who_from_where_and_how(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """AUD-1: UTC time, actor, target, address, browser, session, factor, outcome, request id."""
    headers = {"User-Agent": BROWSER, "X-Request-ID": "req-77"}
    body = {"username": "alice", "password": PASSWORD}
    answer = await client.post("/auth/login", json=body, headers=headers)

    event = (await trail(auth))[-1]

    assert event == Event(
        id=event.id, at=clock(), action="login.succeeded", outcome="success", user=alice.id, actor=alice.id,
        session_id=event.session_id, ip="127.0.0.1", user_agent=BROWSER, method="password",
        request_id="req-77", detail={"transport": "cookie"},
    )  # fmt: skip
    assert str(event.session_id) == answer.json()["session"]["id"]


@pytest.mark.parametrize("sent", ["", "two words", "x" * 65, "a\tb"])
async def test_a_request_id_that_is_not_well_formed_is_replaced(
    auth: Auth[User], client: AsyncClient, alice: Person, sent: str
) -> None:
    """AUD-4: what the client sends goes into the trail only when it is an id."""
    body = {"username": alice.username, "password": PASSWORD}
    await client.post("/auth/login", json=body, headers={"X-Request-ID": sent})

    assert len(str((await trail(auth))[-1].request_id)) == 32


async def test_a_failed_log_in_keeps_nothing_that_was_typed(
    auth: Auth[User], client: AsyncClient, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """AUD-3: people type passwords into the field for names; known or not, only the key is kept."""
    caplog.set_level(logging.DEBUG, logger="piccolo_fastapi_auth")
    for name in ("alice", "hunter2-typed-as-name\r\n\x1b[2J"):
        body = {"username": name, "password": "wrong but remembered"}
        assert (await client.post("/auth/login", json=body)).status_code == 401

    known, unknown = (await trail(auth))[-2:]

    assert (known.action, known.outcome, known.user, known.actor) == (
        "login.failed", "failure", alice.id, None,
    )  # fmt: skip
    assert (unknown.action, unknown.user) == ("login.failed", None)
    rows = str(await AuthEvent.select())
    for typed in ("hunter2", "wrong but"):
        assert typed not in rows
        assert typed not in str([vars(one) for one in caplog.records])


@pytest.mark.parametrize("settings_changes", [STRICT])
async def test_a_lock_and_its_end_are_recorded(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """AUD-1: the failure that locks leaves both; the next full log-in says that the lock is forgotten."""
    for _ in range(2):
        await client.post("/auth/login", json={"username": "alice", "password": "wrong"})
    clock.move(timedelta(minutes=6))
    await log_in(client, alice)
    await log_in(client, alice)

    assert await actions(auth) == [
        "user.registered", "login.failed", "login.failed", "login.locked",
        "login.succeeded", "login.unlocked", "login.succeeded",
    ]  # fmt: skip
    assert {event.user for event in await trail(auth)} == {alice.id}


async def test_a_reused_refresh_token_leaves_one_event(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """AUD-2: the reuse is named; the end of the session is part of it."""
    tokens = await get_tokens(client, alice)
    await refresh(client, tokens["refresh_token"])
    clock.move(timedelta(minutes=1))
    for _ in range(2):
        assert (await refresh(client, tokens["refresh_token"])).status_code == 401

    assert await actions(auth) == ["user.registered", "login.succeeded", "token.reused"]
    event = (await trail(auth))[-1]
    assert (event.outcome, event.user, event.actor) == ("failure", alice.id, None)


async def test_a_forgery_is_recorded_with_its_victim_and_not_without_end(
    auth: Auth[User], app: FastAPI, client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """AUD-2: on any route, by guard and middleware alike; strangers cannot fill the table with it."""
    del app
    await log_in(client, alice)
    evil = {"Origin": "https://evil.test"}
    assert (await client.post("/user", headers=evil)).status_code == 403
    event = (await trail(auth))[-1]
    assert (event.action, event.outcome, event.user) == ("csrf.refused", "failure", alice.id)
    before = len(await trail(auth))
    client.cookies.clear()
    for _ in range(30):
        refused = await client.post("/public", headers={**evil, "Cookie": "__Host-session=x"})
        assert refused.status_code == 403
    assert len(await trail(auth)) - before < 10
    clock.move(timedelta(minutes=2))
    body = {"username": "alice", "password": PASSWORD}
    assert (await client.post("/auth/login", json=body, headers=evil)).status_code == 403
    event = (await trail(auth))[-1]
    assert (event.action, event.user) == ("csrf.refused", None)


async def test_a_deleted_person_leaves_no_personal_data(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """Events stay, their keys, addresses and browsers go; the hook still learns whose account it was."""
    told: list[Event] = []
    auth.on("user.deleted", told.append)
    await log_in(client, alice)
    await client.request("DELETE", "/auth/me", json={"password": PASSWORD})

    events = await trail(auth)

    assert [event.action for event in events] == [
        "user.registered", "login.succeeded", "user.deleted",
    ]  # fmt: skip
    for event in events:
        assert (event.user, event.actor, event.ip, event.user_agent) == (None, None, None, None)
    assert [event.user for event in told] == [alice.id]
    assert "alice" not in str(await AuthEvent.select())


async def test_a_change_that_is_rolled_back_leaves_no_event(
    auth: Auth[User], alice: Person
) -> None:
    """AUD-1: no row and no call of a hook; and what is committed is told only after its commit."""
    told: list[int] = []

    async def hook(event: Event) -> None:
        assert not auth.events._database.engine.transaction_exists()
        told.append(event.id)

    auth.on(None, hook)
    before = await actions(auth)
    with pytest.raises(RuntimeError):
        await _begin_and_fail(auth, alice)

    assert await actions(auth) == before
    assert told == []
    async with auth.events._database.atomic():
        await auth.events.record("session.ended", user=alice.id)
        assert told == []
    assert len(told) == 1


async def _begin_and_fail(auth: Auth[User], person: Person) -> None:
    async with auth.events._database.atomic():
        await auth.events.record("session.ended", user=person.id)
        raise RuntimeError


async def test_a_failing_hook_breaks_nothing(
    auth: Auth[User], client: AsyncClient, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """Sync or async, of one action or of all; the others are called all the same."""
    told: list[str] = []

    async def fails(event: Event) -> None:
        raise LookupError(event.action)

    def fails_too(_: Event) -> None:
        raise LookupError

    auth.on(None, fails)
    auth.on("login.succeeded", fails_too)
    auth.on("login.succeeded", lambda event: told.append(event.action))
    auth.on("login.failed", lambda event: told.append(event.action))

    await log_in(client, alice)

    assert told == ["login.succeeded"]
    assert len([one for one in caplog.records if "hook" in one.message]) == 2


async def test_the_log_has_the_same_event_as_attributes(
    auth: Auth[User], client: AsyncClient, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """AUD-1, AUD-3: one structured record an event, warnings for failures, no secret in any attribute."""
    caplog.set_level(logging.INFO, logger="piccolo_fastapi_auth.audit")
    answer = await log_in(client, alice)
    await client.post("/auth/login", json={"username": "alice", "password": "wrong"})

    records = [one for one in caplog.records if one.name == "piccolo_fastapi_auth.audit"]

    assert [one.levelname for one in records] == ["INFO", "WARNING"]
    event = (await trail(auth))[-2]
    assert vars(records[0])["event_id"] == event.id
    assert vars(records[0])["user"] == alice.id
    assert vars(records[0])["detail"] == {"transport": "cookie"}
    everything = str([vars(one) for one in records])
    assert answer.cookies["__Host-session"] not in everything
    assert PASSWORD not in everything


@pytest.fixture(scope="module")
def reader() -> InMemoryMetricReader:
    """The SDK of OpenTelemetry, set up as an application does it: once a process."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader


async def test_the_counter_counts_when_an_sdk_is_there(
    auth: Auth[User], client: AsyncClient, alice: Person, reader: InMemoryMetricReader
) -> None:
    """OpenTelemetry through its API package alone, by action and outcome."""
    del auth
    before = _counted(reader, "login.succeeded")
    await log_in(client, alice)

    assert _counted(reader, "login.succeeded") == before + 1


def _counted(reader: InMemoryMetricReader, action: str) -> int:
    data: Any = reader.get_metrics_data()
    return sum(
        point.value
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if metric.name == "auth.events" and point.attributes["auth.action"] == action
    )


async def test_old_events_are_cleaned_away(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """Retention: by age, and the number is returned."""
    clock.move(timedelta(days=90))
    await log_in(client, alice)

    assert await auth.events.clean(older_than=timedelta(days=30)) == 1
    assert await actions(auth) == ["login.succeeded"]


async def test_ending_sessions_leaves_one_event_each_time(
    auth: Auth[User], new_browser: Browsers, alice: Person
) -> None:
    """One event a request, with how many sessions it ended; a request that ends none leaves none."""
    one, two, three = new_browser(), new_browser(), new_browser()
    for browser in (one, two):
        await log_in(browser, alice)
    tokens = await get_tokens(three, alice)
    before = len(await trail(auth))
    assert (await one.delete("/auth/sessions")).status_code == 204
    assert (await one.delete("/auth/sessions")).status_code == 204
    assert (await one.post("/auth/logout")).status_code == 204
    assert (await one.post("/auth/logout")).status_code == 204
    tokens = await get_tokens(three, alice)
    for _ in range(2):
        await three.post("/auth/logout", headers=bearer(tokens))
    tokens = await get_tokens(three, alice)
    for _ in range(2):
        await three.post("/auth/token/revoke", data={"token": tokens["refresh_token"]})

    found = [(event.action, dict(event.detail)) for event in (await trail(auth))[before:]]

    log_in_event = ("login.succeeded", {"transport": "bearer"})
    assert found == [
        ("session.ended", {"reason": "revoked", "sessions_ended": "2"}),
        ("session.ended", {"reason": "logout"}),
        log_in_event,
        ("session.ended", {"reason": "logout"}),
        log_in_event,
        ("session.ended", {"reason": "revoked"}),
    ]

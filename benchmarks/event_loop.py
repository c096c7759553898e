"""What others feel while people log in: ``GET /ping`` every 5 ms beside four log-in loops (PWD-8).

A ping's time begins when it is due, so it holds what a request waits for the event loop. Everybody hashes at
the same Argon2 parameters, except for those that have another hash. With our hash queue full, the overflow
is refused with 503 and the pings go on.
"""

import asyncio
import contextlib
import random  # noqa: TID251 - the order of variants, no secret
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.asgi import Call, send
from benchmarks.peer import OURS, OWASP, PASSWORD, RFC_9106, Argon2, contestants, protected_by
from benchmarks.peers.ours import open_auth, sign_up
from benchmarks.places import Places
from benchmarks.report import Run

LOOPS = 4
EVERY = 0.005
MOST_P99_MS = 5.0
LEAST_P99_BELOW, LEAST_RATE = 100.0, 1.3
OTHER_HASH = {"piccolo-api": "PBKDF2, 600,000 rounds", "crudauth": "bcrypt, cost 12"}
IDLE = "nobody logs in"


@dataclass
class Seen:
    """Pings in milliseconds, log-ins by status, and for how long."""

    pings: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)

    def percentile(self, percent: int) -> float:
        """Return a percentile of the pings, in milliseconds."""
        ordered = sorted(self.pings)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]

    @property
    def rate(self) -> float:
        """Log-ins a second."""
        return statistics.median(self.rates)

    def row(self, name: str) -> list[str]:
        """The line of a table."""
        return [
            name,
            f"{self.rate:.1f}" if self.answers else "",
            *(f"{self.percentile(percent):.1f}" for percent in (50, 99)),
            f"{max(self.pings):.1f}",
        ]


async def main(run: Run) -> None:
    """Measure at two costs, then the flood."""
    rounds, seconds = (1, 0.6) if run.quick else (4, 4.0)
    users = [one for one in contestants()[0] if one.LOGS_IN]
    run.expect(rounds * (1 + len(users)) + rounds * (1 + len(users) - len(OTHER_HASH)) + 1)
    with Places() as places:
        for argon2 in (OWASP, RFC_9106):
            async with contextlib.AsyncExitStack() as stack:
                calls: dict[str, Call | None] = {IDLE: None}
                for one in users:
                    if argon2 == OWASP or one.NAME not in OTHER_HASH:
                        place = await places.new("SQLite")
                        peer = await stack.enter_async_context(one.running(place, argon2))
                        calls[peer.name] = peer.log_in
                found = await _race(run, calls, rounds, seconds)
            _tell(run, argon2, found)
        await _flood(run, places, seconds)


async def _race(
    run: Run, calls: dict[str, Call | None], rounds: int, seconds: float
) -> dict[str, Seen]:
    found = {name: Seen() for name in calls}
    for _ in range(rounds):
        for name in random.sample(list(calls), len(calls)):
            await _watch(found[name], calls[name], LOOPS, seconds)
            run.step()
    return found


async def _watch(seen: Seen, log_in: Call | None, loops: int, seconds: float) -> None:
    ping = Call(protected_by())
    begun = time.perf_counter()
    good = seen.answers[200]

    async def keep_logging_in(call: Call) -> None:
        while time.perf_counter() < begun + seconds:
            answer = await send(call)
            seen.answers[answer.status] += 1
            if answer.status == 503:
                await asyncio.sleep(0.05)

    async def keep_pinging() -> None:
        while (now := time.perf_counter()) < begun + seconds:
            await asyncio.sleep(EVERY)
            await send(ping)
            seen.pings.append((time.perf_counter() - now - EVERY) * 1000)

    busy = [keep_logging_in(log_in) for _ in range(loops)] if log_in else []
    await asyncio.gather(keep_pinging(), *busy)
    seen.rates.append((seen.answers[200] - good) / (time.perf_counter() - begun))


COLUMNS: Sequence[str] = ("", "log-ins/s", "ping p50, ms", "p99", "longest")


def _tell(run: Run, argon2: Argon2, found: dict[str, Seen]) -> None:
    rows = [
        seen.row(f"{name} ({OTHER_HASH[name]})" if name in OTHER_HASH else name)
        for name, seen in found.items()
    ]
    run.findings.table(f"{LOOPS} log-ins at a time, Argon2id {argon2}", COLUMNS, rows)
    ours, theirs = found[OURS], found.get("fastapi-users")
    judge = run.findings
    if argon2 == OWASP:
        judge.at_most(f"Ping p99 beside log-ins, {argon2}", ours.percentile(99), MOST_P99_MS, " ms")
    if theirs:
        what = f"Ping p99 of fastapi-users over ours, {argon2}"
        judge.at_least(what, theirs.percentile(99) / ours.percentile(99), LEAST_P99_BELOW)
        what = f"Log-ins a second, ours over fastapi-users, {argon2}"
        judge.at_least(what, ours.rate / theirs.rate, LEAST_RATE)


async def _flood(run: Run, places: Places, seconds: float) -> None:
    place, changes = await places.new("SQLite"), {"hash_concurrency": 2, "hash_queue": 2}
    seen = Seen()
    async with open_auth(place, OWASP, changes=changes) as (_, app):
        await sign_up(app, "alice")
        body = {"username": "alice", "password": PASSWORD}
        await _watch(seen, Call.posting(app, "/auth/login", data=body), 50, seconds)
    run.step()
    refused = seen.answers[503]
    run.findings.table(
        "50 log-ins at a time, with a queue of 2",
        [*COLUMNS, "refused with 503"],
        [[*seen.row(OURS), str(refused)]],
    )
    run.findings.at_least("Log-ins refused when the hash queue is full", refused, 1)

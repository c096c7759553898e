"""A protected GET: what each way of saying who asks adds to a bare FastAPI endpoint."""

import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import replace

from benchmarks.asgi import Call, broken, expect
from benchmarks.peer import (
    API_KEY,
    CHEAPEST,
    JWT,
    JWT_USER,
    OURS,
    SESSION,
    Peer,
    contestants,
    protected_by,
    trivial,
)
from benchmarks.places import Kind, Places
from benchmarks.report import Bars, Run
from benchmarks.rounds import Operation, Rounds, race

BARE, TRIVIAL = "bare", "trivial dependency"
KINDS: tuple[Kind, ...] = ("SQLite", "PostgreSQL")
IN_FLIGHT = (1, 16)
REFUSED = "JWT, refused"
# How many times less overhead than whom, 16 in flight.
LEAST_SPEED_UP = {
    (JWT_USER, "SQLite"): {"piccolo-api": 12, "fastapi-users": 16},
    (SESSION, "SQLite"): {"piccolo-api": 20},
    (SESSION, "PostgreSQL"): {"piccolo-api": 3},
}
MOST_OVER_BARE = {(JWT_USER, "SQLite"): 100, (SESSION, "SQLite"): 100, (SESSION, "PostgreSQL"): 180}
MODEL_BARE = 55.0  # microseconds of the bare endpoint on the machine that the targets were set on


async def main(run: Run) -> None:
    """Measure without a database, then over each."""
    _, run.findings.missing = contestants()
    run.expect(run.plan.steps * (2 + 3 * len(KINDS) * len(IN_FLIGHT)))
    with Places() as places:
        for kind in KINDS:
            async with _all(places, kind) as peers:
                if kind == KINDS[0]:
                    await _without_database(run, peers)
                for way in (JWT_USER, SESSION, API_KEY):
                    await _with_database(run, peers, way, kind)


@contextlib.asynccontextmanager
async def _all(places: Places, kind: Kind) -> AsyncIterator[list[Peer]]:
    """Run every contestant, each over a database of its own."""
    async with contextlib.AsyncExitStack() as stack:
        found, _ = contestants()
        yield [
            await stack.enter_async_context(one.running(await places.new(kind), CHEAPEST))
            for one in found
        ]


def _calls(peers: list[Peer], way: str) -> dict[str, Call]:
    """Return the requests of one way, ours first."""
    calls = {peer.name: peer.ways[way] for peer in peers if way in peer.ways}
    for peer in peers:
        calls |= {name: ways[way] for name, ways in peer.more.items() if way in ways}
    return calls


async def _race(run: Run, calls: dict[str, Call], in_flight: int, *, good: bool = True) -> Rounds:
    """Measure requests beside the bare endpoint and the trivial dependency."""
    statuses = (200,) if good else (400, 401, 403, 422)
    operations: dict[str, Operation] = {
        BARE: functools.partial(expect, Call(protected_by()), 200),
        TRIVIAL: functools.partial(expect, Call(protected_by(trivial)), 200),
    }
    operations |= {name: functools.partial(expect, call, *statuses) for name, call in calls.items()}
    return await race(operations, run.plan, in_flight=in_flight, step=run.step)


async def _without_database(run: Run, peers: list[Peer]) -> None:
    calls = _calls(peers, JWT)
    accepted = await _race(run, calls, 1)
    refused = await _race(
        run,
        {name: replace(call, headers=broken(call.headers)) for name, call in calls.items()},
        1,
        good=False,
    )
    run.findings.table(
        "JWT without a database, one request at a time",
        ["", "µs over bare", "x bare", "x a trivial dependency", "refused: µs over bare"],
        [
            [name, *_figures(accepted, name), f"{refused.over(name, BARE):.0f}"]
            for name in sorted(accepted, key=accepted.median)
            if name != BARE
        ],
        note=f"The bare endpoint takes {accepted.median(BARE):.0f} µs.",
    )
    run.findings.bars.append(_bars(accepted, "JWT, no database"))
    _judge_jwt(run, accepted, refused)


def _figures(rounds: Rounds, name: str) -> list[str]:
    return [
        f"{rounds.over(name, BARE):.0f}",
        f"{rounds.ratio(name, BARE):.2f}",
        f"{_overhead_ratio(rounds, name, TRIVIAL):.1f}",
    ]


def _overhead_ratio(rounds: Rounds, name: str, base: str) -> float:
    """How many times the overhead of another one has; medians first, because one round's may be near nothing."""
    return rounds.over(name, BARE) / max(rounds.over(base, BARE), 0.1)


def _bars(rounds: Rounds, title: str) -> Bars:
    return Bars(title, {name: rounds.over(name, BARE) for name in rounds if name != BARE})


def _judge_jwt(run: Run, accepted: Rounds, refused: Rounds) -> None:
    judge = run.findings
    judge.at_most(
        "JWT: times a trivial dependency's overhead",
        _overhead_ratio(accepted, OURS, TRIVIAL),
        3.2,
    )
    for other, least in (("fastapi-users", 10), ("authx", 10), ("fastapi-login", 1.8)):
        if other in accepted:
            ratio = _overhead_ratio(accepted, other, OURS)
            judge.at_least(f"JWT: overhead of {other} over ours", ratio, least)
    judge.at_most(
        "JWT: a refusal against an acceptance",
        refused.over(OURS, BARE) / accepted.over(OURS, BARE),
        1.0,
    )


async def _with_database(run: Run, peers: list[Peer], way: str, kind: Kind) -> None:
    calls = _calls(peers, way)
    if OURS not in calls:
        for _ in range(run.plan.steps * len(IN_FLIGHT)):
            run.step()
        return
    one, many = [await _race(run, calls, number) for number in IN_FLIGHT]
    run.findings.table(
        f"{way}, {kind}",
        ["", "µs over bare, 1 in flight", "16 in flight", "x bare, 1", "x bare, 16"],
        [
            [
                name,
                *(f"{rounds.over(name, BARE):.0f}" for rounds in (one, many)),
                *(f"{rounds.ratio(name, BARE):.1f}" for rounds in (one, many)),
            ]
            for name in sorted(many, key=many.median)
            if name not in {BARE, TRIVIAL}
        ],
        note=f"The bare endpoint takes {one.median(BARE):.0f} µs; {many.median(BARE):.0f} µs with 16 in flight.",
    )
    run.findings.bars.append(_bars(many, f"{way}, {kind}, 16 in flight"))
    if bound := MOST_OVER_BARE.get((way, kind)):
        scale = MODEL_BARE / many.median(BARE)
        what = f"{way}, {kind}: µs over bare where bare is {MODEL_BARE:.0f}"
        run.findings.at_most(what, many.over(OURS, BARE) * scale, bound)
    for other, least in LEAST_SPEED_UP.get((way, kind), {}).items():
        if other in many:
            ratio = _overhead_ratio(many, other, OURS)
            run.findings.at_least(f"{way}, {kind}: overhead of {other} over ours", ratio, least)

"""Exchanging a refresh token: ours rotates it, with one conditional update; the others' stay as they are."""

import contextlib

from benchmarks.peer import CHEAPEST, Peer, contestants
from benchmarks.places import Kind, Places
from benchmarks.report import Run
from benchmarks.rounds import Operation, Rounds, race

KINDS: tuple[Kind, ...] = ("SQLite", "PostgreSQL")
IN_FLIGHT = (1, 16)


async def main(run: Run) -> None:
    """Measure whoever has refresh tokens."""
    run.expect(len(KINDS) * len(IN_FLIGHT) * run.plan.steps)
    with Places() as places:
        for kind in KINDS:
            async with contextlib.AsyncExitStack() as stack:
                peers = [
                    await stack.enter_async_context(one.running(await places.new(kind), CHEAPEST))
                    for one in contestants()[0]
                    if one.REFRESHES
                ]
                await _measure(run, kind, peers)


async def _measure(run: Run, kind: Kind, peers: list[Peer]) -> None:
    operations: dict[str, Operation] = {peer.name: peer.refresh for peer in peers if peer.refresh}
    one, many = [
        await race(operations, run.plan, in_flight=number, step=run.step) for number in IN_FLIGHT
    ]
    run.findings.table(
        f"Refresh, {kind}, µs a request",
        ["", "1 in flight", "16 in flight", "new refresh token", "reads the person"],
        [
            [name, _figure(one, name), _figure(many, name), *_DOES.get(name, ("no", "no"))]
            for name in operations
        ],
    )


_DOES = {"ours": ("yes", "yes"), "crudauth": ("no", "yes")}


def _figure(rounds: Rounds, name: str) -> str:
    return f"{rounds.median(name):,.0f}"

"""What a session and a counter weigh: bytes in the database, bytes in the process."""

import contextlib
import sqlite3
import subprocess
import sys

import asyncpg  # type: ignore[import-untyped] # it ships no types

from benchmarks.look_up import KNOWN, Rival, grow, rivals
from benchmarks.places import Kind, Place, Places
from benchmarks.report import Run

KINDS: tuple[Kind, ...] = ("SQLite", "PostgreSQL")
ROWS, QUICK_ROWS = 100_000, 5_000
COUNTERS = (
    "ours, fixed-window",
    "ours, sliding-window-counter",
    "ours, moving-window",
    "limits, fixed-window",
    "limits, sliding-window-counter",
    "limits, moving-window",
    "piccolo-api",
)


async def main(run: Run) -> None:
    """Weigh rows, then counters, each kind in a process of its own."""
    rows = QUICK_ROWS if run.quick else ROWS
    run.expect(len(KINDS) + len(COUNTERS))
    sizes: dict[str, dict[str, float]] = {}
    with Places() as places:
        for kind in KINDS:
            async with rivals(places, kind) as found:
                for rival in found:
                    before = await _bytes(rival.place, rival)
                    await grow(rival, KNOWN + rows)
                    grown = await _bytes(rival.place, rival) - before
                    sizes.setdefault(rival.name, {})[kind] = grown / rows
            run.step()
    run.findings.table(
        f"Bytes of a session in the database, indexes included ({rows:,} rows)",
        ["", *KINDS],
        [[name, *(f"{by_kind[kind]:,.0f}" for kind in KINDS)] for name, by_kind in sizes.items()],
        note="In the process, a session takes nothing: it is read when it is asked for.",
    )
    _counters(run, rows)


async def _bytes(place: Place, rival: Rival) -> int:
    if place.kind == "SQLite":
        with contextlib.closing(sqlite3.connect(place.address, timeout=60)) as file:
            pages, size = (file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))  # fmt: skip
        return int(pages * size)
    connection = await asyncpg.connect(place.address)
    try:
        return int(await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", rival.table))  # fmt: skip
    finally:
        await connection.close()


def _counters(run: Run, keys: int) -> None:
    rows = []
    for name in COUNTERS:
        command = [sys.executable, "-m", "benchmarks.counters", name, str(keys)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
        if done.returncode == 0:
            rows.append([name, *done.stdout.split()])
        run.step()
    run.findings.table(
        f"A counter in memory ({keys:,} keys, as long as those of an address)",
        ["", "bytes of a key", "µs of a new key"],
        rows,
        note="`limits` is its own memory store; piccolo-api has one fixed window for all keys.",
    )

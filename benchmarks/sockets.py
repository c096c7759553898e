"""The same over real sockets, as a check: uvicorn with one and two workers, driven by wrk where there is one."""

import asyncio
import contextlib
import random  # noqa: TID251 - the order of variants, no secret
import re
import shutil
import statistics
import time
from collections.abc import Mapping

from benchmarks.asgi import Headers
from benchmarks.peer import CHEAPEST, JWT, JWT_USER, OURS, SESSION, contestants
from benchmarks.places import Places
from benchmarks.report import Run
from tests.processes import uvicorn_server
from tests.servers import HOST

CONNECTIONS = 16
WORKERS = (1, 2)
BARE = "bare"
# Who, by which way; each must be a contestant.
CHOSEN = (
    (OURS, JWT),
    (OURS, JWT_USER),
    (OURS, SESSION),
    ("piccolo_api", JWT_USER),
    ("piccolo_api", SESSION),
    ("fastapi_users", JWT_USER),
    ("fastapi_users", SESSION),
)


async def main(run: Run) -> None:
    """Serve everybody at once, and drive one after the other."""
    rounds, seconds = (1, 0.5) if run.quick else (4, 2.5)
    present = {one.__name__.rpartition(".")[2]: one for one in contestants()[0]}
    chosen = [(name, way) for name, way in CHOSEN if name in present]
    numbers = WORKERS[:1] if run.quick else WORKERS
    if run.quick:
        chosen = chosen[2:3]
    run.expect(len(numbers) * (rounds + 1) * (len(chosen) + 1))
    by_workers: dict[int, dict[str, float]] = {}
    with Places() as places:
        requests: dict[str, tuple[dict[str, str], Headers]] = {BARE: ({}, [])}
        for name, way in chosen:
            place = await places.new("SQLite")
            async with present[name].running(place, CHEAPEST) as peer:
                label, headers = f"{peer.name}: {way}", peer.ways[way].headers
            env = {"BENCH_PEER": name, "BENCH_WAY": way, "BENCH_KIND": place.kind}
            requests[label] = ({**env, "BENCH_PLACE": place.address}, headers)
        for workers in numbers:
            by_workers[workers] = await _drive(run, requests, workers, rounds, seconds)
    _tell(run, by_workers)


async def _drive(
    run: Run,
    requests: Mapping[str, tuple[dict[str, str], Headers]],
    workers: int,
    rounds: int,
    seconds: float,
) -> dict[str, float]:
    """Return requests a second of each, with that many workers."""
    found: dict[str, list[float]] = {name: [] for name in requests}
    with contextlib.ExitStack() as stack:
        urls = {}
        for name, (env, _) in requests.items():
            quiet = {"UVICORN_ACCESS_LOG": "0", **env}
            server = uvicorn_server("benchmarks.serving:app", workers=workers, env=quiet)
            urls[name] = stack.enter_context(server)
            await _rate(urls[name], requests[name][1], 0.3)
            run.step()
        for _ in range(rounds):
            for name in random.sample(list(requests), len(requests)):
                found[name].append(await _rate(urls[name], requests[name][1], seconds))
                run.step()
    return {name: statistics.median(rates) for name, rates in found.items()}


async def _rate(url: str, headers: Headers, seconds: float) -> float:
    if wrk := shutil.which("wrk"):
        return await _by_wrk(wrk, url, headers, seconds)
    return await _by_hand(url, headers, seconds)


async def _by_wrk(wrk: str, url: str, headers: Headers, seconds: float) -> float:
    given = [word for key, value in headers for word in ("-H", f"{key.decode()}: {value.decode()}")]
    # wrk counts whole seconds only.
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s"]
    process = await asyncio.create_subprocess_exec(
        wrk, *options, *given, f"{url}/", stdout=asyncio.subprocess.PIPE
    )
    out = (await process.communicate())[0].decode()
    if "Non-2xx" in out or process.returncode:
        raise RuntimeError(out)
    found = re.search(r"Requests/sec:\s*([\d.]+)", out)
    assert found, out
    return float(found[1])


async def _by_hand(url: str, headers: Headers, seconds: float) -> float:
    """Do what wrk does, as well as Python can: write a request, read its answer, over open connections."""
    port = int(url.rpartition(":")[2])
    lines = b"".join(key + b": " + value + b"\r\n" for key, value in headers)
    request = b"GET / HTTP/1.1\r\nhost: bench\r\n" + lines + b"\r\n"
    ends_at = time.perf_counter() + seconds
    done = 0

    async def connection() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection(HOST, port)
        while time.perf_counter() < ends_at:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode())
            length = re.search(rb"content-length: (\d+)", answer)
            await reader.readexactly(int(length[1]) if length else 0)
            done += 1
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*[connection() for _ in range(CONNECTIONS)])
    return done / (time.perf_counter() - begun)


def _tell(run: Run, found: dict[int, dict[str, float]]) -> None:
    tool = "wrk" if shutil.which("wrk") else "a client of its own"
    numbers, names = list(found), list(found[1])
    run.findings.table(
        f"Over sockets: uvicorn, SQLite, {CONNECTIONS} connections, driven by {tool}",
        ["", *(f"requests/s, {one} worker{'s' * (one > 1)}" for one in numbers), "µs over bare, 1 worker"],
        [
            [name, *(f"{found[one][name]:,.0f}" for one in numbers), _over(found[1], name)]
            for name in names
        ],
        note="The client shares the cores with the workers, so a second worker helps less than it would elsewhere.",
    )  # fmt: skip


def _over(rates: dict[str, float], name: str) -> str:
    return "" if name == BARE else f"{(1 / rates[name] - 1 / rates[BARE]) * 1e6:.0f}"

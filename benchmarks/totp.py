"""Checking a one-time code: the arithmetic alone, and a whole step-up over HTTP with its writes."""

from datetime import timedelta

import pyotp

from benchmarks.asgi import Call, expect
from benchmarks.peer import CHEAPEST, PASSWORD
from benchmarks.peers.ours import open_auth, sign_up
from benchmarks.places import Kind, Places
from benchmarks.report import Run
from benchmarks.rounds import Operation, race
from piccolo_fastapi_auth import Totp
from piccolo_fastapi_auth.testing import FrozenClock

KINDS: tuple[Kind, ...] = ("SQLite", "PostgreSQL")
STEP = timedelta(seconds=30)


async def main(run: Run) -> None:
    """Measure the check by itself, then ``POST /auth/reauthenticate`` with a code."""
    run.expect((1 + len(KINDS)) * run.plan.steps)
    await _alone(run)
    with Places() as places:
        for kind in KINDS:
            await _over_http(run, places, kind)


async def _alone(run: Run) -> None:
    clock, method = FrozenClock(), Totp()
    begun = method.begin(account="alice")
    generator = pyotp.TOTP(str(begun.shown["secret"]))
    right = generator.at(clock())
    wrong = next(code for code in ("000000", "000001", "000002", "000003") if code != right)

    async def accepts() -> None:
        assert method.prove(begun.state, right, now=clock()) is not None

    async def refuses() -> None:
        assert method.prove(begun.state, wrong, now=clock()) is None

    async def stock() -> None:
        assert generator.verify(right, for_time=clock(), valid_window=1)

    operations: dict[str, Operation] = {
        "ours, right code": accepts,
        "ours, wrong code": refuses,
        "pyotp `verify`, window of 1 (no replay check)": stock,
    }
    found = await race(operations, run.plan, step=run.step)
    run.findings.table(
        "A one-time code, no database",
        ["", "µs"],
        [[name, f"{found.median(name):.0f}"] for name in operations],
    )


async def _over_http(run: Run, places: Places, kind: Kind) -> None:
    clock = FrozenClock()
    async with open_auth(await places.new(kind), CHEAPEST, clock=clock) as (auth, app):
        await sign_up(app, "alice")
        body = {"username": "alice", "password": PASSWORD}
        name = auth.settings.session_cookie
        state = {"cookie": (await expect(Call.posting(app, "/auth/login", data=body), 200)).cookie(name)}  # fmt: skip

        async def post(path: str, data: dict[str, object]) -> dict[str, object]:
            call = Call.posting(app, path, data=data)
            call.headers.append((b"cookie", state["cookie"]))
            answer = await expect(call, 200, 201)
            if any(key == b"set-cookie" for key, _ in answer.headers):
                state["cookie"] = answer.cookie(name)
            return dict(answer.json())

        begun = await post("/auth/mfa/totp", {"name": "Phone"})
        generator = pyotp.TOTP(str(begun["secret"]))
        await post("/auth/mfa/totp/confirm", {"id": begun["id"], "code": generator.at(clock())})

        async def prove() -> None:
            clock.move(STEP)  # a code counts once
            await post("/auth/reauthenticate", {"method": "totp", "code": generator.at(clock())})

        found = await race({"": prove}, run.plan, step=run.step)
    run.findings.table(
        f"A step-up with a one-time code over HTTP, {kind}",
        ["", "µs"],
        [["check the code, use it up, renew the session", f"{found.median(''):,.0f}"]],
    )

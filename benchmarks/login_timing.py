"""Can a clock tell who exists? Refused log-ins of four kinds of people, interleaved (ENU-1, ENU-3).

For each pair of kinds: the AUC of the best classifier that sees only the time. 0.5 is a coin; the target is 0.42
to 0.58 at 300 samples a kind.
"""

import secrets
import statistics
import time
from itertools import combinations

from fastapi import FastAPI
from piccolo.apps.user.tables import BaseUser

from benchmarks.asgi import Call, expect
from benchmarks.peer import OWASP, PASSWORD
from benchmarks.peers.ours import open_auth, sign_up
from benchmarks.places import Places
from benchmarks.report import Run
from piccolo_fastapi_auth import User

SAMPLES, QUICK_SAMPLES = 300, 5
LOWEST, HIGHEST = 0.42, 0.58
KINDS = {
    "unknown": ("nobody", "wrong password, wrong"),
    "wrong password": ("argon", "wrong password, wrong"),
    "inactive, right password": ("inactive", PASSWORD),
    "Piccolo's PBKDF2, wrong password": ("legacy", "wrong password, wrong"),
}


async def main(run: Run) -> None:
    """Time refusals, and tell how far a clock gets."""
    samples = QUICK_SAMPLES if run.quick else SAMPLES
    run.expect(samples)
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with Places() as places:
        async with open_auth(await places.new("SQLite"), OWASP) as (_, app):
            await _people(app)
            for _round in range(samples):
                for kind in secrets.SystemRandom().sample(list(KINDS), len(KINDS)):
                    username, password = KINDS[kind]
                    body = {"username": username, "password": password}
                    call = Call.posting(app, "/auth/login", data=body)
                    begun = time.perf_counter()
                    await expect(call, 401)
                    times[kind].append(time.perf_counter() - begun)
                run.step()
    run.findings.table(
        f"Refused log-ins, {samples} of each",
        ["", "median, ms"],
        [[kind, f"{statistics.median(taken) * 1000:.1f}"] for kind, taken in times.items()],
    )
    _judge(run, times)


async def _people(app: FastAPI) -> None:
    for username in ("argon", "inactive", "legacy"):
        await sign_up(app, username)
    await User.update({User.active: False}).where(User.username == "inactive")
    legacy = BaseUser.hash_password(PASSWORD)
    await User.update({User.password: legacy}).where(User.username == "legacy")


def _judge(run: Run, times: dict[str, list[float]]) -> None:
    pairs = list(combinations(KINDS, 2))
    scores = [auc(times[one], times[other]) for one, other in pairs]
    run.findings.table(
        "How well the time tells two kinds apart (AUC: 0.5 is a coin, 1 is certainty)",
        ["", "AUC"],
        [[" / ".join(pair), f"{score:.3f}"] for pair, score in zip(pairs, scores, strict=True)],
    )
    run.findings.at_least("Timing of refusals: smallest AUC", min(scores), LOWEST)
    run.findings.at_most("Timing of refusals: largest AUC", max(scores), HIGHEST)


def auc(one: list[float], other: list[float]) -> float:
    """Return how often a value of ``one`` exceeds a value of ``other``: the area under the ROC curve."""
    wins = sum((a > b) + (a == b) / 2 for a in one for b in other)
    return wins / (len(one) * len(other))

"""Can a clock tell who exists? Refused log-ins of four kinds of people, interleaved (ENU-1, ENU-3).

For each pair of kinds: the AUC of the best classifier that sees only the time. 0.5 is a coin; the target is 0.42
to 0.58 at 300 samples a kind.
"""

import asyncio
import secrets
import statistics
import time
from itertools import combinations

from piccolo.apps.user.tables import BaseUser

from benchmarks.application import PASSWORD, Bench, running, sign_up
from piccolo_fastapi_auth import User

SAMPLES = 300
LOWEST, HIGHEST = 0.42, 0.58
KINDS = {
    "unknown": ("nobody", "wrong password, wrong"),
    "wrong password": ("argon", "wrong password, wrong"),
    "inactive, right password": ("inactive", PASSWORD),
    "Piccolo's PBKDF2, wrong password": ("legacy", "wrong password, wrong"),
}


async def main() -> bool:
    """Print the table; return whether every pair is within bounds."""
    async with running() as bench:
        await _people(bench)
        times: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for round_number in range(SAMPLES):
            for kind in secrets.SystemRandom().sample(list(KINDS), len(KINDS)):
                times[kind].append(await _refused(bench, *KINDS[kind]))
            print(f"\rround {round_number + 1} of {SAMPLES}", end="", flush=True)
    print()
    for kind, values in times.items():
        print(f"{kind:35} median {statistics.median(values) * 1000:7.2f} ms")
    good = True
    for one, other in combinations(KINDS, 2):
        score = auc(times[one], times[other])
        good &= LOWEST <= score <= HIGHEST
        print(f"AUC {score:.3f}  {one} / {other}")
    return good


async def _people(bench: Bench) -> None:
    for username in ("argon", "inactive", "legacy"):
        await sign_up(bench, username)
    await User.update({User.active: False}).where(User.username == "inactive")
    legacy = BaseUser.hash_password(PASSWORD)
    await User.update({User.password: legacy}).where(User.username == "legacy")


async def _refused(bench: Bench, username: str, password: str) -> float:
    begun = time.perf_counter()
    answer = await bench.client.post(
        "/auth/login", json={"username": username, "password": password}
    )
    taken = time.perf_counter() - begun
    assert answer.status_code == 401, answer.text
    return taken


def auc(one: list[float], other: list[float]) -> float:
    """Return how often a value of ``one`` exceeds a value of ``other``: the area under the ROC curve."""
    wins = sum((a > b) + (a == b) / 2 for a in one for b in other)
    return wins / (len(one) * len(other))


if __name__ == "__main__":
    asyncio.run(main())

"""Can a clock tell who has an account? Forgotten passwords of known and unknown addresses, interleaved (ENU-4).

The mail server is a real one that takes two seconds for each mail. The AUC of the best classifier that sees only
the time: 0.5 is a coin; the target is 0.42 to 0.58 at 300 samples a kind.
"""

import asyncio
import contextlib
import secrets
import statistics
import time
from collections.abc import AsyncIterator

from aiosmtpd.smtp import SMTP, Envelope, Session

from benchmarks.asgi import Call, expect
from benchmarks.login_timing import HIGHEST, LOWEST, QUICK_SAMPLES, SAMPLES, auc
from benchmarks.peer import OWASP
from benchmarks.peers.ours import open_auth, sign_up
from benchmarks.places import Places
from benchmarks.report import Run
from piccolo_fastapi_auth.mail import SmtpMailer

HOST = "127.0.0.1"
TAKES = 2.0
KINDS = {"known": "known@example.com", "unknown": "nobody@example.com"}


class _Slow:
    """Takes its time with each mail."""

    taken = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        del server, session, envelope
        await asyncio.sleep(TAKES)
        self.taken += 1
        return "250 OK"


@contextlib.asynccontextmanager
async def _slow_server() -> AsyncIterator[tuple[_Slow, int]]:
    slow, loop = _Slow(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(slow, loop=loop, hostname="bench"), HOST, 0)
    try:
        yield slow, server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def main(run: Run) -> None:
    """Time the answers, and tell how far a clock gets."""
    samples = QUICK_SAMPLES if run.quick else SAMPLES
    run.expect(samples)
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    changes = {"mail_limit_per_address": "", "public_origin": "https://bench.example"}
    with Places() as places:
        async with _slow_server() as (slow, port):
            mailer = SmtpMailer(HOST, port, sender="bench@example.com", tls="none")
            place = await places.new("SQLite")
            async with open_auth(place, OWASP, changes=changes, mailer=mailer) as (_, app):
                await sign_up(app, "known")
                for _round in range(samples):
                    for kind in secrets.SystemRandom().sample(list(KINDS), len(KINDS)):
                        body = {"email": KINDS[kind]}
                        call = Call.posting(app, "/auth/password/forgot", data=body)
                        begun = time.perf_counter()
                        await expect(call, 202)
                        times[kind].append(time.perf_counter() - begun)
                    run.step()
    run.findings.table(
        f"Forgotten passwords, {samples} of each, {slow.taken} mails taken by a server that takes {TAKES:g} s for one",
        ["", "median, ms"],
        [[kind, f"{statistics.median(taken) * 1000:.2f}"] for kind, taken in times.items()],
    )
    score = auc(times["known"], times["unknown"])
    run.findings.at_least("Timing of forgotten passwords: AUC", score, LOWEST)
    run.findings.at_most("Timing of forgotten passwords: AUC, from above", score, HIGHEST)

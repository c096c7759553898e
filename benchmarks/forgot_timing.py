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

from benchmarks.application import running, sign_up
from benchmarks.login_timing import HIGHEST, LOWEST, SAMPLES, auc
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


async def main() -> bool:
    """Print the numbers; return whether they are within bounds."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    limits = {"mail_limit_per_address": "", "login_limit_per_ip": ""}
    async with _slow_server() as (slow, port):
        mailer = SmtpMailer(HOST, port, sender="bench@example.com", tls="none")
        async with running(mailer=mailer, public_origin="https://bench.example", **limits) as bench:
            await sign_up(bench, "known")
            for round_number in range(SAMPLES):
                for kind in secrets.SystemRandom().sample(list(KINDS), len(KINDS)):
                    begun = time.perf_counter()
                    answer = await bench.client.post(
                        "/auth/password/forgot", json={"email": KINDS[kind]}
                    )
                    times[kind].append(time.perf_counter() - begun)
                    assert answer.status_code == 202, answer.text
                print(f"\rround {round_number + 1} of {SAMPLES}", end="", flush=True)
        print(f"\n{slow.taken} mails were taken until the end")
    for kind, values in times.items():
        print(f"{kind:10} median {statistics.median(values) * 1000:7.2f} ms")
    score = auc(times["known"], times["unknown"])
    print(f"AUC {score:.3f}  known / unknown")
    return LOWEST <= score <= HIGHEST


if __name__ == "__main__":
    asyncio.run(main())

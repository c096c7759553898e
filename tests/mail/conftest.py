"""An outbox over a mailer of the test's choice, whose waits take no time."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from piccolo_fastapi_auth.mail import Mailer
from piccolo_fastapi_auth.mail.outbox import Outbox
from piccolo_fastapi_auth.mail.templates import MailTemplates
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import ORIGIN

MakeOutbox = Callable[..., Outbox]


@pytest.fixture
def waits() -> list[timedelta]:
    """The waits between tries, in order."""
    return []


@pytest.fixture
async def make_outbox(clock: FrozenClock, waits: list[timedelta]) -> AsyncIterator[MakeOutbox]:
    """Make outboxes; what is left in them goes with the test."""
    made: list[Outbox] = []

    async def no_wait(duration: timedelta) -> None:
        waits.append(duration)

    def make(mailer: Mailer, *, capacity: int = 1000) -> Outbox:
        outbox = Outbox(
            mailer,
            MailTemplates(),
            origin=ORIGIN,
            clock=clock,
            sleep=no_wait,
            capacity=capacity,
            close_within=timedelta(0),
        )
        made.append(outbox)
        return outbox

    yield make
    for outbox in made:
        await outbox.close()

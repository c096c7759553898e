"""The outbox: bounded, patient, in a context of its own, and safe with strange addresses."""

import asyncio
import contextvars
from datetime import timedelta
from email.message import EmailMessage
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.mail import ConsoleMailer, MemoryMailer
from piccolo_fastapi_auth.mail.mail_limit import MailLimit
from piccolo_fastapi_auth.mail.outbox import one_mailbox
from piccolo_fastapi_auth.mail.templates import Value
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import ORIGIN
from tests.mail.conftest import MakeOutbox

URL: Final = f"{ORIGIN}/x?token=k9Qx-MARK-v4Tz"
LINK: Final[dict[str, Value]] = {"link": URL, "lifetime": timedelta(hours=1)}
REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("REQUEST")


class Stuck:
    """A mailer that never ends."""

    def __init__(self) -> None:
        self.begun = 0

    async def send(self, message: EmailMessage) -> None:
        del message
        self.begun += 1
        await asyncio.Event().wait()


async def test_a_mail_has_text_and_html_and_oneone_mailbox(make_outbox: MakeOutbox) -> None:
    """With a date from the clock and a header that keeps holiday notices quiet (RFC 3834)."""
    mailer = MemoryMailer()
    outbox = make_outbox(mailer)
    outbox.post("reset_password", to="alice@example.com", values=LINK)
    await outbox.drain()

    (message,) = mailer.messages
    assert message["To"] == "alice@example.com"
    assert message["Subject"] == "Choose a new password"
    assert message["Date"] == "Thu, 01 Jan 2026 12:00:00 +0000"
    assert message["Auto-Submitted"] == "auto-generated"
    assert str(message["Message-ID"]).endswith("@app.test>")
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    for part in message.iter_parts():
        assert URL in part.get_content()
        assert "1 hour" in part.get_content()


async def test_posting_does_not_wait_and_is_bounded(
    make_outbox: MakeOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    """ENU-4: a stuck server holds nobody up; past the bound a mail is dropped, and the log says so."""
    mailer = Stuck()
    outbox = make_outbox(mailer, capacity=10)
    for _ in range(12):
        outbox.post("password_changed", to="alice@example.com", values={})

    assert caplog.text.count("password_changed was not sent: too many are waiting") == 2
    for _ in range(20):
        await asyncio.sleep(0)  # everybody else's turn
    assert mailer.begun == 4
    await outbox.close()
    assert "10 jobs did not end in time and are lost" in caplog.text


async def test_work_before_a_mail_begins_with_an_empty_context(make_outbox: MakeOutbox) -> None:
    """It inherits neither the transaction nor anything else of the request (PLATFORM.md 2.2)."""
    mailer = MemoryMailer()
    outbox = make_outbox(mailer)
    REQUEST.set("somebody's")
    seen: list[str] = []

    async def look_up() -> None:
        seen.append(REQUEST.get("nobody's"))
        outbox.post("password_changed", to="alice@example.com", values={})

    outbox.defer(look_up)
    assert seen == []
    await outbox.drain()

    assert seen == ["nobody's"]
    assert len(mailer.messages) == 1


async def test_work_that_fails_is_logged_by_its_kind(
    make_outbox: MakeOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    """AUD-3: the text of an error may name people."""
    outbox = make_outbox(MemoryMailer())

    async def fails() -> None:
        raise LookupError("k9Qx-MARK-v4Tz")

    outbox.defer(fails)
    await outbox.drain()

    assert "LookupError" in caplog.text
    assert "MARK" not in caplog.text


@pytest.mark.parametrize(
    "to",
    [
        "",
        "alice",
        "alice@example.com,bob@example.com",
        "alice@example.com\r\nBcc: bob@example.com",
        "alice@example.com\nX: y",
        "<alice@example.com>",
        "Alice <alice@example.com>",
        "alice@exa mple.com",
        "alice@example.com\x00",
        "alice@bob@example.com",
    ],
)
async def test_a_strange_address_gets_no_mail(
    to: str, make_outbox: MakeOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    """EML-6: rows older than this library may hold anything."""
    mailer = MemoryMailer()
    outbox = make_outbox(mailer)
    outbox.post("password_changed", to=to, values={})
    await outbox.drain()

    assert mailer.messages == []
    assert "bob" not in caplog.text


@given(st.text(alphabet=st.sampled_from('ab.@,;:<>()"\\ \r\n\x00é'), max_size=12))
def test_a_recipient_is_one_mailbox(local: str) -> None:
    """EML-6, property: whatever passes reads back as one address without control characters."""
    recipient = one_mailbox(f"{local}@example.com")
    if recipient is None:
        return
    message = EmailMessage()
    message["To"] = recipient
    parsed = EmailMessage()
    parsed["To"] = str(message["To"])

    assert [one.addr_spec for one in parsed["To"].addresses] == [recipient.addr_spec]
    assert recipient.addr_spec.isprintable()


async def test_a_missing_value_is_an_error_of_the_caller(make_outbox: MakeOutbox) -> None:
    """Not a mail with a hole in it."""
    outbox = make_outbox(MemoryMailer())
    with pytest.raises(KeyError, match="link"):
        outbox.post("reset_password", to="alice@example.com", values={})


async def test_the_limit_counts_each_address_by_itself(clock: FrozenClock) -> None:
    """LCK-4: five an hour, and no address in the name of a counter."""
    limiter = RateLimiter(clock=clock)
    limit = MailLimit(limiter, "5/hour", key=b"k" * 32)

    allowed = await asyncio.gather(*(limit.allows("alice@example.com") for _ in range(20)))

    assert sum(allowed) == 5
    assert await limit.allows("bob@example.com")
    clock.move(timedelta(hours=2))
    assert await limit.allows("alice@example.com")
    assert "alice" not in repr(vars(limiter.store))


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
async def test_the_console_shows_the_link(
    auth: Auth[User], capsys: pytest.CaptureFixture[str]
) -> None:
    """The default mailer of an ``Auth``; the lifespan waits for what is on its way."""
    assert isinstance(auth.outbox.mailer, ConsoleMailer)
    async with auth.lifespan():
        auth.outbox.post("reset_password", to="alice@example.com", values=LINK)

    assert f"\n{URL}\n" in capsys.readouterr().out

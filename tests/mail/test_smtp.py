"""``SmtpMailer`` against real servers, good and bad."""

import asyncio
import logging
import ssl
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from piccolo_fastapi_auth.mail import MailRefusedError, SmtpMailer
from piccolo_fastapi_auth.mail.outbox import BACK_OFF
from tests.mail.conftest import MakeOutbox
from tests.servers import HOST
from tests.smtp import PASSWORD, USERNAME, certificate, dying_server, smtp_server

SENDER = "Acme <no-reply@acme.example>"
LINK = {"link": "https://app.test/auth/confirm?purpose=reset_password&token=k9Qx-MARK-v4Tz"}


def a_mail(to: str = "alice@example.com") -> EmailMessage:
    message = EmailMessage()
    message["To"] = to
    message["Subject"] = "Hello"
    message.set_content("text\n.\nmore")
    return message


def plain(port: int, *, timeout: float = 20) -> SmtpMailer:
    return SmtpMailer(HOST, port, sender=SENDER, tls="none", timeout=timeout)


async def test_a_mail_travels_encrypted_and_authenticated(tmp_path: Path) -> None:
    """STARTTLS, then AUTH, then the mail with its sender; a lone dot in it does not end it."""
    tls, trusting = certificate(tmp_path)
    async with smtp_server(tls=tls, auth=True) as server:
        mailer = SmtpMailer(
            "localhost",
            server.port,
            sender=SENDER,
            username=USERNAME,
            password=PASSWORD,
            tls_context=trusting,
        )
        await mailer.send(a_mail())

    assert server.encrypted == [True]
    assert server.envelopes[0].rcpt_tos == ["alice@example.com"]
    assert server.envelopes[0].mail_from == "no-reply@acme.example"
    assert server.messages[0]["From"] == SENDER
    assert server.messages[0].get_content().split() == ["text", ".", "more"]


async def test_a_wrong_password_is_refused_for_good(tmp_path: Path) -> None:
    """535 is no reason to try again; the error does not hold the password."""
    tls, trusting = certificate(tmp_path)
    async with smtp_server(tls=tls, auth=True) as server:
        mailer = SmtpMailer(
            HOST,
            server.port,
            sender=SENDER,
            username=USERNAME,
            password="wrong",
            tls_context=trusting,
        )
        with pytest.raises(MailRefusedError, match="535") as refused:
            await mailer.send(a_mail())

    assert "wrong" not in str(refused.value)
    assert server.envelopes == []


@pytest.mark.parametrize("name", ["localhost", "other.example"])
async def test_a_bad_certificate_gets_no_mail(name: str, tmp_path: Path) -> None:
    """One of an unknown authority, and one for another name."""
    tls, trusting = certificate(tmp_path, name=name)
    context = None if name == "localhost" else trusting
    async with smtp_server(tls=tls) as server:
        mailer = SmtpMailer(HOST, server.port, sender=SENDER, tls_context=context)
        with pytest.raises((ssl.SSLError, aiosmtplib.SMTPException)):
            await mailer.send(a_mail())

    assert server.envelopes == []


async def test_a_server_without_starttls_gets_no_mail() -> None:
    """There is no way back to plain text."""
    async with smtp_server() as server:
        with pytest.raises(aiosmtplib.SMTPException):
            await SmtpMailer(HOST, server.port, sender=SENDER).send(a_mail())

    assert server.envelopes == []


async def test_a_slow_server_is_given_up() -> None:
    """The time-out bounds the whole of one mail."""
    async with smtp_server() as server:
        server.hold = asyncio.Barrier(2)
        with pytest.raises(TimeoutError):
            await plain(server.port, timeout=0.2).send(a_mail())


async def test_a_busy_server_is_asked_again(make_outbox: MakeOutbox, waits: list[object]) -> None:
    """4xx: the same mail arrives once, after the waits."""
    async with smtp_server() as server:
        server.answers = ["451 later", "452 later"]
        outbox = make_outbox(plain(server.port))
        outbox.post("password_changed", to="alice@example.com", values={})
        await outbox.drain()

    assert len(server.messages) == 1
    assert waits == list(BACK_OFF[:2])


async def test_a_refusal_is_final(
    make_outbox: MakeOutbox, waits: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    """5xx: not tried again; the log says which mail was lost, not whose."""
    async with smtp_server() as server:
        server.answers = ["550 no such user alice"]
        outbox = make_outbox(plain(server.port))
        outbox.post("password_changed", to="alice@example.com", values={})
        await outbox.drain()

    assert (server.messages, waits) == ([], [])
    assert "password_changed was not sent" in caplog.text
    assert "alice" not in caplog.text


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"220 hi\r\n"],
        [b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"],
        [b"this is no SMTP\r\n"],
    ],
    ids=["at-once", "after-hello", "mid-message", "garbage"],
)
async def test_a_server_that_dies_is_tried_to_the_end(
    lines: list[bytes],
    make_outbox: MakeOutbox,
    waits: list[object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every wait is waited, then the loss is logged: without the address and without the link (AUD-3)."""
    caplog.set_level(logging.DEBUG)
    async with dying_server(lines) as server:
        outbox = make_outbox(plain(server.port))
        outbox.post("password_changed", to="alice@example.com", values=LINK)
        await outbox.drain()

    assert server.at_once == len(BACK_OFF) + 1
    assert waits == list(BACK_OFF)
    assert "password_changed was not sent and what it carried is lost" in caplog.text
    assert "MARK" not in caplog.text
    assert "alice" not in caplog.text


async def test_a_server_that_is_down_is_tried_until_it_is_back(make_outbox: MakeOutbox) -> None:
    """A refused connection is no loss."""
    async with smtp_server() as server:
        port = server.port
        mailer = plain(port)
        tries = 0

        class Counting:
            async def send(self, message: EmailMessage) -> None:
                nonlocal tries
                tries += 1
                await (plain(1) if tries == 1 else mailer).send(message)

        outbox = make_outbox(Counting())
        outbox.post("password_changed", to="alice@example.com", values={})
        await outbox.drain()

        assert len(server.messages) == 1


async def test_many_mails_use_few_connections(make_outbox: MakeOutbox) -> None:
    """Twenty mails, never more than four at once."""
    async with smtp_server() as server:
        server.hold = asyncio.Barrier(4)
        outbox = make_outbox(plain(server.port))
        for i in range(20):
            outbox.post("password_changed", to=f"person{i}@example.com", values={})
        await outbox.drain()

    assert len(server.messages) == 20
    assert server.most_at_once == 4


def test_a_password_does_not_travel_in_the_clear() -> None:
    """TLS may be left out on this machine only, or without a password."""
    with pytest.raises(ValueError, match="starttls"):
        SmtpMailer("mail.example.com", sender=SENDER, username="a", password="b", tls="none")
    mailer = SmtpMailer("mail.example.com", sender=SENDER, username="a", password=PASSWORD)

    assert PASSWORD not in repr(vars(mailer))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"piccolo-fastapi-auth\[email\]"):
        SmtpMailer("localhost", sender=SENDER)

"""The whole life of an account in the example application, with mails that a real SMTP server received."""

import queue
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession

from tests.processes import uvicorn_server
from tests.servers import HOST, free_port

PASSWORD: Final = "a horse in the pantry"
NEW_PASSWORD: Final = "a mule in the larder"
ORIGIN: Final = "http://localhost:8123"
SECONDS: Final = 20
Json = dict[str, Any]


@dataclass
class MailServer:
    """A real SMTP server, and the mails in the order in which they came."""

    port: int = field(default_factory=free_port)
    mails: "queue.Queue[EmailMessage]" = field(default_factory=queue.Queue)

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        del server, session
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.put(message_from_bytes(content, policy=policy.default))
        return "250 OK"

    def next(self, to: str, subject: str) -> str:
        """The text of the next mail, which is the one that is expected."""
        mail = self.mails.get(timeout=SECONDS)
        assert (mail["To"], mail["Subject"]) == (to, subject)
        body = mail.get_body(("plain",))
        assert body is not None
        return str(body.get_content())

    def link(self, to: str, subject: str) -> str:
        """The link in it."""
        return str(re.findall(rf"{ORIGIN}/\S+", self.next(to, subject))[0])


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """The server, on a free port."""
    handler = MailServer()
    controller = Controller(handler, hostname=HOST, port=handler.port)
    controller.start()
    try:
        yield handler
    finally:
        controller.stop()


@pytest.fixture
def url(
    mail_server: MailServer, database_url: str, engine_kind: str, tmp_path: Path
) -> Iterator[str]:
    """The example, running with this mail server: one worker on SQLite, two on PostgreSQL."""
    environment = {
        "DATABASE_URL": database_url, "READING_LIST_SECRETS": str(tmp_path / "secrets.env"),
        "SMTP_HOST": HOST, "SMTP_PORT": str(mail_server.port), "SMTP_TLS": "none",
        "PICCOLO_AUTH_PUBLIC_ORIGIN": ORIGIN,
    }  # fmt: skip
    workers = 1 if engine_kind == "sqlite" else 2
    with uvicorn_server("example_app.main:app", workers=workers, env=environment) as address:
        yield address


class Browser(httpx.Client):
    """A client with cookies of its own, which follows links and fills forms in."""

    def send_json(self, path: str, *, status: int, verb: str = "POST", **body: Any) -> Json:
        """Send a body and expect a status."""
        answer = self.request(verb, path, json=body)
        assert answer.status_code == status, answer.text
        return dict(answer.json()) if answer.content else {}

    def open_and_send(self, link: str, **typed: str) -> httpx.Response:
        """Open a link from a mail, at the address where this run of the example is, and press its button."""
        parts = urlsplit(link)
        page = self.get(f"{parts.path}?{parts.query}")
        assert page.status_code == 200
        token = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return self.post("/auth/confirm", data={**token, **typed})


@pytest.mark.timeout(120)
def test_the_life_of_an_account(url: str, mail_server: MailServer) -> None:  # noqa: PLR0915 - one life
    """Sign up, prove, log in, forget, second factor, move, take back, log in by link, export, leave."""
    old, new = "mira@example.com", "mira@new.example.com"
    with Browser(base_url=url, timeout=30, trust_env=False) as browser:
        who = {"username": "mira", "email": old, "password": PASSWORD}
        login = {"username": "mira", "password": PASSWORD}
        first = browser.send_json("/auth/register", status=202, **who)
        link = mail_server.link(old, "Confirm your e-mail address")
        assert browser.send_json("/auth/register", status=202, **who) == first
        assert mail_server.link(old, "Confirm your e-mail address") != link
        refused = browser.send_json("/auth/login", status=403, **login)
        assert refused["detail"]["code"] == "email_not_verified"
        assert browser.open_and_send(link).status_code == 400  # the newer one is good
        browser.send_json("/auth/email/verify/request", status=202, email=old)
        link = mail_server.link(old, "Confirm your e-mail address")
        assert browser.open_and_send(link).status_code == 200
        assert browser.send_json("/auth/login", status=200, **login)["user"]["email_verified"]
        assert browser.send_json("/auth/register", status=202, **who) == first
        assert "already has an account" in mail_server.next(old, "You already have an account")

        browser.send_json("/auth/password/forgot", status=202, email="nobody@example.com")
        browser.send_json("/auth/password/forgot", status=202, email=old)
        link = mail_server.link(old, "Choose a new password")
        assert browser.open_and_send(link, password="short").status_code == 422
        assert browser.open_and_send(link, password=NEW_PASSWORD).status_code == 200
        mail_server.next(old, "Your password was changed")
        assert browser.get("/links").status_code == 401
        browser.send_json("/auth/login", status=401, **login)
        login["password"] = NEW_PASSWORD
        browser.send_json("/auth/login", status=200, **login)

        begun = browser.send_json("/auth/mfa/totp", status=201)
        codes = browser.send_json(
            "/auth/mfa/totp/confirm", status=200, id=begun["id"], code=pyotp.TOTP(begun["secret"]).now()
        )["recovery_codes"]  # fmt: skip
        mail_server.next(old, "Your two-step log-in was changed")
        browser.send_json("/auth/email/change", status=202, email=new)
        link = mail_server.link(new, "Confirm your new e-mail address")
        assert browser.get("/auth/me").json()["email"] == old
        assert browser.open_and_send(link).status_code == 200
        assert browser.get("/auth/me").json()["email"] == new
        link = mail_server.link(old, "Your e-mail address was changed")
        assert browser.open_and_send(link).status_code == 200
        assert browser.get("/auth/me").status_code == 401

        browser.send_json("/auth/magic-link", status=202, email=old)
        asked = browser.open_and_send(mail_server.link(old, "Your link to log in"))
        challenge = re.findall(r'name="token" value="([\w-]+)"', asked.text)[0]
        step = {"purpose": "mfa", "token": challenge, "method": "recovery_code"}
        done = browser.post("/auth/confirm", data={**step, "code": codes[0], "next": "/links"})
        assert (done.status_code, done.headers["location"]) == (303, "/links")
        exported = browser.get("/auth/me/export").json()
        assert (exported["user"]["email"], exported["email_verified"]) == (old, True)
        assert [one["method"] for one in exported["second_factors"]] == ["totp"]
        leave = {"method": "recovery_code", "code": codes[1]}
        browser.send_json("/auth/me", verb="DELETE", status=204, **leave)
        mail_server.next(old, "Your account was deleted")
        browser.send_json("/auth/login", status=401, **login)
        browser.send_json("/auth/register", status=202, **who)
        mail_server.link(old, "Confirm your e-mail address")
        assert mail_server.mails.empty()

"""The outbox: mails leave off the request, a few at a time, and are tried again when the server is down.

A slow mail server therefore neither delays an answer nor tells known addresses from unknown ones (ENU-4).
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from email_validator import EmailNotValidError, validate_email

from piccolo_fastapi_auth.mail.mailers import Mailer, MailRefusedError
from piccolo_fastapi_auth.mail.templates import MailTemplates, Value
from piccolo_fastapi_auth.primitives.background import Background, Job, Sleep, pause
from piccolo_fastapi_auth.primitives.clock import Clock

logger = logging.getLogger(__name__)

# After a failure a mail waits this long; after the last one it is given up.
BACK_OFF: Final = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 30, 120, 600))
CONCURRENCY: Final = 4
CAPACITY: Final = 1000
CLOSE_WITHIN: Final = timedelta(seconds=10)


class Outbox:
    """Renders mails and sends them in the background.

    Args:
        mailer: Sends one mail.
        templates: What mails say.
        origin: The public origin, for what mails say about the site.
        clock: Returns the present moment, for the ``Date`` of a mail.
        sleep: Waits between two tries.
        capacity: How many mails may be there at once; one more is dropped, and logged.
        close_within: How long `close` waits for mails that are still there.
    """

    def __init__(
        self,
        mailer: Mailer,
        templates: MailTemplates,
        *,
        origin: str | None,
        clock: Clock,
        sleep: Sleep = pause,
        capacity: int = CAPACITY,
        close_within: timedelta = CLOSE_WITHIN,
    ) -> None:
        self.mailer = mailer
        self._templates = templates
        host = urlsplit(origin).netloc if origin else ""
        self._common = {"origin": origin or "the site", "site": host or "the site"}
        self._domain = urlsplit(origin).hostname if origin else None
        self._clock = clock
        self._sleep = sleep
        self._close_within = close_within
        self._work = Background("work before a mail", capacity=capacity, concurrency=CONCURRENCY)
        self._mails = Background("mail", capacity=capacity, concurrency=CONCURRENCY)

    def post(
        self, template: str, *, to: str, values: Mapping[str, Value], language: str | None = None
    ) -> None:
        """Send a mail in the background; returns at once. Call it after the transaction that it tells of.

        What goes wrong on the way is logged and never raised: the caller's answer is the same for everybody.

        Args:
            template: The name of the mail, such as ``reset_password``.
            to: One address.
            values: What the mail's templates need; ``lifetime`` is a ``timedelta``.
            language: Of the templates to look for first.

        Raises:
            KeyError: There is no such mail, or a value is missing.
        """
        subject, text, html = self._templates.render(
            template, {**self._common, **values}, language=language
        )
        recipient = one_mailbox(to)
        if recipient is None:
            logger.error("A mail %s was not sent: the address on the account is none", template)
            return
        message = EmailMessage()
        message["To"] = recipient
        message["Subject"] = subject
        message["Date"] = self._clock()
        # Not make_msgid: it reads the time, and may ask the network for this machine's name.
        message["Message-ID"] = f"<{uuid4().hex}@{self._domain or 'localhost'}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from holiday notices
        message.set_content(text)
        message.add_alternative(html, subtype="html")
        if not self._mails.start(lambda: self._deliver(template, message)):
            logger.error("A mail %s was not sent: too many are waiting", template)

    def defer(self, work: Job) -> None:
        """Run work that may end in a mail, such as looking an address up, off the request (ENU-4).

        It runs in an empty context: no transaction, no context variable of the request.
        """

        async def in_turn() -> None:
            async with self._work.turn:
                await work()

        if not self._work.start(in_turn):
            logger.error("Work before a mail was dropped: too much is waiting")

    async def drain(self) -> None:
        """Wait until everything is done and sent, for tests."""
        while not (self._work.is_idle and self._mails.is_idle):
            await self._work.drain()
            await self._mails.drain()

    async def close(self) -> None:
        """Let what is on its way arrive, within a bound."""
        await self._work.close(within=self._close_within)
        await self._mails.close(within=self._close_within)

    async def _deliver(self, template: str, message: EmailMessage) -> None:
        for wait in (*BACK_OFF, None):
            try:
                async with self._mails.turn:
                    await self.mailer.send(message)
            except Exception as error:  # noqa: BLE001 - a mailer may be anybody's
                if wait is None or isinstance(error, MailRefusedError):
                    self._give_up(template, error)
                    return
                # Neither the error's text nor a traceback: they name people and hold links.
                logger.warning("A mail %s waits: %s", template, _kind(error))
            else:
                return
            await self._sleep(wait)

    def _give_up(self, template: str, error: Exception) -> None:
        logger.error(
            "A mail %s was not sent and what it carried is lost: %s", template, _kind(error)
        )


def _kind(error: Exception) -> str:
    code = getattr(error, "code", None)
    return f"{type(error).__name__} {code}" if isinstance(code, int) else type(error).__name__


def one_mailbox(text: str) -> Address | None:
    """Return an address that is one mailbox and nothing else, or ``None`` (EML-6)."""
    try:
        found = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return None
    return Address(username=found.local_part, domain=found.ascii_domain or found.domain)

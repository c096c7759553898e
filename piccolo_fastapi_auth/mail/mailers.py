"""What sends a mail: the protocol, and the two mailers that need no server."""

from email.message import EmailMessage
from typing import Protocol


class MailRefusedError(Exception):
    """The mail will never be taken; sending it again is of no use. Every other error is tried again."""


class Mailer(Protocol):
    """Sends one mail."""

    async def send(self, message: EmailMessage) -> None:
        """Send a mail, or raise.

        Raises:
            MailRefusedError: Sending it again is of no use.
            Exception: It may go better later.
        """
        ...


class ConsoleMailer:
    """Prints mails with their links. For development only: whoever reads the log could use them."""

    async def send(self, message: EmailMessage) -> None:
        """Print the text of a mail."""
        body = message.get_body(("plain",))
        text = body.get_content() if body else ""
        print(f"\nTo: {message['To']}\nSubject: {message['Subject']}\n\n{text}", flush=True)  # noqa: T201 - its purpose


class MemoryMailer:
    """Keeps mails in a list, for tests."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    async def send(self, message: EmailMessage) -> None:
        """Keep a mail."""
        self.messages.append(message)

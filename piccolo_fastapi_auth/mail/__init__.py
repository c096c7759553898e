"""Mail: who sends it, what it says, and an outbox that sends it off the request."""

from piccolo_fastapi_auth.mail.mailers import (
    ConsoleMailer,
    Mailer,
    MailRefusedError,
    MemoryMailer,
)
from piccolo_fastapi_auth.mail.smtp import SmtpMailer

__all__ = ["ConsoleMailer", "MailRefusedError", "Mailer", "MemoryMailer", "SmtpMailer"]

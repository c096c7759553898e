"""How mails leave: through the SMTP server that the environment names, or onto the terminal."""

import os
from typing import Literal, cast

from piccolo_fastapi_auth.mail import ConsoleMailer, Mailer, SmtpMailer


def mailer() -> Mailer:
    """Return the mailer: ``SMTP_HOST``, and perhaps ``SMTP_PORT``, ``SMTP_TLS``, ``SMTP_USERNAME``, ``SMTP_PASSWORD``."""
    host = os.environ.get("SMTP_HOST")
    if not host:
        return ConsoleMailer()
    tls = os.environ.get("SMTP_TLS", "starttls")
    return SmtpMailer(
        host,
        int(os.environ.get("SMTP_PORT", "587")),
        sender=os.environ.get("SMTP_SENDER", "Reading list <no-reply@localhost>"),
        username=os.environ.get("SMTP_USERNAME"),
        password=os.environ.get("SMTP_PASSWORD"),
        tls=cast("Literal['starttls', 'tls', 'none']", tls),
    )

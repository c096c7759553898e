"""``SmtpMailer``: SMTP with TLS (RFC 5321, 3207, 8314), over aiosmtplib."""

import asyncio
import importlib.util
import ssl
from datetime import timedelta
from email.message import EmailMessage
from typing import Literal

from pydantic import SecretStr

from piccolo_fastapi_auth.mail.mailers import MailRefusedError

Tls = Literal["starttls", "tls", "none"]
PERMANENT = range(500, 600)  # RFC 5321 section 4.2.1


class SmtpMailer:
    """Sends mail through an SMTP server, one connection a mail.

    Args:
        host: The server.
        port: Usually 587 with ``starttls`` and 465 with ``tls``.
        sender: The ``From`` of every mail, such as ``Acme <no-reply@acme.example>``.
        username: For servers that ask who sends.
        password: For servers that ask who sends.
        tls: ``starttls`` (it is an error when the server offers none), ``tls`` from the first byte, or
            ``none`` for a server on this machine.
        timeout: How long one mail may take, from the connection to the answer.
        tls_context: For servers with a certificate of an authority of one's own; by default those that
            the system trusts.

    Raises:
        ImportError: aiosmtplib is not installed.
        ValueError: A password would travel without TLS to another machine.
    """

    def __init__(
        self,
        host: str,
        port: int = 587,
        *,
        sender: str,
        username: str | None = None,
        password: str | SecretStr | None = None,
        tls: Tls = "starttls",
        timeout: timedelta | float = timedelta(seconds=20),
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        if importlib.util.find_spec("aiosmtplib") is None:
            raise ImportError("SmtpMailer needs: pip install 'piccolo-fastapi-auth[email]'")
        if tls not in {"starttls", "tls", "none"}:
            raise ValueError(f"tls is {tls!r}; use 'starttls', 'tls' or 'none'")
        if tls == "none" and password is not None and host not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError("a password for another machine needs tls='starttls' or 'tls'")
        self._host, self._port, self._sender = host, port, sender
        self._username = username
        self._password = SecretStr(password) if isinstance(password, str) else password
        self._tls = tls
        self._timeout = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        self._context = tls_context

    async def send(self, message: EmailMessage) -> None:
        """Send a mail; the sender is filled in when it has none.

        Raises:
            MailRefusedError: The server says that it will never take it.
            Exception: It cannot be reached, is slow, busy, or its certificate is not good.
        """
        import aiosmtplib  # noqa: PLC0415 - an optional install

        if message["From"] is None:
            message["From"] = self._sender
        try:
            async with asyncio.timeout(self._timeout):
                await aiosmtplib.send(
                    message,
                    hostname=self._host,
                    port=self._port,
                    username=self._username,
                    password=self._password.get_secret_value() if self._password else None,
                    use_tls=self._tls == "tls",
                    start_tls=self._tls == "starttls",
                    tls_context=self._context,
                    timeout=self._timeout,
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            if all(one.code in PERMANENT for one in error.recipients):
                raise MailRefusedError from None  # its text names the recipients
            raise
        except aiosmtplib.SMTPResponseException as error:
            if error.code in PERMANENT:
                raise MailRefusedError(f"{type(error).__name__} {error.code}") from None
            raise

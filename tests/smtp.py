"""A real SMTP server on a free port: with STARTTLS, with AUTH, slow, refusing, or dying."""

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from piccolo_fastapi_auth.primitives.clock import utc_now
from tests.servers import HOST

USERNAME: Final = "mailer"
PASSWORD: Final = "smtp-k9Qx-MARK-v4Tz"


@dataclass
class SmtpServer:
    """What the server was sent, and how it behaves."""

    port: int = 0
    answers: list[str] = field(default_factory=list)
    """Answers to the next recipients; `250 OK` when the list is empty."""
    hold: asyncio.Barrier | None = None
    """A mail is taken only when as many are there as this says."""
    envelopes: list[Envelope] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def messages(self) -> list[EmailMessage]:
        """The mails, read as a mail program does."""
        return [message_from_bytes(_bytes(one), policy=policy.default) for one in self.envelopes]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer as told."""
        del server, session, options
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep the mail."""
        del server
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.at_once -= 1
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"


def _bytes(envelope: Envelope) -> bytes:
    content = envelope.content
    return content if isinstance(content, bytes) else str(content).encode()


def _authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
) -> AuthResult:
    del server, session, envelope, mechanism
    known = LoginPassword(USERNAME.encode(), PASSWORD.encode())
    # Not handled: the client would wait for its time-out otherwise.
    return AuthResult(success=data == known, handled=data == known)


@contextlib.asynccontextmanager
async def smtp_server(
    *, tls: ssl.SSLContext | None = None, auth: bool = False
) -> AsyncIterator[SmtpServer]:
    """Serve until the block ends; with ``tls`` by STARTTLS only."""
    handler = SmtpServer()
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"tls_context": tls, "require_starttls": True} if tls else {}
    if auth:
        options |= {"authenticator": _authenticate, "auth_required": True}
    server = await loop.create_server(
        lambda: SMTP(handler, enable_SMTPUTF8=True, loop=loop, hostname="test", **options), HOST, 0
    )
    handler.port = server.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        server.close()
        if handler.hold is not None:
            await handler.hold.abort()


@contextlib.asynccontextmanager
async def dying_server(lines: Sequence[bytes]) -> AsyncIterator[SmtpServer]:
    """Answer each line of the client with the next of ``lines``, then hang up in the middle of whatever comes."""
    seen = SmtpServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.at_once += 1
        for line in lines:
            writer.write(line)
            await writer.drain()
            await reader.readline()
        writer.transport.abort()

    server = await asyncio.start_server(serve, HOST, 0)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()


def certificate(folder: Path, *, name: str = "localhost") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a self-signed certificate; return the server's context, and that of a client who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = utc_now()
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ipaddress.ip_address(HOST)))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / f"{name}.pem"
    file.write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=pem.decode())

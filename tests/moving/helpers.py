"""What people had with Piccolo API, and how it is moved."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from httpx import AsyncClient
from piccolo.table import Table
from piccolo_api.encryption.providers import (
    EncryptionProvider,
    FernetProvider,
    PlainTextProvider,
    XChaCha20Provider,
)
from piccolo_api.mfa.authenticator.tables import AuthenticatorSecret
from piccolo_api.session_auth.tables import SessionsBase
from piccolo_api.token_auth.tables import TokenAuth

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.api_keys.tables import AuthApiKey
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.moving.decryption import Encryption, decryption
from piccolo_fastapi_auth.moving.report import Report
from piccolo_fastapi_auth.moving.tables import AuthImport
from piccolo_fastapi_auth.sessions.tables import AuthSession

OLD_TABLES: Final[tuple[type[Table], ...]] = (SessionsBase, TokenAuth, AuthenticatorSecret)
NEW_TABLES: Final[tuple[type[Table], ...]] = (
    AuthSession, AuthApiKey, AuthMfaMethod, AuthRecoveryCode,
)  # fmt: skip
ALL_NEW: Final[tuple[type[Table], ...]] = (*NEW_TABLES, AuthImport)
TOKYO: Final = ZoneInfo("Asia/Tokyo")  # far from the zone of whoever runs this
HOUR: Final = timedelta(hours=1)
COOKIE: Final = "__Host-session"

_FERNET: Final = FernetProvider.get_new_key()
_XCHACHA20: Final = XChaCha20Provider.get_new_key()
PROVIDERS: Final[dict[Encryption, tuple[EncryptionProvider, str]]] = {
    "plain": (PlainTextProvider(), ""),  # type: ignore[no-untyped-call] # Piccolo API's
    "fernet": (FernetProvider(_FERNET), _FERNET.decode()),
    "xchacha20": (XChaCha20Provider(_XCHACHA20), base64.b64encode(_XCHACHA20).decode()),
}


@dataclass(frozen=True)
class Old:
    """What a person holds."""

    cookie: str
    token: str
    totp_secret: str
    recovery_codes: list[str]


def local(moment: datetime) -> datetime:
    """A moment as Piccolo API writes it on a machine in Tokyo."""
    return moment.astimezone(TOKYO).replace(tzinfo=None)


async def old_session(user_id: int, now: datetime, *, ends: timedelta = 48 * HOUR) -> str:
    """Log in with Piccolo API; return the cookie."""
    expiry, longest = local(now + HOUR), local(now + ends)
    row = await SessionsBase.create_session(user_id, expiry, longest)
    return str(row.token)


async def old_authenticator(user_id: int, encryption: Encryption) -> tuple[str, list[str]]:
    """Set an authenticator app up with Piccolo API; return its secret and the recovery codes."""
    provider, _ = PROVIDERS[encryption]
    row, codes = await AuthenticatorSecret.create_new(user_id, provider, recovery_code_count=3)
    return provider.decrypt(row.secret), codes


async def fill(user_id: int, now: datetime, encryption: Encryption = "plain") -> Old:
    """Give a person one of each."""
    cookie = await old_session(user_id, now)
    token = await TokenAuth.create_token(user_id)
    return Old(cookie, token, *await old_authenticator(user_id, encryption))


async def move(
    auth: Auth[User], encryption: Encryption = "plain", **options: Any
) -> dict[str, Report]:
    """Import everything; return the reports by table."""
    decrypt = decryption(encryption, PROVIDERS[encryption][1])
    reports = await auth.moving.run(**{"zone": TOKYO, "decrypt": decrypt, **options})
    return {report.table: report for report in reports}


async def ask(client: AsyncClient, path: str = "/user", **headers: str) -> int:
    """Ask for something with one header; return the status."""
    sent = {name.capitalize(): value for name, value in headers.items()}
    return (await client.get(path, headers=sent)).status_code


async def rows() -> list[list[dict[str, Any]]]:
    """Everything that was moved, but for what is random in it."""
    random = ("id", "state")
    found = [await table.select(*table.all_columns(exclude=list(random))) for table in NEW_TABLES]
    return [sorted(some, key=repr) for some in found]


def utc(*numbers: int) -> datetime:
    """A moment."""
    return datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc] # six at most

"""``piccolo fastapi_auth <command>``: what an operator does by hand."""

import contextlib
import getpass
import importlib
import os
import secrets
import sys
from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from piccolo_fastapi_auth.auth import Auth
from piccolo_fastapi_auth.errors import AuthError
from piccolo_fastapi_auth.moving.decryption import Decrypt, Encryption, decryption
from piccolo_fastapi_auth.moving.progress import progress_bar
from piccolo_fastapi_auth.moving.service import MOST_ROWS
from piccolo_fastapi_auth.primitives.jwt_keys import Algorithm, load_keys, new_pem, public_pem
from piccolo_fastapi_auth.route_audit import UNPROTECTED, audit_routes
from piccolo_fastapi_auth.users.user_table import user_table


async def mfa_reset(username: str) -> None:
    """Remove every second factor of a person who is locked out, and end their sessions.

    :param username: whose

    """
    auth = Auth()
    candidate = await auth.users.candidate(username)
    if candidate is None:
        sys.exit(f"There is nobody called {username!r} in {user_table().__name__}.")
    await auth.mfa_flows.reset(candidate.user_id)
    print(f"{username} has no second factor any more and is logged out everywhere.")  # noqa: T201 - a command's answer


async def rotate_encryption() -> None:
    """Seal every stored TOTP secret again under the first of ``encryption_keys``; then drop the old key."""
    changed = await Auth().mfa.reseal()
    print(f"{changed} rows sealed anew.")  # noqa: T201 - a command's answer


def new_key(algorithm: str = "HS256") -> None:
    """Print a new key: for HS256 a secret for ``secret_keys``, for RS256 and ES256 a pair for ``signing_keys``.

    :param algorithm: HS256, RS256 or ES256

    """
    pairs: dict[str, Algorithm] = {"RS256": "RS256", "ES256": "ES256"}
    if algorithm == "HS256":
        print(secrets.token_urlsafe(32))  # noqa: T201 - a command's answer
    elif algorithm in pairs:
        pem = new_pem(pairs[algorithm])
        (key,) = load_keys(pairs[algorithm], [pem])
        print(f"kid: {key.kid}\n{pem.decode()}{public_pem(pem).decode()}", end="")  # noqa: T201 - a command's answer
    else:
        sys.exit("Choose HS256, RS256 or ES256.")


async def clean_events(days: int = 365) -> None:
    """Delete what happened more than so many days ago.

    :param days: how long the trail is kept

    """
    gone = await Auth().events.clean(older_than=timedelta(days=days))
    print(f"{gone} events deleted.")  # noqa: T201 - a command's answer


def routes(app: str) -> None:
    """List every route of an application with what protects it; fails when one is neither protected nor public.

    :param app: where it is, such as main:app

    """
    module, _, name = app.partition(":")
    sys.path.insert(0, ".")
    rows = audit_routes(getattr(importlib.import_module(module), name or "app"))
    for row in rows:
        scopes = f" [{' '.join(row.scopes)}]" if row.scopes else ""
        print(f"{','.join(row.methods):12} {row.path:44} {row.protection}{scopes}")  # noqa: T201 - as above
    if holes := [row for row in rows if row.protection == UNPROTECTED]:
        sys.exit(f"{len(holes)} routes are neither protected nor marked auth.public.")


async def create_user(
    username: str,
    email: str,
    admin: bool = False,  # noqa: FBT001, FBT002 - Piccolo makes --admin of it
    superuser: bool = False,  # noqa: FBT001, FBT002 - and --superuser of this
) -> None:
    """Make a person who may log in at once. The password is asked for, or read from standard input.

    :param username: the name to log in with
    :param email: the address
    :param admin: may use Piccolo Admin
    :param superuser: has every scope

    """
    operators = Auth().operators
    with _said_plainly():
        await operators.create(
            username=username,
            email=email,
            password=_password(),
            more={"admin": admin, "superuser": superuser},
        )
    print(f"{username} may log in.")  # noqa: T201 - a command's answer


async def deactivate(username: str) -> None:
    """Stop a person: no log-in any more, and every session ends.

    :param username: or e-mail address

    """
    operators = Auth().operators
    with _said_plainly():
        await operators.set_active(username, active=False)
    print(f"{username} is deactivated and logged out everywhere.")  # noqa: T201 - a command's answer


async def activate(username: str) -> None:
    """Let a person log in again.

    :param username: or e-mail address

    """
    operators = Auth().operators
    with _said_plainly():
        await operators.set_active(username, active=True)
    print(f"{username} may log in.")  # noqa: T201 - a command's answer


async def set_password(username: str) -> None:
    """Set a person's password and end every session. It is asked for, or read from standard input.

    :param username: or e-mail address

    """
    operators = Auth().operators
    with _said_plainly():
        await operators.set_password(username, _password())
    print(f"{username} has a new password and is logged out everywhere.")  # noqa: T201 - a command's answer


async def clean(batch: int = 1000) -> None:
    """Delete expired sessions and one-time tokens. May run at any time, on every worker at once.

    :param batch: rows deleted in one transaction

    """
    if batch < 1:
        sys.exit("batch must be 1 or more")
    gone = await Auth().operators.clean(batch=batch)
    print(", ".join(f"{count} {kind}" for kind, count in gone.items()) + " deleted.")  # noqa: T201 - a command's answer


async def import_piccolo_api(
    timezone: str = "",
    encryption: str = "plain",
    key_env: str = "",
    batch: int = 1000,
    scopes: str = "",
    **flags: bool,
) -> None:
    """Move sessions, tokens and authenticator apps of Piccolo API here; run it as often as you like.

    With --dry-run it only says what it would do.

    :param timezone: where its local times were written, such as Europe/Berlin; by default this machine's
    :param encryption: plain, fernet or xchacha20: how it encrypted authenticator secrets
    :param key_env: the environment variable that holds the key for that
    :param batch: rows moved in one transaction
    :param scopes: the most that moved tokens may do, separated by spaces
    :param flags: --dry-run

    """
    # Piccolo makes a keyword of each option as it is spelled, and "dry-run" is no name of a parameter.
    if unknown := flags.keys() - {"dry-run", "dry_run"}:
        sys.exit(f"There is no option --{min(unknown)}.")
    if not 1 <= batch <= MOST_ROWS:
        sys.exit(f"batch must be 1 to {MOST_ROWS}")
    zone, decrypt = _zone(timezone), _decryption(encryption, key_env)
    with progress_bar() as progress:
        reports = await Auth().moving.run(
            zone=zone, decrypt=decrypt, scopes=scopes.split(), batch=batch, dry_run=bool(flags), progress=progress,
        )  # fmt: skip
    if flags:
        print("Nothing was moved; without --dry-run:")  # noqa: T201 - a command's answer
    for report in reports:
        print("\n".join(report.lines()))  # noqa: T201 - as above


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        sys.exit(f"There is no time zone {name!r}.")


def _decryption(encryption: str, key_env: str) -> Decrypt:
    kinds: dict[str, Encryption] = {"plain": "plain", "fernet": "fernet", "xchacha20": "xchacha20"}
    if encryption not in kinds:
        sys.exit("Choose plain, fernet or xchacha20.")
    if key_env and key_env not in os.environ:
        sys.exit(f"The environment has no {key_env}.")
    try:
        return decryption(kinds[encryption], os.environ.get(key_env))
    except ValueError as error:
        sys.exit(f"{error}.".replace("].", "]"))


@contextlib.contextmanager
def _said_plainly() -> Iterator[None]:
    """Say a refusal in one line, and end with a failure."""
    try:
        yield
    except AuthError as error:
        sys.exit(str(error.body["message"]))
    except ValueError as error:
        sys.exit(f"The username or the address {error}.")


def _password() -> str:
    """Ask for a password; never an argument, which the list of processes would show."""
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\r\n")

"""``piccolo fastapi_auth <command>``: what an operator does by hand."""

import secrets
import sys

from piccolo_fastapi_auth.auth import Auth
from piccolo_fastapi_auth.primitives.jwt_keys import Algorithm, load_keys, new_pem, public_pem
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

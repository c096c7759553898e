"""``piccolo fastapi_auth <command>``: what an operator does by hand."""

import sys

from piccolo_fastapi_auth.auth import Auth
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

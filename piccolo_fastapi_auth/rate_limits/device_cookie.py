"""The device cookie: "this browser has been fully logged in to this account before". Pure.

It is no credential: it proves nothing about who is there now, and only moves a browser's guesses from
the account's counter, which a stranger can use up, to one of its own (OWASP: "device cookies").
``v1.<device>.<issued>.<mac>``; the mac covers the account, so a cookie is good for one account only.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

LIFETIME: Final = timedelta(days=180)
_FORM: Final = re.compile(r"v1\.([\w-]{22})\.([1-9]\d{0,10})\.([0-9a-f]{64})", re.ASCII)


def make_device_cookie(
    keys: Sequence[bytes], *, account: str, at: datetime, device: str | None = None
) -> str:
    """Return a cookie value for a browser that has just been fully logged in to ``account``.

    Args:
        keys: The first signs.
        account: The account's name in canonical form, as the guard is given it.
        at: The present moment.
        device: The device that ``known_device`` found, to renew it; a new one otherwise.
    """
    device = device or secrets.token_urlsafe(16)
    issued = str(int(at.timestamp()))
    return f"v1.{device}.{issued}.{_mac(keys[0], account, device, issued)}"


def known_device(
    cookie: str | None,
    keys: Sequence[bytes],
    *,
    account: str,
    at: datetime,
    lifetime: timedelta = LIFETIME,
) -> str | None:
    """Return the device that a cookie names, ``None`` unless it is genuine, in time and for ``account``."""
    form = _FORM.fullmatch(cookie) if cookie else None
    if form is None:
        return None
    device, issued, mac = form.groups()
    if not timedelta(0) <= at - datetime.fromtimestamp(int(issued), UTC) < lifetime:
        return None
    genuine = (hmac.compare_digest(_mac(key, account, device, issued), mac) for key in keys)
    return device if any(list(genuine)) else None


def _mac(key: bytes, account: str, device: str, issued: str) -> str:
    parts = ("device cookie v1", device, issued, account)  # the account last: it may hold anything
    message = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hmac.digest(key, message, "sha256").hex()

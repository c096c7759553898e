"""The browser that signed up is known again when the link from the mail is opened in it.

Its cookie is a MAC over the hash of the password that was chosen there: it opens nothing, and only says that
this password is that of the person who now reads the mail. Where somebody else signed up with the address, no
browser of its owner has such a cookie (EML-3). Sign-ups that made no account set one too (ENU-2).
"""

import hmac
import re
from collections.abc import Sequence
from typing import Final

MOST: Final = 3
_FORM: Final = re.compile(rf"[0-9a-f]{{64}}(\.[0-9a-f]{{64}}){{0,{MOST - 1}}}", re.ASCII)


class SignupProof:
    """Makes and checks the cookies of one ``Auth``.

    Args:
        keys: The first signs, all verify.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def make(self, password_hash: str, *, before: str | None) -> str:
        """Return the cookie of a browser that just signed up; what it proved ``before`` stays proven."""
        earlier = before.split(".") if before and _FORM.fullmatch(before) else []
        return ".".join([_mac(self._keys[0], password_hash), *earlier][:MOST])

    def holds(self, cookie: str | None, password_hash: str) -> bool:
        """Say whether this browser chose the password that has this hash."""
        if not cookie or not _FORM.fullmatch(cookie):
            return False
        macs = [_mac(key, password_hash) for key in self._keys]
        return any(hmac.compare_digest(one, mac) for one in cookie.split(".") for mac in macs)


def _mac(key: bytes, password_hash: str) -> str:
    return hmac.digest(key, f"signed up here\0{password_hash}".encode(), "sha256").hex()

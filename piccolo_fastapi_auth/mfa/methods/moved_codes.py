"""Recovery codes that Piccolo API gave out: ``abc123-xyz789``, stored under PBKDF2. Pure, and slow on purpose."""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from piccolo_fastapi_auth.primitives.passwords import PICCOLO_PBKDF2

_SHAPE: Final = re.compile(r"([a-z0-9]{6})([a-z0-9]{6})")


@dataclass(frozen=True, slots=True)
class Stored:
    """The two halves of a stored hash: how it is derived, which a person's codes share, and the digest."""

    derivation: str = field(repr=False)
    digest: str = field(repr=False)


def split(stored: str) -> Stored | None:
    """Return the halves of one of Piccolo's hashes; ``None`` if it is something else."""
    found = PICCOLO_PBKDF2.fullmatch(stored)
    if found is None:
        return None
    return Stored(f"pbkdf2_sha256${found['iterations']}${found['salt']}", found["digest"])


def spelled(code: str) -> str | None:
    """Return a code as it was given out, in whatever case and grouping it was typed; ``None`` if it cannot be one."""
    found = _SHAPE.fullmatch(code.lower().replace("-", "").replace(" ", ""))
    return f"{found[1]}-{found[2]}" if found else None


def digest(code: str, *, derivation: str) -> str:
    """Return the digest of a code. Takes as long as a password: run it in the hash pool."""
    _, iterations, salt = derivation.split("$")
    return hashlib.pbkdf2_hmac("sha256", code.encode(), salt.encode(), int(iterations)).hex()

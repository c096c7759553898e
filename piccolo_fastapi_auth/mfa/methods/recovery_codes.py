"""Recovery codes: for the day the phone is gone. Pure.

128 random bits each, so a plain digest is enough at rest and a look-up costs the same however many there are
(ASVS 6.5.2).
"""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass

NAME = "recovery_code"
_BYTES = 16
_SHAPE = re.compile(r"[A-Z2-7]{26}")


@dataclass(frozen=True, slots=True)
class RecoveryCodes:
    """Codes that each log in once, in the place of another second factor.

    Args:
        count: How many are given out at once.
    """

    count: int = 10

    @property
    def name(self) -> str:
        """``recovery_code``."""
        return NAME

    def make(self) -> list[str]:
        """Return new codes, written in groups: ``ABCDE-FGHIJ-...``."""
        return [
            _grouped(base64.b32encode(secrets.token_bytes(_BYTES)).decode().rstrip("="))
            for _ in range(self.count)
        ]


def digest(code: str) -> str | None:
    """Return what is stored of a code, in whatever case and grouping it was typed; ``None`` if it cannot be one."""
    text = code.upper().replace("-", "").replace(" ", "")
    if not _SHAPE.fullmatch(text):
        return None
    return hashlib.sha256(f"recovery_code:{text}".encode()).hexdigest()


def _grouped(text: str) -> str:
    return "-".join(text[start : start + 5] for start in range(0, len(text), 5))

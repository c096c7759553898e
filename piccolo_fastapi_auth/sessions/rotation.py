"""Refresh tokens as a rule: what one looks like, and what a presented one means. Pure.

A token is ``<session id>.<generation>.<mac>``. The mac is keyed and salted, so the table holds nothing that
can be presented; it covers the generation, so an old token is told from a forged one; and it is a function,
so the successor of a generation is always the same string (RFC 9700 section 4.14.2).
"""

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

_SHAPE = re.compile(
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.(0|[1-9][0-9]{0,17})\.([A-Za-z0-9_-]{43})"
)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A well-formed token; whether it is genuine is `is_genuine`'s question."""

    session_id: UUID
    generation: int
    mac: str = field(repr=False)


class Verdict(Enum):
    """What a genuine token means."""

    ROTATE = auto()
    REPEAT = auto()
    REUSED = auto()
    UNKNOWN = auto()


def parse(token: str) -> RefreshToken | None:
    """Read the canonical spelling of a token; anything else is ``None``."""
    match = _SHAPE.fullmatch(token)
    if match is None:
        return None
    return RefreshToken(UUID(match[1]), int(match[2]), match[3])


def issue(session_id: UUID, *, generation: int, salt: str, key: bytes) -> str:
    """Return the one token of a generation."""
    text = f"{session_id}.{generation}"
    mac = hmac.digest(key, f"{text}.{salt}".encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def is_genuine(token: RefreshToken, *, salt: str, keys: Sequence[bytes]) -> bool:
    """Say whether this library made the token, under any of the keys."""
    presented = f"{token.session_id}.{token.generation}.{token.mac}".encode()
    genuine = False
    for key in keys:  # no early exit: the answer takes the same work whichever key it was
        made = issue(token.session_id, generation=token.generation, salt=salt, key=key)
        genuine |= hmac.compare_digest(presented, made.encode())
    return genuine


def judge(
    presented: int, *, current: int, rotated_at: datetime | None, now: datetime, grace: timedelta
) -> Verdict:
    """Say what a genuine token of generation ``presented`` means while ``current`` is the live one.

    Only the immediately previous generation has grace: two tabs that refresh at once, or a client that lost the
    answer, get the same successor. Anything older is a copy in somebody else's hands.
    """
    if presented == current:
        return Verdict.ROTATE
    if presented > current:
        return Verdict.UNKNOWN  # the table was restored from a back-up: no proof of theft
    if presented == current - 1 and rotated_at is not None and now < rotated_at + grace:
        return Verdict.REPEAT
    return Verdict.REUSED

"""What an event is: a closed vocabulary and a frozen value. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args
from uuid import UUID

Action = Literal[
    "user.registered", "user.deleted", "user.deactivated", "user.activated",
    "login.succeeded", "login.failed", "login.locked", "login.unlocked",
    "session.ended", "session.reauthenticated", "token.reused",
    "mfa.enrolled", "mfa.removed", "mfa.failed", "mfa.disabled",
    "recovery_code.used", "recovery_codes.regenerated",
    "password.changed", "password.reset_requested", "password.reset",
    "email.verified", "email.change_requested", "email.changed",
    "api_key.created", "api_key.revoked",
    "role.granted", "role.revoked",
    "impersonation.started", "impersonation.ended",
    "csrf.refused",
]  # fmt: skip
"""Everything that can happen (OWASP Logging Vocabulary). A new action is a new entry here and in the docs."""

Outcome = Literal["success", "failure"]

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Holds no secret, and nothing that was typed.

    ``user`` is whom it happened to, ``actor`` who did it: the same key when people act for themselves, ``None`` for
    somebody who is not logged in and for operators. Times are aware, in UTC.
    """

    id: int
    at: datetime
    action: Action
    outcome: Outcome
    user: int | UUID | str | None
    actor: int | UUID | str | None
    session_id: UUID | None
    ip: str | None
    user_agent: str | None
    method: str | None
    request_id: str | None
    detail: Mapping[str, str]


def escaped(text: str, *, longest: int = 255) -> str:
    r"""Return text in which no character ends a line or moves a cursor: CR, LF, ESC ... as ``\x0a`` (AUD-4)."""
    return "".join(c if c.isprintable() else _as_escape(c) for c in text)[:longest]


def _as_escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")

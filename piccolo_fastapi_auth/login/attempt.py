"""The decision about a log-in, from plain values. Pure.

Every rule about who may log in is here: refusals do not tell an unknown name from a wrong password from an
account that may not log in (ENU-1).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """Everything that this account must show was shown."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No log-in; the caller says ``invalid_credentials`` whatever the reason."""


def decide(*, known: bool, active: bool, password_matches: bool) -> Accepted | Refused:
    """Decide about one attempt, after its password was checked."""
    return Accepted() if known and active and password_matches else Refused()

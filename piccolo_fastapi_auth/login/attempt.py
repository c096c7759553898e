"""The decision about a log-in, from plain values. Pure.

Every rule about who may log in is here: refusals do not tell an unknown name from a wrong password from an
account that may not log in (ENU-1).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """Everything that this account must show was shown."""


@dataclass(frozen=True, slots=True)
class NeedsProof:
    """The password is right; a second factor must follow."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """The password is right; the address must be proven first. Only who knows the password is told (ENU-1)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No log-in; the caller says ``invalid_credentials`` whatever the reason."""


def decide(
    *,
    known: bool,
    active: bool,
    password_matches: bool,
    has_second_factor: bool,
    lacks_address: bool = False,
) -> Accepted | NeedsProof | Unproven | Refused:
    """Decide about one attempt, after its password was checked."""
    if not (known and active and password_matches):
        return Refused()
    if lacks_address:
        return Unproven()
    return NeedsProof() if has_second_factor else Accepted()

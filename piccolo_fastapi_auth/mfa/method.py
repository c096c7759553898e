"""What a second factor is: a few pure functions over a sealed state. Pure.

A method never touches the database, the clock or HTTP. It is given the opened state and the moment, and
returns the next state; the service stores that with a compare-and-set on the old one, so whatever a method
marks as used is used once, also under simultaneous requests.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pydantic import BaseModel


class Enrolment(BaseModel):
    """What is shown once when an enrolment begins; a method adds its own members."""

    id: UUID


@dataclass(frozen=True, slots=True)
class Begun:
    """A begun enrolment: the state to seal, and the members of `Enrolment` to show."""

    state: bytes = field(repr=False)
    shown: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """A password, or a method with its code. A person with a second factor must give that one."""

    password: str | None = field(default=None, repr=False)
    method: str = ""
    code: str = field(default="", repr=False)


class MfaMethod(Protocol):
    """A kind of second factor. Its name is a plain string in sessions, challenges and paths."""

    @property
    def name(self) -> str:
        """Such as ``totp``."""
        ...

    @property
    def enrolment(self) -> type[Enrolment]:
        """The shape of what `begin` shows."""
        ...

    def begin(self, *, account: str) -> Begun:
        """Start an enrolment for the person that ``account`` names to themselves."""
        ...

    def prove(self, state: bytes, code: str, *, now: datetime) -> bytes | None:
        """Return the next state when ``code`` proves possession at ``now``; else ``None``."""
        ...

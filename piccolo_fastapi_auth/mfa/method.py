"""What a second factor is: a few pure functions over a sealed state. Pure.

A method never touches the database, the clock or HTTP. It is given the opened state and the moment, and
returns the next state; the service stores that with a compare-and-set on the old one, so whatever a method
marks as used is used once, also under simultaneous requests.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable
from uuid import UUID

from pydantic import BaseModel


class Enrolment(BaseModel):
    """What is shown once when an enrolment begins; a method adds its own members."""

    id: UUID


@dataclass(frozen=True, slots=True)
class Begun:
    """A begun enrolment: the state to seal, the members of `Enrolment` to show, and a name until its owner gives one."""

    state: bytes = field(repr=False)
    shown: dict[str, str] = field(repr=False)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """A password, or a method with its code. A person with a second factor must give that one."""

    password: str | None = field(default=None, repr=False)
    method: str = ""
    code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Issued:
    """A code to send, and the state in which it is good."""

    state: bytes = field(repr=False)
    address: str
    code: str = field(repr=False)


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


class CodeSender(Protocol):
    """Takes a code to a person: by mail, by SMS. It may take its time only if it does not block."""

    async def send(self, *, to: str, code: str, lifetime: timedelta) -> None:
        """Send ``code``, which is good for ``lifetime``, to ``to``; nobody waits for its arrival."""
        ...


@runtime_checkable
class SentMethod(MfaMethod, Protocol):
    """A second factor whose codes are sent when they are asked for.

    A code is good in the flow that asked for it and nowhere else; a flow is a challenge, a session or an enrolment.
    """

    @property
    def counts_as_second_factor(self) -> bool:
        """Whether ``require(mfa=True)`` is content with a password and such a code."""
        ...

    @property
    def lifetime(self) -> timedelta | None:
        """How long a code is good; ``None`` is what the setting ``email_code_lifetime`` says."""
        ...

    @property
    def sender(self) -> CodeSender | None:
        """What takes the codes to people; ``None`` is the mailer of the ``Auth``."""
        ...

    def address_of(self, user: object) -> str:
        """Return where a person gets codes; `begin` is called with it. Empty: this person cannot have the method."""
        ...

    def issue(self, state: bytes, *, flow: str, now: datetime, lifetime: timedelta) -> Issued:
        """Make a code that is good in ``flow`` for ``lifetime``; the flow's earlier one ends."""
        ...

    def prove(self, state: bytes, code: str, *, now: datetime, flow: str = "") -> bytes | None:
        """Return the next state when ``code`` was sent for ``flow``, is not too old and was not used; else ``None``."""
        ...


def without_credit(methods: Iterable[object]) -> frozenset[str]:
    """Return the names of methods that are no second factor where the assurance must be high.

    A code by e-mail is none unless the application says so, also in sessions from before.
    """
    sent = [method for method in methods if isinstance(method, SentMethod)]
    credited = {method.name for method in sent if method.counts_as_second_factor}
    return frozenset({"email_code", *(method.name for method in sent)}) - credited

"""Codes that are sent to an address: by mail, by SMS. Pure but for the sender, which others call."""

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from pydantic import Field

from piccolo_fastapi_auth.mfa.method import Begun, CodeSender, Enrolment, Issued

FEWEST_DIGITS = 6  # NIST SP 800-63B-4 section 3.1.3.2
MOST_OPEN_FLOWS = 5
_SPACES = re.compile(r"[ -]")


class _Sent(TypedDict):
    digest: str
    until: float


class _State(TypedDict):
    address: str
    codes: dict[str, _Sent]


class SentCodeEnrolment(Enrolment):
    """Where the first code went."""

    sent_to: str = Field(description="The address that the first code was sent to.")


@dataclass(frozen=True, slots=True)
class SentCode:
    """What all methods share whose codes are sent. A subclass says its ``name`` and where a person gets codes.

    Args:
        digits: Length of a code, 6 or more.
        counts_as_second_factor: Let ``require(mfa=True)`` and ``require_mfa`` be content with it. Off, because
            whoever reads a person's mail can often reset the password too (NIST SP 800-63B-4 section 3.1.3.1).
        lifetime: How long a code is good; by default what the setting ``email_code_lifetime`` says.
        sender: What takes codes to people; by default the mailer of the ``Auth``.

    Raises:
        ValueError: ``digits`` is too small.
    """

    digits: int = FEWEST_DIGITS
    counts_as_second_factor: bool = False
    lifetime: timedelta | None = None
    sender: CodeSender | None = None

    def __post_init__(self) -> None:
        if self.digits < FEWEST_DIGITS:
            raise ValueError(f"a code needs {FEWEST_DIGITS} digits or more")

    @property
    def name(self) -> str:
        """A plain string for sessions, challenges and paths."""
        raise NotImplementedError

    @property
    def enrolment(self) -> type[SentCodeEnrolment]:
        """The shape of what `begin` shows."""
        return SentCodeEnrolment

    def address_of(self, user: object) -> str:
        """Return where a person gets codes, or nothing."""
        raise NotImplementedError

    def begin(self, *, account: str) -> Begun:
        """Start an enrolment for an address; no code is good until one is issued."""
        state = _State(address=account, codes={})
        return Begun(json.dumps(state).encode(), {"sent_to": account}, name=account)

    def issue(self, state: bytes, *, flow: str, now: datetime, lifetime: timedelta) -> Issued:
        """Make a code for one flow; the flows that asked last keep theirs."""
        known: _State = json.loads(state)
        code = "".join(secrets.choice("0123456789") for _ in range(self.digits))
        others = [
            (name, sent)
            for name, sent in known["codes"].items()
            if name != flow and sent["until"] > now.timestamp()
        ]
        sent = _Sent(digest=_digest(flow, code), until=(now + lifetime).timestamp())
        codes = {**dict(others[1 - MOST_OPEN_FLOWS :]), flow: sent}
        return Issued(json.dumps({**known, "codes": codes}).encode(), known["address"], code)

    def prove(self, state: bytes, code: str, *, now: datetime, flow: str = "") -> bytes | None:
        """Accept the code that was sent for ``flow``, once."""
        known: _State = json.loads(state)
        sent = known["codes"].get(flow)
        if sent is None or sent["until"] <= now.timestamp():
            return None
        if not hmac.compare_digest(sent["digest"], _digest(flow, _SPACES.sub("", code))):
            return None
        rest = {name: other for name, other in known["codes"].items() if name != flow}
        return json.dumps({**known, "codes": rest}).encode()


def _digest(flow: str, code: str) -> str:
    """Return what is kept of a code, inside the sealed state: whoever opens that still sees no code."""
    return hashlib.sha256(f"{flow}:{code}".encode("utf-8", "surrogatepass")).hexdigest()

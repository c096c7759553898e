"""Time-based one-time codes (RFC 6238). Pure: no clock, no database, no HTTP."""

import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypedDict

import pyotp
import segno
from pydantic import Field
from pyotp.exceptions import OTPVerificationError

from piccolo_fastapi_auth.mfa.method import Begun, Enrolment

PERIOD = timedelta(seconds=30)
SECRET_CHARACTERS = 32  # of five bits: the 160 bits of RFC 4226 section 4

_DIGESTS: dict[str, Callable[..., object]] = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256}
_SPACES = re.compile(r"[ -]")


class _State(TypedDict):
    secret: str
    digits: int
    algorithm: str
    last_step: int


class TotpEnrolment(Enrolment):
    """What an authenticator app needs, shown once."""

    secret: str = Field(
        repr=False, description="Base32, to be typed where the code cannot be scanned."
    )
    otpauth_uri: str = Field(repr=False)
    qr_svg: str = Field(repr=False, description="The URI as a QR code: an SVG document.")


@dataclass(frozen=True, slots=True)
class Totp:
    """Codes of an authenticator app.

    Args:
        issuer: The application's name in the authenticator app.
        digits: Length of a code, 6 or 8.
        algorithm: SHA1 is what every app understands; SHA256 is not known to some.
        strict: Accept the current time step only (ASVS 6.5.5); by default also the previous one, for slow typists.
    """

    issuer: str = "piccolo-fastapi-auth"
    digits: Literal[6, 8] = 6
    algorithm: Literal["SHA1", "SHA256"] = "SHA1"
    strict: bool = False

    @property
    def name(self) -> str:
        """``totp``."""
        return "totp"

    @property
    def enrolment(self) -> type[TotpEnrolment]:
        """The shape of what `begin` shows."""
        return TotpEnrolment

    def begin(self, *, account: str) -> Begun:
        """Make a new secret of 160 bits."""
        state = _State(
            secret=pyotp.random_base32(SECRET_CHARACTERS),
            digits=self.digits,
            algorithm=self.algorithm,
            last_step=-1,
        )
        uri = _generator(state).provisioning_uri(name=account, issuer_name=self.issuer)
        picture = io.BytesIO()
        segno.make(uri, error="m").save(picture, kind="svg", scale=4, xmldecl=False)
        shown = {
            "secret": state["secret"],
            "otpauth_uri": uri,
            "qr_svg": picture.getvalue().decode(),
        }
        return Begun(json.dumps(state).encode(), shown, name="Authenticator app")

    def prove(self, state: bytes, code: str, *, now: datetime) -> bytes | None:
        """Accept each time step at most once, and never one before the last accepted (RFC 6238 section 5.2)."""
        known: _State = json.loads(state)
        typed = _SPACES.sub("", code)
        if not (typed.isascii() and typed.isdigit() and len(typed) == known["digits"]):
            return None
        generator = _generator(known)
        for age in range(1 if self.strict else 2):  # newest first, so that replays stay behind it
            step = _step_of(generator, typed, at=now - age * PERIOD)
            if step is not None and step > known["last_step"]:
                return json.dumps({**known, "last_step": step}).encode()
        return None


def _step_of(generator: pyotp.TOTP, code: str, *, at: datetime) -> int | None:
    try:
        return generator.verify_and_get_timecode(code, for_time=at, valid_window=0)
    except OTPVerificationError:
        return None


def _generator(state: _State) -> pyotp.TOTP:
    return pyotp.TOTP(state["secret"], digits=state["digits"], digest=_DIGESTS[state["algorithm"]])

"""Codes by e-mail. Pure."""

from dataclasses import dataclass

from piccolo_fastapi_auth.mfa.methods.sent_code import SentCode


@dataclass(frozen=True, slots=True)
class EmailCode(SentCode):
    """Codes that are mailed to the address that a person had when they set the method up.

    A second step at log-in, and no second factor where the assurance must be high: see
    ``counts_as_second_factor``.
    """

    @property
    def name(self) -> str:
        """``email_code``."""
        return "email_code"

    def address_of(self, user: object) -> str:
        """Return the person's e-mail address."""
        return str(getattr(user, "email", "") or "")

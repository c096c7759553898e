"""Authentication methods: our names, and RFC 8176's in the ``amr`` claim. Pure."""

from collections.abc import Iterable

_TO_AMR = {
    "password": "pwd",
    "totp": "otp",
    "recovery_code": "otp",
    "email_code": "otp",
    "passkey": "hwk",
}
# A link in a mail stands where a password stands: whoever reads the mail could also choose a new one.
_FIRST_FACTORS = frozenset({"password", "magic_link"})
_NO_SECOND_FACTOR = _FIRST_FACTORS | {"email_code"}
_FROM_AMR = {"pwd": "password", "otp": "totp", "hwk": "passkey"}


def to_amr(methods: Iterable[str]) -> tuple[str, ...]:
    """Return the ``amr`` values of a sign-in: one for each kind, and ``mfa`` when two factors were used."""
    used = tuple(methods)
    values = tuple(dict.fromkeys(_TO_AMR[method] for method in used if method in _TO_AMR))
    return (*values, "mfa") if is_multi_factor(used) else values


def is_multi_factor(methods: Iterable[str]) -> bool:
    """Say whether two factors were used: one known and one possessed.

    Every method but the password and the link in a mail is something possessed, also an application's own.
    A code by e-mail counts for nothing here (NIST SP 800-63B-4 section 3.1.3.1): whoever can reset the password
    by e-mail can read it too.
    """
    used = set(methods)
    return bool(used & _FIRST_FACTORS) and bool(used - _NO_SECOND_FACTOR)


def from_amr(values: Iterable[str]) -> tuple[str, ...]:
    """Return our names for ``amr`` values; ``otp`` may have been any one-time code."""
    return tuple(_FROM_AMR[value] for value in values if value in _FROM_AMR)

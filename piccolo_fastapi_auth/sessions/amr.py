"""Authentication methods: our names, and RFC 8176's in the ``amr`` claim. Pure."""

from collections.abc import Iterable

_TO_AMR = {
    "password": "pwd",
    "totp": "otp",
    "recovery_code": "otp",
    "email_code": "otp",
    "passkey": "hwk",
}
_FROM_AMR = {"pwd": "password", "otp": "totp", "hwk": "passkey"}


def to_amr(methods: Iterable[str]) -> tuple[str, ...]:
    """Return the ``amr`` values of a sign-in: one for each kind, and ``mfa`` when two kinds were used."""
    values = dict.fromkeys(_TO_AMR[method] for method in methods if method in _TO_AMR)
    return (*values, "mfa") if len(values) > 1 else tuple(values)


def from_amr(values: Iterable[str]) -> tuple[str, ...]:
    """Return our names for ``amr`` values; ``otp`` may have been any one-time code."""
    return tuple(_FROM_AMR[value] for value in values if value in _FROM_AMR)

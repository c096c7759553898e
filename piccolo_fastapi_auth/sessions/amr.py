"""Authentication methods: our names, and RFC 8176's in the ``amr`` claim. Pure."""

from collections.abc import Iterable

_TO_AMR = {
    "password": "pwd",
    "totp": "otp",
    "recovery_code": "otp",
    "email_code": "otp",
    "passkey": "hwk",
}
WITHOUT_CREDIT = frozenset({"email_code"})
"""Methods that are no second factor where the assurance must be high, unless the application says so."""
_FROM_AMR = {"pwd": "password", "hwk": "passkey"}


def to_amr(
    methods: Iterable[str], *, without_credit: frozenset[str] = WITHOUT_CREDIT
) -> tuple[str, ...]:
    """Return the ``amr`` values of a sign-in: one for each kind, and ``mfa`` when two factors were used."""
    used = tuple(methods)
    values = tuple(dict.fromkeys(_TO_AMR[method] for method in used if method in _TO_AMR))
    return (*values, "mfa") if is_multi_factor(used, without_credit=without_credit) else values


def is_multi_factor(
    methods: Iterable[str], *, without_credit: frozenset[str] = WITHOUT_CREDIT
) -> bool:
    """Say whether two factors were used: one known and one possessed.

    Every method but the password is something possessed, also an application's own.
    A code by e-mail counts for nothing here (NIST SP 800-63B-4 section 3.1.3.1): whoever can reset the password
    by e-mail can read it too.
    """
    used = set(methods)
    return "password" in used and bool(used - {"password"} - without_credit)


def from_amr(values: Iterable[str]) -> tuple[str, ...]:
    """Return our names for ``amr`` values; ``otp`` may have been any one-time code, and without ``mfa`` a sent one."""
    given = tuple(values)
    names = {**_FROM_AMR, "otp": "totp" if "mfa" in given else "email_code"}
    return tuple(names[value] for value in given if value in names)

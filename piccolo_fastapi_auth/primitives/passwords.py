"""Password hashes: Argon2id (RFC 9106, OWASP Password Storage), and Piccolo's PBKDF2 on its way out.

Slow on purpose and therefore only ever called in the hash pool. Every refusal costs the same work,
whoever was asked for, so that time does not tell whether an account exists (OWASP ASVS 6.3.8).
"""

import hashlib
import hmac
import math
import re
import unicodedata
from dataclasses import dataclass

from pwdlib.hashers.argon2 import Argon2Hasher

from piccolo_fastapi_auth.primitives import base64url

MAX_PASSWORD_LENGTH = 1024
"""In code points of the NFC form. Longer ones are refused, never cut (NIST SP 800-63B-4, 3.1.1.2)."""

MAX_CODE_POINTS_PER_CHARACTER = 4  # no four code points compose to less than one
LEAST_MEMORY_PER_LANE = 8  # KiB: RFC 9106 section 3.1
MAX_STORED_WORK = 2**24  # KiB times passes, many seconds: no hash that anybody made on purpose

ARGON2ID = re.compile(
    r"\$argon2id\$v=19\$m=(?P<memory>[1-9]\d{0,6}),t=(?P<passes>[1-9]\d{0,2})"
    r",p=(?P<lanes>[1-9]\d{0,2})\$(?P<salt>[A-Za-z0-9+/]{11,86})\$(?P<digest>[A-Za-z0-9+/]{22,86})",
    re.ASCII,
)
PICCOLO_PBKDF2 = re.compile(
    r"pbkdf2_sha256\$(?P<iterations>[1-9]\d{0,6})\$(?P<salt>[^$\s]{1,128})\$(?P<digest>[0-9a-f]{64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Argon2Profile:
    """What one Argon2id hash costs."""

    memory_kib: int
    time_cost: int
    parallelism: int


OWASP = Argon2Profile(19 * 1024, 2, 1)
"""The least that OWASP's Password Storage Cheat Sheet advises; also the least accepted here."""

TEST_ONLY = Argon2Profile(LEAST_MEMORY_PER_LANE, 1, 1)
"""The cheapest hash that Argon2 allows. For tests only: it protects nobody."""


@dataclass(frozen=True, slots=True)
class PasswordVerdict:
    """Whether the password is right, and the hash to store in the old one's place, if any."""

    matches: bool
    replacement: str | None = None


@dataclass(frozen=True, slots=True)
class _Comparison:
    """An answer and what it cost: Argon2 in KiB times passes, PBKDF2 in iterations."""

    matches: bool = False
    outdated: bool = False
    argon2_work: int = 0
    pbkdf2_work: int = 0


def normalised(password: str) -> str | None:
    """Return the NFC form (NIST SP 800-63B-4, 3.1.1.2), or ``None`` if the password is too long.

    Nothing else changes: no trimming, no case folding, no compatibility forms. The first bound
    comes before the normalising, which takes quadratic time over many combining marks.
    """
    if len(password) > MAX_PASSWORD_LENGTH * MAX_CODE_POINTS_PER_CHARACTER:
        return None
    form = unicodedata.normalize("NFC", password)
    return form if len(form) <= MAX_PASSWORD_LENGTH else None


class PasswordHasher:
    """Makes and checks password hashes at one cost.

    ``legacy_iterations`` is what a refusal spends on PBKDF2 while old Piccolo hashes are in use; it
    should be the largest number of iterations among them.

    Raises:
        ValueError: The profile is weaker than OWASP's minimum.
    """

    def __init__(self, profile: Argon2Profile = OWASP, *, legacy_iterations: int = 600_000) -> None:
        if profile != TEST_ONLY and not _is_strong_enough(profile):
            raise ValueError(f"Argon2id needs at least {OWASP}")
        self._profile = profile
        self._legacy_iterations = legacy_iterations
        self._argon2 = Argon2Hasher(profile.time_cost, profile.memory_kib, profile.parallelism)

    def hash(self, password: str) -> str:
        """Return a fresh Argon2id hash of the password's NFC form.

        Raises:
            ValueError: The password is longer than ``MAX_PASSWORD_LENGTH``.
        """
        form = normalised(password)
        if form is None:
            raise ValueError(f"a password holds at most {MAX_PASSWORD_LENGTH} characters")
        return self._argon2.hash(_encoded(form))

    def check(
        self, password: str, stored: str | None, *, may_log_in: bool, legacy_in_use: bool
    ) -> PasswordVerdict:
        """Compare ``password`` with a stored hash; ``None`` stands for an unknown user.

        Unless this lets somebody in, it costs one Argon2id hash at the current parameters, and
        ``legacy_iterations`` of PBKDF2 when ``legacy_in_use``, whatever ``stored`` is. Only a stored
        hash that is dearer than that costs more.

        Args:
            password: As it was received.
            stored: What the user table holds. Anything that is not a hash matches nothing.
            may_log_in: Whether the right password would be enough, so that its success may show.
            legacy_in_use: Whether the user table may hold PBKDF2 hashes.
        """
        found = self._compare(password, stored)
        if found.matches and may_log_in:
            replacement = self.hash(password) if found.outdated else None
            return PasswordVerdict(matches=True, replacement=replacement)
        self._spend_the_rest(found, legacy_in_use=legacy_in_use)
        return PasswordVerdict(matches=found.matches)

    @staticmethod
    def is_hash(text: str) -> bool:
        """Return whether ``text`` is a whole Argon2id or Piccolo PBKDF2 hash, and nothing less."""
        return bool(_argon2id(text) or PICCOLO_PBKDF2.fullmatch(text))

    @staticmethod
    def is_legacy(stored: str) -> bool:
        """Return whether ``stored`` is one of Piccolo's PBKDF2 hashes."""
        return bool(PICCOLO_PBKDF2.fullmatch(stored))

    def _compare(self, password: str, stored: str | None) -> _Comparison:
        form = normalised(password)
        if not form or not stored:  # a blank password never matches, not even its own hash
            return _Comparison()
        if argon2 := _argon2id(stored):
            return _Comparison(
                matches=self._argon2.verify(_encoded(form), stored),
                outdated=self._argon2.check_needs_rehash(stored),
                argon2_work=int(argon2["memory"]) * int(argon2["passes"]),
            )
        if pbkdf2 := PICCOLO_PBKDF2.fullmatch(stored):
            return _compare_with_piccolo(password, pbkdf2)
        return _Comparison()

    def _spend_the_rest(self, found: _Comparison, *, legacy_in_use: bool) -> None:
        """Do what a refusal has left to do: all of it for a user who does not exist."""
        work = self._profile.memory_kib * self._profile.time_cost - found.argon2_work
        if work > 0:
            self._spend_argon2(work)
        iterations = self._legacy_iterations - found.pbkdf2_work
        if legacy_in_use and iterations > 0:
            hashlib.pbkdf2_hmac("sha256", b"nobody", b"nowhere", iterations)

    def _spend_argon2(self, work: int) -> None:
        # After a cheaper old hash the rest is spread evenly, never over more memory than usual.
        passes = math.ceil(work / self._profile.memory_kib)
        memory = max(work // passes, LEAST_MEMORY_PER_LANE * self._profile.parallelism)
        Argon2Hasher(passes, memory, self._profile.parallelism).hash(b"nobody")


def _argon2id(text: str) -> re.Match[str] | None:
    """Return the parts of a hash that Argon2 itself would take.

    Argon2 refuses the others before it does any work, and that would show in the time it takes.
    """
    found = ARGON2ID.fullmatch(text)
    if found is None or not _is_feasible(found):
        return None
    try:
        for part in (found["salt"], found["digest"]):
            base64url.decode(part.replace("+", "-").replace("/", "_"))
    except ValueError:
        return None
    return found


def _is_feasible(found: re.Match[str]) -> bool:
    memory, passes, lanes = (int(found[name]) for name in ("memory", "passes", "lanes"))
    return memory >= LEAST_MEMORY_PER_LANE * lanes and memory * passes <= MAX_STORED_WORK


def _compare_with_piccolo(password: str, stored: re.Match[str]) -> _Comparison:
    # The password as received: Piccolo never normalised.
    salt, iterations = stored["salt"].encode(), int(stored["iterations"])
    digest = hashlib.pbkdf2_hmac("sha256", _encoded(password), salt, iterations)
    matches = hmac.compare_digest(digest, bytes.fromhex(stored["digest"]))
    return _Comparison(matches=matches, outdated=True, pbkdf2_work=iterations)


def _encoded(password: str) -> bytes:
    # JSON can carry half a surrogate pair: a password like any other, not a crash.
    return password.encode("utf-8", "surrogatepass")


def _is_strong_enough(profile: Argon2Profile) -> bool:
    return (
        profile.memory_kib >= OWASP.memory_kib
        and profile.time_cost >= OWASP.time_cost
        and profile.parallelism >= OWASP.parallelism
    )

import hashlib
import secrets
import unicodedata
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher as Argon2
from argon2 import Type, extract_parameters, low_level
from argon2 import _password_hasher as argon2_boundary
from hypothesis import given
from hypothesis import strategies as st
from piccolo.apps.user.tables import BaseUser

from piccolo_fastapi_auth.primitives.passwords import (
    MAX_PASSWORD_LENGTH,
    OWASP,
    TEST_ONLY,
    Argon2Profile,
    PasswordHasher,
    PasswordVerdict,
)

PASSWORD = "correct horse battery staple"
LEGACY_ITERATIONS = 500
HASHER = PasswordHasher(TEST_ONLY, legacy_iterations=LEGACY_ITERATIONS)
REFUSED = PasswordVerdict(matches=False, replacement=None)


def piccolo_hash(password: str = PASSWORD, iterations: int = LEGACY_ITERATIONS) -> str:
    return BaseUser.hash_password(password, iterations=iterations)


def check(
    password: str,
    stored: str | None,
    *,
    may_log_in: bool = True,
    legacy_in_use: bool = False,
    by: PasswordHasher = HASHER,
) -> PasswordVerdict:
    return by.check(password, stored, may_log_in=may_log_in, legacy_in_use=legacy_in_use)


# Hashing and checking


def test_the_right_password_matches_and_needs_no_new_hash() -> None:
    """A hash at the current parameters stays as it is."""
    assert check(PASSWORD, HASHER.hash(PASSWORD)) == PasswordVerdict(matches=True)


def test_a_wrong_password_does_not_match() -> None:
    """Not with another case, nor with a space more or less."""
    stored = HASHER.hash(PASSWORD)

    for wrong in (PASSWORD.upper(), PASSWORD + " ", " " + PASSWORD, PASSWORD[:-1], "", "\ud800"):
        assert check(wrong, stored) == REFUSED


def test_the_production_profile_is_argon2id_at_owasps_minimum() -> None:
    """PWD-7: 19 MiB, two passes, one lane; scheme and parameters stand in the hash."""
    hasher = PasswordHasher()

    stored = hasher.hash(PASSWORD)

    parameters = extract_parameters(stored)
    assert parameters.type is Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19456, 2, 1)
    assert check(PASSWORD, stored, by=hasher) == PasswordVerdict(matches=True)


@pytest.mark.parametrize(
    "profile",
    [
        Argon2Profile(19 * 1024 - 1, 2, 1),
        Argon2Profile(19 * 1024, 1, 1),
        Argon2Profile(19 * 1024, 2, 0),
        Argon2Profile(9, 1, 1),
        Argon2Profile(8, 2, 1),
    ],
)
def test_a_weaker_profile_is_refused(profile: Argon2Profile) -> None:
    """PWD-7: less than OWASP's minimum stops the application; only TEST_ONLY is let through."""
    with pytest.raises(ValueError, match="at least"):
        PasswordHasher(profile)


def test_a_stronger_profile_is_accepted() -> None:
    """PWD-7: the minimum is a minimum."""
    PasswordHasher(Argon2Profile(64 * 1024, 3, 4))


def test_the_whole_password_counts() -> None:
    """PWD-4: equal in the first 72 bytes, or up to a NUL, is not equal."""
    start = "x" * 72

    assert check(start + "a" * 28, HASHER.hash(start + "b" * 28)) == REFUSED
    assert check("before\x00one", HASHER.hash("before\x00two")) == REFUSED
    assert check("before\x00one", HASHER.hash("before\x00one")).matches


def test_the_longest_password_works_and_a_longer_one_is_refused() -> None:
    """PWD-4: 1,024 code points; one more is never cut to size."""
    longest = "é" * MAX_PASSWORD_LENGTH
    stored = HASHER.hash(longest)

    assert check(longest, stored).matches
    assert check(longest + "é", stored) == REFUSED
    assert check(unicodedata.normalize("NFD", longest), stored).matches
    for length in (MAX_PASSWORD_LENGTH + 1, 5_000_000):
        with pytest.raises(ValueError, match="at most 1024"):
            HASHER.hash("x" * length)


def test_composed_and_decomposed_spellings_are_one_password() -> None:
    """PWD-5: NFC, whichever keyboard it was typed on."""
    assert check("cafe\u0301", HASHER.hash("caf\u00e9")).matches
    assert check("caf\u00e9", HASHER.hash("cafe\u0301")).matches


@pytest.mark.parametrize(
    ("password", "other"),
    [("ﬁ", "fi"), ("ｆｉ", "fi"), ("trailing ", "trailing"), ("ß", "ss"), ("Straße", "STRASSE")],
)
def test_nothing_but_nfc_is_done_to_a_password(password: str, other: str) -> None:
    """PWD-5: no compatibility forms, no trimming, no case folding."""
    assert check(other, HASHER.hash(password)) == REFUSED


@given(st.text(min_size=1, max_size=40, alphabet=st.characters()))
def test_every_password_matches_its_own_hash(password: str) -> None:
    """PWD-4: any text at all, half surrogate pairs included."""
    assert check(password, HASHER.hash(password)) == PasswordVerdict(matches=True)


# Old hashes


def test_a_hash_by_piccolo_itself_matches_and_is_replaced() -> None:
    """PWD-7: BaseUser's own PBKDF2 at its own 600,000 iterations, upgraded after one log-in."""
    stored = BaseUser.hash_password(PASSWORD)

    verdict = check(PASSWORD, stored)

    assert verdict.matches
    assert verdict.replacement is not None
    assert verdict.replacement.startswith("$argon2id$")
    assert check(PASSWORD, verdict.replacement) == PasswordVerdict(matches=True)


def test_a_wrong_password_does_not_match_a_piccolo_hash() -> None:
    """PWD-7: and nothing is replaced."""
    assert check("wrong", piccolo_hash()) == REFUSED


def test_a_piccolo_hash_is_compared_as_piccolo_did() -> None:
    """PWD-5: Piccolo hashed the text as received; its replacement is over the NFC form."""
    stored = piccolo_hash("cafe\u0301")

    assert check("caf\u00e9", stored) == REFUSED
    verdict = check("cafe\u0301", stored)
    assert check("caf\u00e9", verdict.replacement).matches


def test_a_hash_at_other_parameters_matches_and_is_replaced() -> None:
    """PWD-7: old parameters are upgraded at the next log-in."""
    stored = Argon2(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)

    verdict = check(PASSWORD, stored)

    assert verdict.matches
    assert verdict.replacement is not None
    assert "m=8,t=1,p=1" in verdict.replacement


@pytest.mark.parametrize(
    "stored", [piccolo_hash(), Argon2(2, 16, 1).hash(PASSWORD)], ids=["pbkdf2", "argon2"]
)
def test_who_may_not_log_in_gets_no_new_hash(stored: str) -> None:
    """ENU-3: an inactive person's right password changes nothing."""
    verdict = check(PASSWORD, stored, may_log_in=False)

    assert verdict == PasswordVerdict(matches=True, replacement=None)


# What is no hash


GOOD_ARGON2 = HASHER.hash(PASSWORD)
GOOD_PICCOLO = piccolo_hash()
SALT = "c2FsdHNhbHRzYWx0c2FsdA"
NO_HASHES = [
    "",
    " ",
    "!",
    "*",
    PASSWORD,
    "pbkdf2_sha256",
    "pbkdf2_sha256 is my password",
    "pbkdf2_sha256$$$",
    "$argon2id$",
    "$argon2id$v=19$m=8,t=1,p=1$",
    "$argon2id$v=19$m=8,t=1,p=1$$",
    f"$argon2id$v=19$m=8,t=1,p=1${SALT}${'A' * 41}",
    GOOD_ARGON2 + " ",
    GOOD_ARGON2 + "\n",
    "x" + GOOD_ARGON2,
    GOOD_ARGON2.replace("argon2id", "argon2i"),
    GOOD_ARGON2.replace("v=19", "v=16"),
    GOOD_ARGON2.replace("m=8", "m=7"),
    GOOD_ARGON2.replace("m=8", "m=08"),
    GOOD_ARGON2.replace("m=8", "m=99999999"),
    GOOD_ARGON2.replace("m=8,t=1", "m=2097152,t=9"),
    GOOD_ARGON2.replace("p=1", "p=2"),
    GOOD_ARGON2.replace("t=1", "t=0"),
    GOOD_ARGON2.replace("t=1", "t=١"),
    f"$argon2id$v=19$m=8,t=1,p=1${SALT[:-1]}B${'A' * 43}",
    f"$argon2id$v=19$m=8,t=1,p=1${SALT}AAA${'A' * 43}",
    GOOD_PICCOLO[:-1],
    GOOD_PICCOLO + "0",
    GOOD_PICCOLO + "\n",
    GOOD_PICCOLO.replace("sha256", "sha1"),
    GOOD_PICCOLO.replace("$500$", "$0$"),
    GOOD_PICCOLO.replace("$500$", "$-500$"),
    GOOD_PICCOLO.replace("$500$", "$0500$"),
    GOOD_PICCOLO.replace("$500$", "$99999999$"),
    GOOD_PICCOLO.replace("$500$", "$x$"),
    GOOD_PICCOLO.replace("$500$", "$5٠0$"),
    f"pbkdf2_sha256$500$salt${'Z' * 64}",
    f"pbkdf2_sha256$500${'s' * 129}${'0' * 64}",
    "\x00",
    "\ud800",
]


@pytest.mark.parametrize("stored", NO_HASHES, ids=range(len(NO_HASHES)))
def test_what_is_no_hash_matches_nothing(stored: str) -> None:
    """PWD-9: a garbled or empty column is no password at all, and no error."""
    for password in ("", stored, PASSWORD, "x"):
        assert check(password, stored) == REFUSED
    assert not PasswordHasher.is_hash(stored)


def test_a_user_without_a_password_never_matches() -> None:
    """PWD-9: nothing stored, any password."""
    for password in ("", "None", PASSWORD):
        assert check(password, None) == REFUSED


@pytest.mark.parametrize("hash_of", [HASHER.hash, piccolo_hash])
def test_a_blank_password_never_matches(hash_of: Callable[[str], str]) -> None:
    """PWD-9: not even where somebody stored its hash."""
    assert check("", hash_of("")) == REFUSED


@given(st.text(max_size=200))
def test_any_stored_text_gives_an_answer(stored: str) -> None:
    """PWD-9: no column content leads to an exception."""
    assert check(PASSWORD, stored) == REFUSED


def test_a_whole_hash_is_told_from_a_password() -> None:
    """A password may begin like a hash; only a whole one is stored as it is."""
    assert PasswordHasher.is_hash(GOOD_ARGON2)
    assert PasswordHasher.is_hash(GOOD_PICCOLO)
    assert PasswordHasher.is_legacy(GOOD_PICCOLO)
    assert not PasswordHasher.is_legacy(GOOD_ARGON2)
    assert not PasswordHasher.is_legacy("pbkdf2_sha256")


# Equal work, counted where it is done: at the two library functions


class Meter:
    """Counts Argon2 work in KiB times passes, and PBKDF2 iterations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.argon2 = 0
        self.pbkdf2 = 0
        pbkdf2_hmac = hashlib.pbkdf2_hmac
        hash_secret, verify_secret = low_level.hash_secret, low_level.verify_secret

        def counted_pbkdf2(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
            self.pbkdf2 += iterations
            return pbkdf2_hmac(name, password, salt, iterations)

        def counted_hash(  # noqa: PLR0917  the signature is argon2's
            secret: bytes,
            salt: bytes,
            time_cost: int,
            memory_cost: int,
            parallelism: int,
            hash_len: int,
            type: Type,  # noqa: A002
        ) -> bytes:
            self.argon2 += time_cost * memory_cost
            return hash_secret(secret, salt, time_cost, memory_cost, parallelism, hash_len, type)

        def counted_verify(stored: bytes, secret: bytes, kind: Type) -> bool:
            parameters = extract_parameters(stored.decode())
            self.argon2 += parameters.time_cost * parameters.memory_cost
            return verify_secret(stored, secret, kind)

        monkeypatch.setattr(hashlib, "pbkdf2_hmac", counted_pbkdf2)
        monkeypatch.setattr(argon2_boundary, "hash_secret", counted_hash)
        monkeypatch.setattr(argon2_boundary, "verify_secret", counted_verify)

    def read(self) -> tuple[int, int]:
        reading = self.argon2, self.pbkdf2
        self.argon2 = self.pbkdf2 = 0
        return reading


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    return Meter(monkeypatch)


STRICT = PasswordHasher(OWASP, legacy_iterations=LEGACY_ITERATIONS)
OWASP_WORK = OWASP.memory_kib * OWASP.time_cost
ROWS = {
    "unknown user": None,
    "no password": "",
    "garbled": "$argon2id$v=19$m=7000,t=900,p=900$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAA",
    "current": STRICT.hash(PASSWORD),
    "weaker": Argon2(time_cost=1, memory_cost=9 * 1024, parallelism=1).hash(PASSWORD),
    "weaker by a little": Argon2(time_cost=2, memory_cost=19 * 1024 - 8, parallelism=1).hash(
        PASSWORD
    ),
    "piccolo": piccolo_hash(),
    "piccolo, long ago": piccolo_hash(iterations=100),
}


@pytest.mark.parametrize("legacy_in_use", [True, False])
@pytest.mark.parametrize("row", [name for name in ROWS if "piccolo" not in name])
def test_every_refusal_costs_the_same(meter: Meter, row: str, legacy_in_use: bool) -> None:  # noqa: FBT001
    """ENU-3: unknown, wrong, inactive and outdated cost one hash at the current parameters."""
    expected = (OWASP_WORK, LEGACY_ITERATIONS if legacy_in_use else 0)

    check("wrong", ROWS[row], legacy_in_use=legacy_in_use, by=STRICT)
    assert meter.read() == expected
    check(PASSWORD, ROWS[row], may_log_in=False, legacy_in_use=legacy_in_use, by=STRICT)
    assert meter.read() == expected


@pytest.mark.parametrize("row", ["piccolo", "piccolo, long ago"])
def test_a_refusal_of_a_piccolo_user_costs_the_same(meter: Meter, row: str) -> None:
    """ENU-3: PBKDF2 rows too, wrong or inactive, whatever their iterations."""
    check("wrong", ROWS[row], legacy_in_use=True, by=STRICT)
    assert meter.read() == (OWASP_WORK, LEGACY_ITERATIONS)
    check(PASSWORD, ROWS[row], may_log_in=False, legacy_in_use=True, by=STRICT)
    assert meter.read() == (OWASP_WORK, LEGACY_ITERATIONS)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("password", ["", "x" * 1025, "x" * 1_000_000, "\ud800"])
def test_a_hopeless_password_costs_the_same(meter: Meter, row: str, password: str) -> None:
    """ENU-3: blank and overlong ones are refused no faster for anybody."""
    check(password[:], ROWS[row], legacy_in_use=True, by=STRICT)

    assert meter.read() == (OWASP_WORK, LEGACY_ITERATIONS)


def test_letting_somebody_in_costs_one_hash(meter: Meter) -> None:
    """Success shows anyway, so it pays for nothing that it does not need."""
    check(PASSWORD, ROWS["current"], legacy_in_use=True, by=STRICT)
    assert meter.read() == (OWASP_WORK, 0)


def test_no_padding_takes_more_memory_than_a_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """PWD-8: the pool's memory bound holds for padding too."""
    memory: list[int] = []
    hash_secret = low_level.hash_secret

    def recorded(**parameters: object) -> bytes:
        memory.append(parameters["memory_cost"])  # type: ignore[arg-type]
        return hash_secret(**parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(argon2_boundary, "hash_secret", recorded)
    check("wrong", ROWS["weaker"], by=STRICT)

    assert memory
    assert max(memory) <= OWASP.memory_kib


def test_no_secret_is_left_in_the_hasher() -> None:
    """Nothing secret stands in a repr or in an error."""
    password = secrets.token_hex(1_000)

    with pytest.raises(ValueError, match="at most") as caught:
        HASHER.hash(password)

    assert password not in repr(caught.value)
    assert not vars(HASHER).keys() & {"password", "secret"}

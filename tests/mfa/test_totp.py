"""Time-based one-time codes: RFC 6238's own vectors, time steps, replays and hostile input. Pure."""

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piccolo_fastapi_auth import Totp
from tests.mfa.helpers import STEP, code_at

# RFC 6238 appendix B: the seeds are ASCII digits, of the length of the digest.
SEEDS: Final = {
    "SHA1": base64.b32encode(b"12345678901234567890").decode(),
    "SHA256": base64.b32encode(b"12345678901234567890123456789012").decode().rstrip("="),
}
VECTORS: Final[list[tuple[int, str, Literal["SHA1", "SHA256"]]]] = [
    (59, "94287082", "SHA1"),
    (59, "46119246", "SHA256"),
    (1111111109, "07081804", "SHA1"),
    (1111111109, "68084774", "SHA256"),
    (1111111111, "14050471", "SHA1"),
    (1111111111, "67062674", "SHA256"),
    (1234567890, "89005924", "SHA1"),
    (1234567890, "91819424", "SHA256"),
    (2000000000, "69279037", "SHA1"),
    (2000000000, "90698825", "SHA256"),
    (20000000000, "65353130", "SHA1"),
    (20000000000, "77737706", "SHA256"),
]
BEGINNING: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)  # the first second of a step
SECOND: Final = timedelta(seconds=1)
SECRET: Final = SEEDS["SHA1"]


def state_of(
    secret: str = SECRET, *, digits: int = 6, algorithm: str = "SHA1", last_step: int = -1
) -> bytes:
    """The state of an enrolment with a known secret, as `Totp` stores it."""
    known = {"secret": secret, "digits": digits, "algorithm": algorithm, "last_step": last_step}
    return json.dumps(known).encode()


@pytest.mark.parametrize(("seconds", "code", "algorithm"), VECTORS)
def test_the_vectors_of_the_standard_are_accepted(
    seconds: int, code: str, algorithm: Literal["SHA1", "SHA256"]
) -> None:
    """RFC 6238 appendix B: each in its second, and none two steps later."""
    totp = Totp(digits=8, algorithm=algorithm)
    state = state_of(SEEDS[algorithm], digits=8, algorithm=algorithm)
    moment = datetime.fromtimestamp(seconds, UTC)
    too_late = datetime.fromtimestamp(seconds - seconds % 30 + 60, UTC)

    assert totp.prove(state, code, now=moment) is not None
    assert totp.prove(state, code, now=too_late) is None


@pytest.mark.parametrize(("seconds", "code", "algorithm"), VECTORS)
def test_a_vector_is_refused_under_the_other_digest(
    seconds: int, code: str, algorithm: Literal["SHA1", "SHA256"]
) -> None:
    """The algorithm is the enrolment's own."""
    other: Literal["SHA1", "SHA256"] = "SHA256" if algorithm == "SHA1" else "SHA1"
    state = state_of(SEEDS[algorithm], digits=8, algorithm=other)

    assert Totp(digits=8).prove(state, code, now=datetime.fromtimestamp(seconds, UTC)) is None


@pytest.mark.parametrize(
    ("after", "strict", "accepted"),
    [
        (-SECOND, False, False),
        (timedelta(0), False, True),
        (STEP, False, True),
        (2 * STEP - SECOND, False, True),
        (2 * STEP, False, False),
        (-SECOND, True, False),
        (timedelta(0), True, True),
        (STEP - SECOND, True, True),
        (STEP, True, False),
    ],
)
def test_a_code_is_good_in_its_own_step_and_the_next(
    *, after: timedelta, strict: bool, accepted: bool
) -> None:
    """TOTP-4: never a step early, two steps late neither; the strict profile knows its own step only."""
    code = code_at(SECRET, BEGINNING)

    proven = Totp(strict=strict).prove(state_of(), code, now=BEGINNING + after)

    assert (proven is not None) == accepted


def test_a_step_is_accepted_once_and_never_one_before_it() -> None:
    """TOTP-1, TOTP-2: the code of step n at n+1; then n and n-1 are over, n+1 is good once."""
    totp, now = Totp(), BEGINNING + STEP
    previous, current = code_at(SECRET, BEGINNING), code_at(SECRET, now)
    state = totp.prove(state_of(), previous, now=now)
    assert state is not None
    assert totp.prove(state, previous, now=now) is None
    assert totp.prove(state, previous, now=BEGINNING) is None
    assert totp.prove(state, code_at(SECRET, BEGINNING - STEP), now=BEGINNING) is None

    after = totp.prove(state, current, now=now)

    assert after is not None
    assert totp.prove(after, current, now=now) is None
    assert totp.prove(after, previous, now=now) is None


def test_a_clock_that_steps_back_opens_no_step_again() -> None:
    """FLT-6: an hour back, the codes of that hour are over; when the time comes again, new ones are good."""
    totp = Totp()
    state = totp.prove(state_of(), code_at(SECRET, BEGINNING), now=BEGINNING)
    assert state is not None
    hour_ago = BEGINNING - timedelta(hours=1)

    steps = [hour_ago + number * STEP for number in range(121)]

    assert all(totp.prove(state, code_at(SECRET, at), now=at) is None for at in steps)
    later = BEGINNING + STEP
    assert totp.prove(state, code_at(SECRET, later), now=later) is not None


@pytest.mark.parametrize("digits", [6, 8])
def test_a_code_has_the_length_of_its_enrolment(digits: Literal[6, 8]) -> None:
    """A shorter or longer code of the same moment proves nothing, and zeros in front are part of it."""
    totp = Totp(digits=digits)
    state = state_of(digits=digits)
    right = code_at(SECRET, BEGINNING, digits=digits)

    assert totp.prove(state, right, now=BEGINNING) is not None
    for typed in (code_at(SECRET, BEGINNING, digits=14 - digits), right[1:], f"0{right}"):
        assert totp.prove(state, typed, now=BEGINNING) is None


def test_a_code_may_be_typed_in_groups() -> None:
    """Apps show ``123 456``; people type what they see."""
    code = code_at(SECRET, BEGINNING)

    for typed in (f"{code[:3]} {code[3:]}", f"{code[:3]}-{code[3:]}", f" {code} "):
        assert Totp().prove(state_of(), typed, now=BEGINNING) is not None


@given(st.one_of(st.text(), st.from_regex(r"[0-9０-９٠-٩ \-\n\x00]{5,9}")))
def test_only_the_two_codes_of_the_window_prove_anything(typed: str) -> None:
    """Whatever is typed is a refusal, never a crash."""
    good = {code_at(SECRET, BEGINNING), code_at(SECRET, BEGINNING - STEP)}

    proven = Totp().prove(state_of(), typed, now=BEGINNING)

    assert (proven is not None) == (typed.replace(" ", "").replace("-", "") in good)


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9000, 1, 1)))
def test_another_implementation_agrees_at_any_moment(naive: datetime) -> None:
    """RFC 6238 section 4: whole steps since the epoch, whatever the time zone of the clock."""
    moment = naive.replace(tzinfo=UTC)
    code = code_at(SECRET, moment)

    assert Totp(strict=True).prove(state_of(), code, now=moment) is not None


@given(st.lists(st.integers(min_value=-40, max_value=40), min_size=1, max_size=40))
def test_the_accepted_step_only_grows(moments: list[int]) -> None:
    """TOTP-2, FLT-6: however the clock jumps, every accepted step is newer than all before it."""
    totp, state = Totp(), state_of()
    accepted = [-1]
    for steps in moments:
        now = BEGINNING + steps * STEP
        proven = totp.prove(state, code_at(SECRET, now), now=now)
        if proven is not None:
            state = proven
            accepted.append(json.loads(state)["last_step"])

    assert all(earlier < later for earlier, later in pairwise(accepted))


def test_every_enrolment_has_160_bits_of_its_own() -> None:
    """TOTP-5: RFC 4226 section 4 asks for 160."""
    secrets = [Totp().begin(account="alice").shown["secret"] for _ in range(50)]

    assert {len(base64.b32decode(secret)) * 8 for secret in secrets} == {160}
    assert len(set(secrets)) == 50


def test_a_begun_enrolment_does_not_show_itself() -> None:
    """Neither the state nor the secret is in a ``repr``."""
    begun = Totp().begin(account="alice")

    assert begun.shown["secret"] not in repr(begun)

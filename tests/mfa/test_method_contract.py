"""What every second factor promises, and that an application's own one is a full one. A method is a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from hypothesis import given, settings
from hypothesis import strategies as st
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, EmailCode, RecoveryCodes, Totp, User
from piccolo_fastapi_auth.mfa.method import Begun, Enrolment, MfaMethod, SentMethod
from piccolo_fastapi_auth.mfa.methods.recovery_codes import digest
from piccolo_fastapi_auth.primitives.sealing import Sealer
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import Person, log_in, make_app
from tests.mfa.helpers import code_at, log_in_with

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER: Final = timedelta(hours=1)

Answer = Callable[[bytes, Mapping[str, str], datetime], tuple[bytes, str]]


@dataclass(frozen=True)
class Case:
    """A method, and what a person with its device types at a moment: from the state to the state with the answer."""

    method: MfaMethod
    answer: Answer


class ColourEnrolment(Enrolment):
    """A word to remember."""

    word: str


@dataclass(frozen=True)
class Colours:
    """An application's own method: the shown word, then how often it was asked. No good outside of a test."""

    name: str = "colours"
    enrolment: type[ColourEnrolment] = ColourEnrolment

    def begin(self, *, account: str) -> Begun:
        """Show a word."""
        return Begun(b"0", {"word": f"violet-{account}"})

    def prove(self, state: bytes, code: str, *, now: datetime) -> bytes | None:
        """Accept the next number."""
        del now
        expected = int(state) + 1
        return str(expected).encode() if code == f"violet {expected}" else None


def _app(digits: int, algorithm: str) -> Answer:
    digest = algorithm.lower()
    return lambda state, shown, now: (
        state, code_at(shown["secret"], now, digits=digits, digest=digest),
    )  # fmt: skip


def _mail(method: SentMethod) -> Case:
    def answer(state: bytes, shown: Mapping[str, str], now: datetime) -> tuple[bytes, str]:
        assert set(shown) == {"sent_to"}
        issued = method.issue(state, flow="", now=now, lifetime=timedelta(minutes=10))
        return issued.state, issued.code

    return Case(method, answer)


CASES: Final = [
    pytest.param(Case(Totp(), _app(6, "SHA1")), id="totp"),
    pytest.param(Case(Totp(strict=True), _app(6, "SHA1")), id="totp-strict"),
    pytest.param(Case(Totp(digits=8), _app(8, "SHA1")), id="totp-8"),
    pytest.param(Case(Totp(algorithm="SHA256"), _app(6, "SHA256")), id="totp-sha256"),
    pytest.param(Case(Totp(digits=8, algorithm="SHA256"), _app(8, "SHA256")), id="totp-8-sha256"),
    pytest.param(_mail(EmailCode()), id="email_code"),
]


@pytest.mark.parametrize("case", CASES)
def test_the_right_answer_proves_and_changes_the_state(case: Case) -> None:
    """The round trip of an enrolment; the old state is what the service compares and sets."""
    begun = case.method.begin(account="alice")
    state, typed = case.answer(begun.state, begun.shown, NOW)

    proven = case.method.prove(state, typed, now=NOW)

    assert proven is not None
    assert proven != state
    shown = {"id": "00000000-0000-4000-8000-000000000000", **begun.shown}
    assert case.method.enrolment.model_validate(shown).model_dump(mode="json") == shown


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_good_once(case: Case) -> None:
    """TOTP-1: a replay proves nothing, and the next answer does."""
    begun = case.method.begin(account="alice")
    state, answer = case.answer(begun.state, begun.shown, NOW)
    used = case.method.prove(state, answer, now=NOW)
    assert used is not None

    assert case.method.prove(used, answer, now=NOW) is None
    ready, answer = case.answer(used, begun.shown, NOW + LATER)
    assert case.method.prove(ready, answer, now=NOW + LATER) is not None


@pytest.mark.parametrize("case", CASES)
def test_another_enrolments_answer_proves_nothing(case: Case) -> None:
    """Two enrolments of one person share nothing."""
    mine, other = case.method.begin(account="alice"), case.method.begin(account="alice")

    _, foreign = case.answer(other.state, other.shown, NOW)
    state, own = case.answer(mine.state, mine.shown, NOW)

    assert case.method.prove(state, foreign, now=NOW) is None
    assert case.method.prove(state, own, now=NOW + LATER) is None


@pytest.mark.parametrize("case", CASES)
@settings(deadline=None)  # nothing is timed here
@given(typed=st.text(max_size=64))
def test_a_hostile_answer_is_refused(case: Case, typed: str) -> None:
    """Whatever text comes, ``prove`` answers and does not raise; the chance of a hit is nothing."""
    begun = case.method.begin(account="alice")

    state, good = case.answer(begun.state, begun.shown, NOW)
    _, previous = case.answer(begun.state, begun.shown, NOW - timedelta(seconds=30))

    assert case.method.prove(state, typed, now=NOW) is None or typed in {good, previous}


@pytest.mark.parametrize("case", CASES)
def test_the_state_survives_being_sealed(case: Case) -> None:
    """Bytes in, bytes out: sealed, stored as text, opened, proven, and again."""
    sealer = Sealer([b"k" * 32])
    begun = case.method.begin(account="alice")
    state = begun.state

    for hour in range(3):
        now = NOW + hour * LATER
        state, answer = case.answer(state, begun.shown, now)
        stored = sealer.seal(state, bound_to="row").encode("ascii").decode("ascii")
        opened = sealer.open(stored, bound_to="row")
        assert opened == state
        proven = case.method.prove(opened, answer, now=now)
        assert proven is not None
        state = proven


def test_recovery_codes_have_128_bits_each() -> None:
    """REC-2: 26 characters of base32 in groups; typed in another case and grouping they are the same code."""
    codes = RecoveryCodes().make()
    assert len(set(codes)) == 10
    assert all(len(code.replace("-", "")) == 26 for code in codes)

    for code in codes:
        bare = code.replace("-", "")
        spellings = {code, code.lower(), bare, f" {bare[:13]} {bare[13:]} "}
        assert len({digest(spelling) for spelling in spellings}) == 1
    assert len({digest(code) for code in codes}) == 10


@given(st.text())
def test_a_hostile_recovery_code_is_no_code(typed: str) -> None:
    """Only 26 characters of base32 are looked up at all."""
    assert digest(typed) is None or len(typed) >= 26


@pytest.fixture
def app(database: Engine[Any], settings: AuthSettings, clock: FrozenClock) -> FastAPI:
    """An application with a second factor of its own beside ours."""
    del database
    return make_app(
        Auth(
            settings,
            user_table=User,
            mfa=[Totp(), Colours(), RecoveryCodes()],
            clock=clock,
            hasher=fast_hasher(),
        )
    )


@pytest.fixture
def auth(app: FastAPI) -> Auth[User]:
    """The ``Auth`` of that application."""
    installed: Auth[User] = app.state.piccolo_fastapi_auth[0]
    return installed


async def _enrol_colours(client: AsyncClient, person: Person) -> dict[str, Any]:
    await log_in(client, person)
    begun = await client.post("/auth/mfa/colours", json={"name": "Memory"})
    assert begun.status_code == 201, begun.text
    body = {"id": begun.json()["id"], "code": "violet 1"}
    answer = await client.post("/auth/mfa/colours/confirm", json=body)
    assert answer.status_code == 200, answer.text
    return {"word": begun.json()["word"], **answer.json()}


async def test_an_applications_own_method_has_routes_and_challenges(
    client: AsyncClient, alice: Person
) -> None:
    """A method is a class in a list: enrolled, asked for and used once over the generic routes."""
    enrolled = await _enrol_colours(client, alice)
    assert enrolled["word"] == "violet-alice"
    assert enrolled["method"]["method"] == "colours"
    assert len(enrolled["recovery_codes"]) == 10
    assert (await client.get("/auth/mfa")).json()["available"] == ["totp", "colours"]

    answer = await log_in_with(client, "violet 2", "colours")

    assert answer.json()["session"]["methods"] == ["password", "colours"]
    assert (await log_in_with(client, "violet 2", "colours")).status_code == 401
    assert (await log_in_with(client, "violet 3", "totp")).status_code == 401


async def test_an_applications_own_method_counts_as_a_second_factor(
    client: AsyncClient, alice: Person
) -> None:
    """MFA-6: who proved it passes ``require(mfa=True)``, and may manage their second factors."""
    enrolled = await _enrol_colours(client, alice)

    assert (await client.get("/mfa")).status_code == 200
    assert (await log_in_with(client, "violet 2", "colours")).status_code == 200
    assert (await client.get("/mfa")).status_code == 200
    removed = await client.delete(f"/auth/mfa/{enrolled['method']['id']}")
    assert removed.status_code == 204, removed.text

"""Simultaneous requests: a code is good for one of them, a challenge has five tries, changes do not interleave."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient, Response
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, RecoveryCodes, Totp, User
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import PASSWORD, SCOPES, Browsers, People, Person, code_of, log_in
from tests.mfa.helpers import (
    WINDOW,
    Phone,
    begin,
    code_at,
    confirm,
    enrol,
    prove_again,
    token_challenge,
    verify,
)

AT_ONCE = 20
ROUNDS = 20
METHODS = ["totp", "recovery_code"]


@pytest.fixture
def auth(database: Engine[Any], settings: AuthSettings, clock: FrozenClock) -> Auth[User]:
    """An ``Auth`` that gives a recovery code for each round."""
    del database
    return Auth(
        settings,
        user_table=User,
        mfa=[Totp(), RecoveryCodes(count=ROUNDS)],
        clock=clock,
        hasher=fast_hasher(),
        scopes=SCOPES,
    )


async def twenty_challenges(client: AsyncClient) -> list[str]:
    """Begin a log-in, and have nineteen more like it: only their tokens differ."""
    first, table = await token_challenge(client), AuthOneTimeToken
    row = await table.select().where(table.token_hash == str(opaque_tokens.digest(first))).first()
    assert row is not None
    tokens = [opaque_tokens.new_token() for _ in range(AT_ONCE - 1)]
    await table.insert(
        *(
            table(**{**row, "id": uuid4(), "token_hash": opaque_tokens.digest(token)})
            for token in tokens
        )
    )
    return [first, *tokens]


def statuses(answers: list[Response]) -> Counter[int]:
    """How often each status came."""
    return Counter(answer.status_code for answer in answers)


@pytest.mark.parametrize("method", METHODS)
async def test_one_code_on_twenty_challenges_logs_in_once(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock, method: str
) -> None:
    """TOTP-3, REC-1: twenty rounds of twenty log-ins; ten at most are compared at all (MFA-2)."""
    for number in range(ROUNDS):
        tokens = await twenty_challenges(stranger)
        typed = phone.code() if method == "totp" else phone.recovery_codes[number]

        answers = await asyncio.gather(
            *(verify(stranger, token, typed, method) for token in tokens)
        )

        counted = statuses(answers)
        assert counted[200] == 1, counted
        assert counted[200] + counted[401] + counted[429] == AT_ONCE
        clock.move(WINDOW)
    assert await AuthSession.count() == 1 + ROUNDS  # and the one in which she enrolled


@pytest.mark.parametrize("method", METHODS)
async def test_one_code_twenty_times_on_one_challenge_logs_in_once(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock, method: str
) -> None:
    """MFA-1, MFA-4: twenty rounds; five are compared at most, one succeeds."""
    for number in range(ROUNDS):
        token = await token_challenge(stranger)
        typed = phone.code() if method == "totp" else phone.recovery_codes[number]

        answers = await asyncio.gather(
            *(verify(stranger, token, typed, method) for _ in range(AT_ONCE))
        )

        assert statuses(answers) == {200: 1, 401: AT_ONCE - 1}
        refused = Counter(code_of(answer) for answer in answers if answer.status_code == 401)
        assert refused["invalid_code"] <= 4
        clock.move(WINDOW)
    assert await AuthSession.count() == 1 + ROUNDS


async def test_several_good_codes_on_one_challenge_log_in_once(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-4: the challenge is used up with the code, or neither is: the others stay good."""
    for number in range(4):
        token = await token_challenge(stranger)
        codes = phone.recovery_codes[number * 4 : number * 4 + 4]

        answers = await asyncio.gather(
            verify(stranger, token, phone.code()),
            *(verify(stranger, token, code, "recovery_code") for code in codes),
        )

        assert statuses(answers) == {200: 1, 401: 4}
        clock.move(WINDOW)
    assert await AuthSession.count() == 1 + 4
    used = await AuthRecoveryCode.count().where(AuthRecoveryCode.used_at.is_not_null())
    assert used <= 4


async def test_a_hundred_wrong_codes_on_one_challenge_are_five_tries(
    stranger: AsyncClient, phone: Phone
) -> None:
    """MFA-1: no more than five are compared, and none of the others counts against the device."""
    token = await token_challenge(stranger)

    answers = await asyncio.gather(*(verify(stranger, token, phone.wrong()) for _ in range(100)))

    refused = Counter(code_of(answer) for answer in answers)
    assert refused == {"invalid_code": 5, "mfa_token_expired": 95}
    assert await AuthMfaMethod.select(AuthMfaMethod.failures) == [{"failures": 5}]


async def test_a_hundred_wrong_codes_on_twenty_challenges_are_ten_tries(
    stranger: AsyncClient, phone: Phone
) -> None:
    """MFA-2: the cap of the account is exact under load."""
    tokens = await twenty_challenges(stranger)

    answers = await asyncio.gather(
        *(verify(stranger, token, phone.wrong()) for token in tokens for _ in range(5))
    )

    assert statuses(answers) == {401: 10, 429: 90}
    assert await AuthMfaMethod.select(AuthMfaMethod.failures) == [{"failures": 10}]


@pytest.mark.parametrize("method", METHODS)
async def test_one_code_renews_one_log_in(client: AsyncClient, phone: Phone, method: str) -> None:
    """TOTP-3, REC-1: the step-up route compares and uses up in the same way."""
    typed = phone.code() if method == "totp" else phone.recovery_codes[0]

    answers = await asyncio.gather(*(prove_again(client, typed, method) for _ in range(AT_ONCE)))

    assert statuses(answers)[200] == 1


async def test_an_enrolment_is_confirmed_once(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """REC-3: of twenty confirmations one succeeds, and the codes that it shows are the codes there are."""
    await log_in(client, alice)
    begun = await begin(client)
    code = code_at(begun["secret"], clock())

    answers = await asyncio.gather(*(confirm(client, begun, code) for _ in range(AT_ONCE)))

    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert len(good[0].json()["recovery_codes"]) == ROUNDS
    assert await AuthRecoveryCode.count() == ROUNDS


async def test_of_two_devices_confirmed_at_once_one_is_the_first(
    client: AsyncClient, auth: Auth[User], alice: Person, clock: FrozenClock
) -> None:
    """REC-3: recovery codes are shown with one of them, and are good."""
    await log_in(client, alice)
    begun = [await begin(client, name="Phone")]
    waiting = await AuthMfaMethod.select().first()
    assert waiting is not None
    copy, shown = await auth.mfa.begin(alice.id, method="totp", name="Tablet", account="alice")
    await AuthMfaMethod.insert(AuthMfaMethod(**waiting))  # as two begun in one instant may stand
    begun.append({"id": str(copy), "secret": shown.shown["secret"]})

    answers = await asyncio.gather(
        *(confirm(client, one, code_at(one["secret"], clock())) for one in begun)
    )

    assert statuses(answers) == {200: 2}
    shown_codes = [code for answer in answers for code in answer.json()["recovery_codes"]]
    assert len(shown_codes) == await AuthRecoveryCode.count() == ROUNDS


async def test_only_the_last_of_several_beginnings_waits(
    client: AsyncClient, alice: Person
) -> None:
    """TOTP-5: a second begin kills the first, also when they come at once."""
    await log_in(client, alice)

    answers = await asyncio.gather(*(client.post("/auth/mfa/totp") for _ in range(AT_ONCE)))

    assert statuses(answers)[201] >= 1
    assert await AuthMfaMethod.count() == 1


async def test_new_recovery_codes_kill_the_old_also_at_once(
    client: AsyncClient, phone: Phone
) -> None:
    """REC-3: whichever answer came last, there is one set of codes, and one answer shows it."""
    answers = await asyncio.gather(
        *(client.post("/auth/mfa/recovery-codes") for _ in range(AT_ONCE))
    )

    assert statuses(answers) == {200: AT_ONCE}
    assert await AuthRecoveryCode.count() == ROUNDS
    assert len(phone.recovery_codes) == ROUNDS


async def test_two_last_devices_removed_at_once_take_the_codes_along(
    client: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """REC-3: no recovery code outlives the last second factor."""
    device = phone
    for _ in range(5):
        tablet = await enrol(client, clock, name="Tablet")

        answers = await asyncio.gather(
            *(client.delete(f"/auth/mfa/{one.id}") for one in (device, tablet))
        )

        assert statuses(answers) == {204: 2}
        assert await AuthMfaMethod.count() == await AuthRecoveryCode.count() == 0
        device = await enrol(client, clock)


async def test_no_password_log_in_slips_past_the_first_factor(
    client: AsyncClient, new_browser: Browsers, sign_up: People, clock: FrozenClock
) -> None:
    """MFA-8: who logs in while the first factor is confirmed is logged out, or asked for it."""
    stranger = new_browser()
    for number in range(10):
        person = await sign_up(f"person{number}")
        await log_in(client, person)
        begun = await begin(client)
        code = code_at(begun["secret"], clock())
        form = {"grant_type": "password", "username": person.username, "password": PASSWORD}
        before = [stranger.post("/auth/token", data=form) for _ in range(4)]
        after = [stranger.post("/auth/token", data=form) for _ in range(4)]

        answers = await asyncio.gather(*before, confirm(client, begun, code), *after)

        assert answers[4].status_code == 200
        sessions = await AuthSession.select(AuthSession.methods).where(
            AuthSession.user == person.id
        )
        assert [row["methods"] for row in sessions] == ["password totp"]

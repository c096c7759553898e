"""Recovery codes over HTTP: shown once, used once, made anew, gone with the last second factor."""

from datetime import timedelta
from typing import Any

from httpx import AsyncClient
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, Totp, User
from piccolo_fastapi_auth.mfa.tables import AuthRecoveryCode
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import PASSWORD, Browsers, People, Person, code_of
from tests.mfa.helpers import (
    PASSWORD_FORM,
    Phone,
    challenge,
    enrol,
    log_in_with,
    prove_again,
    verify,
)

CODE = "recovery_code"


async def test_ten_codes_are_shown_once(client: AsyncClient, phone: Phone) -> None:
    """REC-3: with the first method; no route shows them again."""
    assert len(set(phone.recovery_codes)) == 10

    overview = await client.get("/auth/mfa")

    assert overview.json()["recovery_codes_left"] == 10
    assert not [code for code in phone.recovery_codes if code in overview.text]


async def test_a_code_logs_in_once(stranger: AsyncClient, phone: Phone) -> None:
    """REC-1: each of the ten, in whatever spelling; a used one is refused in every spelling."""
    for number, code in enumerate(phone.recovery_codes):
        typed = [code, code.lower(), code.replace("-", " "), code.replace("-", "")][number % 4]
        answer = await log_in_with(stranger, typed, CODE)
        assert answer.json()["session"]["methods"] == ["password", "recovery_code"]
        assert (await stranger.get("/mfa")).status_code == 200
    assert (await stranger.get("/auth/mfa")).json()["recovery_codes_left"] == 0

    code = phone.recovery_codes[0]
    for typed in (code, code.lower(), code.replace("-", "")):
        assert code_of(await log_in_with(stranger, typed, CODE)) == "invalid_code"


async def test_without_codes_left_none_are_asked_for(stranger: AsyncClient, phone: Phone) -> None:
    """The challenge names what the person can still give."""
    body = {"username": "alice", "password": PASSWORD}
    before = await stranger.post("/auth/login", json=body)
    for code in phone.recovery_codes:
        assert (await log_in_with(stranger, code, CODE)).status_code == 200
    stranger.cookies.clear()

    after = await stranger.post("/auth/login", json=body)

    assert before.json()["detail"]["methods"] == ["totp", "recovery_code"]
    assert after.json()["detail"]["methods"] == ["totp"]


async def test_new_codes_kill_the_old(
    client: AsyncClient, stranger: AsyncClient, phone: Phone
) -> None:
    """REC-3: the ten old ones are over at once, the ten new ones are good."""
    answer = await client.post("/auth/mfa/recovery-codes")

    fresh = answer.json()["recovery_codes"]
    assert len(set(fresh)) == 10
    assert not set(fresh) & set(phone.recovery_codes)
    assert (await client.get("/auth/mfa")).json()["recovery_codes_left"] == 10
    refused = await log_in_with(stranger, phone.recovery_codes[0], CODE)
    assert code_of(refused) == "invalid_code"
    assert (await log_in_with(stranger, fresh[0], CODE)).status_code == 200


async def test_a_second_device_brings_no_codes(
    client: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """REC-3: the codes that the person has stay good."""
    tablet = await enrol(client, clock, name="Tablet")

    assert tablet.recovery_codes == []
    assert (await prove_again(client, phone.recovery_codes[0], CODE)).status_code == 200


async def test_a_persons_codes_are_nobody_elses(
    new_browser: Browsers, sign_up: People, phone: Phone, clock: FrozenClock
) -> None:
    """REC-1: a code of Alice's proves nothing for Mira, and is not used up by her."""
    mira = await sign_up("mira")
    browser = new_browser()
    body = {"username": mira.username, "password": mira.password}
    assert (await browser.post("/auth/login", json=body)).status_code == 200
    await enrol(browser, clock)

    token = await challenge(browser, "mira")

    assert code_of(await verify(browser, token, phone.recovery_codes[0], CODE)) == "invalid_code"
    assert (await log_in_with(new_browser(), phone.recovery_codes[0], CODE)).status_code == 200


async def test_a_code_is_no_code_of_another_method(stranger: AsyncClient, phone: Phone) -> None:
    """A recovery code as ``totp`` and the other way round: refused, and neither is used up."""
    code = phone.recovery_codes[0]
    assert code_of(await log_in_with(stranger, code, "totp")) == "invalid_code"
    assert code_of(await log_in_with(stranger, phone.code(), CODE)) == "invalid_code"

    assert (await log_in_with(stranger, code, CODE)).status_code == 200
    assert (await log_in_with(stranger, phone.code(), "totp")).status_code == 200


async def test_no_codes_for_who_has_no_second_factor(client: AsyncClient, alice: Person) -> None:
    """They would stand in for nothing."""
    body = {"username": alice.username, "password": alice.password}
    assert (await client.post("/auth/login", json=body)).status_code == 200

    assert code_of(await client.post("/auth/mfa/recovery-codes")) == "mfa_enrolment_required"
    assert await AuthRecoveryCode.count() == 0


async def test_codes_are_asked_for_with_a_fresh_log_in(
    client: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """SUD-1: a stale session makes none, and the old ones stay good."""
    clock.move(timedelta(minutes=11))

    refused = await client.post("/auth/mfa/recovery-codes")

    assert code_of(refused) == "reauthentication_required"
    assert (await prove_again(client, phone.recovery_codes[9], CODE)).status_code == 200
    assert (await client.post("/auth/mfa/recovery-codes")).status_code == 200


async def test_without_recovery_codes_among_the_methods_there_are_none(
    stranger: AsyncClient,
    phone: Phone,
    database: Engine[Any],
    settings: AuthSettings,
    clock: FrozenClock,
) -> None:
    """An application that stops to offer them stops to accept those that people still have."""
    del database
    token = await challenge(stranger)
    auth = Auth(settings, user_table=User, mfa=[Totp()], clock=clock, hasher=fast_hasher())
    user = await User.objects().first()
    assert user is not None

    assert await auth.mfa.usable(user.id) == ["totp"]
    proven = await auth.mfa.prove(user.id, method=CODE, code=phone.recovery_codes[0])
    assert not proven
    assert (await verify(stranger, token, phone.code())).status_code == 200


async def test_the_token_form_takes_a_code(stranger: AsyncClient, phone: Phone) -> None:
    """Swagger UI's one field takes whichever a person has; once."""
    form = {**PASSWORD_FORM, "mfa_code": phone.recovery_codes[3]}

    answers = [await stranger.post("/auth/token", data=form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 400]
    assert answers[1].json()["error"] == "invalid_grant"

"""Wrong codes: ten in fifteen minutes over all challenges, factors and routes; a hundred in a row end a method."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from httpx import AsyncClient, Response

from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.testing import FrozenClock
from piccolo_fastapi_auth.users.tables import AuthAccount
from tests.fixtures import PASSWORD, Browsers, People, Person, code_of, log_in
from tests.mfa.helpers import (
    PASSWORD_FORM,
    STEP,
    WINDOW,
    Phone,
    begin,
    challenge,
    code_at,
    confirm,
    enrol,
    log_in_with,
    prove_again,
    tokens_with,
    verify,
)

Door = Callable[[AsyncClient, str], Awaitable[Response]]

CODE = "recovery_code"


async def by_challenge(client: AsyncClient, code: str) -> Response:
    """A log-in with a cookie."""
    return await log_in_with(client, code)


async def by_form(client: AsyncClient, code: str) -> Response:
    """A log-in with tokens, all in one form."""
    return await client.post("/auth/token", data={**PASSWORD_FORM, "mfa_code": code})


async def by_reauthentication(client: AsyncClient, code: str) -> Response:
    """A renewed proof of somebody who is signed in."""
    return await prove_again(client, code)


async def by_deletion(client: AsyncClient, code: str) -> Response:
    """The deletion of the account."""
    return await client.request("DELETE", "/auth/me", json={"method": "totp", "code": code})


def refusal(answer: Response) -> str:
    """The code of a refusal, in our words or in RFC 6749's."""
    body = answer.json()
    return str(body["error"]) if "error" in body else code_of(answer)


async def test_three_challenges_of_four_wrong_codes_are_too_many(
    stranger: AsyncClient, new_browser: Browsers, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-2: whatever the method and the browser; exactly after Retry-After it ends by itself."""
    tokens = [await challenge(new_browser()) for _ in range(3)]
    refused = [
        await verify(new_browser(), token, phone.wrong(), method)
        for token in tokens
        for method in ("totp", CODE, "totp", CODE)
    ]
    assert [answer.status_code for answer in refused] == [401] * 10 + [429] * 2
    assert {code_of(answer) for answer in refused[10:]} == {"rate_limited"}
    wait = timedelta(seconds=int(refused[-1].headers["retry-after"]))
    assert timedelta(0) < wait <= WINDOW

    clock.move(wait - timedelta(seconds=1))
    assert (await log_in_with(stranger, phone.code())).status_code == 429
    clock.move(timedelta(seconds=1))
    assert (await log_in_with(stranger, phone.code())).status_code == 200


@pytest.mark.parametrize("door", [by_challenge, by_form, by_reauthentication, by_deletion])
async def test_every_door_has_the_same_cap(
    client: AsyncClient, phone: Phone, clock: FrozenClock, door: Door
) -> None:
    """MFA-2, MFA-3: eleven wrong codes by one door close them all, also to the right code and the paper."""
    wrong = [await door(client, phone.wrong()) for _ in range(11)]
    assert {refusal(answer) for answer in wrong[:10]} <= {"invalid_code", "invalid_grant"}
    assert (wrong[10].status_code, refusal(wrong[10])) == (429, "rate_limited")

    doors = (by_challenge, by_form, by_reauthentication, by_deletion)
    locked = [await other(client, phone.code()) for other in doors]
    locked.append(await prove_again(client, phone.recovery_codes[0], CODE))

    assert {answer.status_code for answer in locked} == {429}
    assert all(0 < int(answer.headers["retry-after"]) <= 900 for answer in locked)
    clock.move(WINDOW)
    assert (await door(client, phone.code())).status_code in {200, 204}


async def test_confirming_has_the_same_cap(
    client: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-3: the first code of a new device is guessed no faster than any other."""
    begun = await begin(client, name="Tablet")
    wrong = [await confirm(client, begun, phone.wrong()) for _ in range(11)]
    assert [code_of(answer) for answer in wrong] == ["invalid_code"] * 10 + ["rate_limited"]
    locked = await confirm(client, begun, code_at(begun["secret"], clock()))
    assert (locked.status_code, code_of(locked)) == (429, "rate_limited")
    assert (await prove_again(client, phone.code())).status_code == 429

    clock.move(WINDOW)

    assert (await prove_again(client, phone.code())).status_code == 200
    good = await confirm(client, begun, code_at(begun["secret"], clock()))
    assert good.status_code == 200


async def test_the_cap_of_one_person_is_nobody_elses(
    client: AsyncClient, new_browser: Browsers, phone: Phone, sign_up: People, clock: FrozenClock
) -> None:
    """MFA-2: who locks Alice out locks out nobody else, and her open sessions go on."""
    mira = new_browser()
    await log_in(mira, await sign_up("mira"))
    tablet = await enrol(mira, clock)

    wrong = [await by_form(new_browser(), phone.wrong()) for _ in range(11)]

    assert wrong[10].status_code == 429
    assert (await client.get("/user")).status_code == 200
    assert (await prove_again(mira, tablet.code())).status_code == 200


async def test_a_right_code_costs_nothing(
    stranger: AsyncClient, client: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-5: it gives its attempt back, whichever the door; the wrong ones before it still count."""
    for _ in range(9):
        assert refusal(await by_form(stranger, phone.wrong())) == "invalid_grant"
    for number in range(4):
        assert (await prove_again(client, phone.code())).status_code == 200
        code = phone.recovery_codes[number]
        assert (await log_in_with(stranger, code, CODE)).status_code == 200
        clock.move(STEP)
    stranger.cookies.clear()
    assert await tokens_with(stranger, phone.code())

    last = [await by_form(stranger, phone.wrong()) for _ in range(2)]

    assert [answer.status_code for answer in last] == [400, 429]


async def test_passwords_and_codes_are_counted_apart(
    stranger: AsyncClient, phone: Phone, alice: Person
) -> None:
    """MFA-5: wrong passwords take no attempts at codes; locked codes refuse no password."""
    for _ in range(4):
        body = {"username": alice.username, "password": "wrong"}
        assert (await stranger.post("/auth/login", json=body)).status_code == 401
    assert [(await by_form(stranger, phone.wrong())).status_code for _ in range(11)] == (
        [400] * 10 + [429]
    )

    assert await challenge(stranger)


async def test_a_hundred_wrong_codes_disable_the_method_and_not_the_second_factor(
    client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-5: counted over log-ins and renewed proofs; paper still works, the password alone still does not."""
    for number in range(10):
        token = await challenge(stranger)
        for _ in range(5):
            assert code_of(await verify(stranger, token, phone.wrong())) == "invalid_code"
            assert code_of(await prove_again(client, phone.wrong())) == "invalid_code"
        disabled = await AuthMfaMethod.count().where(AuthMfaMethod.disabled_at.is_not_null())
        assert disabled == (number == 9)
        clock.move(WINDOW)

    assert code_of(await prove_again(client, phone.code())) == "invalid_code"
    assert code_of(await log_in_with(stranger, phone.code())) == "invalid_code"
    body = {"username": "alice", "password": PASSWORD}
    detail = (await stranger.post("/auth/login", json=body)).json()["detail"]
    assert (detail["code"], detail["methods"]) == ("mfa_required", [CODE])
    weak = await client.post("/auth/reauthenticate", json={"password": PASSWORD})
    assert (code_of(weak), weak.json()["detail"]["methods"]) == ("mfa_required", [CODE])
    assert (await log_in_with(stranger, phone.recovery_codes[0], CODE)).status_code == 200
    assert (await stranger.get("/mfa")).status_code == 200


async def test_a_disabled_method_is_replaced_after_recovery(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-5: bound anew (NIST SP 800-63B-4 section 3.2.2); the old one never comes back by itself."""
    await AuthMfaMethod.update({AuthMfaMethod.failures: 99}).where(AuthMfaMethod.id == phone.id)
    assert code_of(await log_in_with(stranger, phone.wrong())) == "invalid_code"
    assert code_of(await log_in_with(stranger, phone.code())) == "invalid_code"
    answer = await log_in_with(stranger, phone.recovery_codes[0], CODE)
    assert answer.status_code == 200

    new = await enrol(stranger, clock, name="New phone")

    assert (await stranger.delete(f"/auth/mfa/{phone.id}")).status_code == 204
    assert code_of(await log_in_with(stranger, phone.code())) == "invalid_code"
    assert (await log_in_with(stranger, new.code())).status_code == 200


async def test_only_wrong_codes_in_a_row_disable(
    client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-5: a right code ends the row of the device that it came from, and of no other."""
    await enrol(client, clock, name="Tablet")
    table = AuthMfaMethod
    await table.update({table.failures: 98}, force=True)

    assert (await log_in_with(stranger, phone.code())).status_code == 200

    rows = await table.select(table.name, table.failures)
    assert {row["name"]: row["failures"] for row in rows} == {"Phone": 0, "Tablet": 98}
    for _ in range(2):
        await by_form(stranger, phone.wrong())
    rows = await table.select(table.name, table.disabled_at)
    assert {row["name"]: row["disabled_at"] is None for row in rows} == {
        "Phone": True,
        "Tablet": False,
    }


async def test_wrong_recovery_codes_disable_nothing(stranger: AsyncClient, phone: Phone) -> None:
    """MFA-5: each kind has a row of its own: 128 bits are not guessed, and the app must not suffer for it."""
    await AuthMfaMethod.update({AuthMfaMethod.failures: 99}, force=True)
    for _ in range(5):
        wrong = await log_in_with(stranger, "AAAAA-" * 5 + "A", CODE)
        assert code_of(wrong) == "invalid_code"

    assert (await log_in_with(stranger, phone.code())).status_code == 200
    attempts = await AuthAccount.select(AuthAccount.code_attempts).first()
    assert attempts == {"code_attempts": 5}

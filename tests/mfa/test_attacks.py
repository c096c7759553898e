"""Ways around the second factor that an attacker would try."""

import asyncio
from datetime import timedelta

from httpx import AsyncClient

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import PASSWORD, Browsers, People, Person, bearer, code_of, log_in
from tests.mfa.helpers import (
    PASSWORD_FORM,
    STEP,
    Phone,
    challenge,
    credentials_in,
    enrol,
    log_in_with,
    prove_again,
    token_challenge,
    tokens_with,
    verify,
)

CODE = "recovery_code"


async def test_a_token_of_another_purpose_is_no_challenge(
    auth: Auth[User], stranger: AsyncClient, alice: Person, phone: Phone
) -> None:
    """MFA-4: whoever holds a link from a mail cannot answer with it, even with the right code."""
    candidate = await auth.users.by_id(alice.id)
    assert candidate is not None
    for purpose in ("reset_password", "verify_email", "magic_link", "MFA", "mfa "):
        token = await auth._parts.one_time_tokens.issue(
            alice.id,
            purpose=purpose,
            lifetime=timedelta(hours=1),
            binding=candidate.password_hash,
            data={"username": "alice", "transport": "cookie", "scope": None},
        )
        assert code_of(await verify(stranger, token, phone.code())) == "mfa_token_expired"

    assert (await log_in_with(stranger, phone.code())).status_code == 200


async def test_a_code_is_used_up_whatever_the_transport(
    client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """TOTP-1, REC-1: used by one door it opens no other: cookie, token, form, renewed proof, deletion."""
    for method in ("totp", CODE):
        used = phone.code() if method == "totp" else phone.recovery_codes[0]
        assert (await prove_again(client, used, method)).status_code == 200
        by_form = await stranger.post("/auth/token", data={**PASSWORD_FORM, "mfa_code": used})
        proof = {"method": method, "code": used}
        answers = [
            await log_in_with(stranger, used, method),
            await verify(stranger, await token_challenge(stranger), used, method),
            await prove_again(client, used, method),
            await client.request("DELETE", "/auth/me", json=proof),
        ]
        assert by_form.json()["error"] == "invalid_grant"
        assert {code_of(answer) for answer in answers} == {"invalid_code"}
        clock.move(timedelta(minutes=15))
    assert (await prove_again(client, phone.code())).status_code == 200


async def test_one_code_at_every_door_at_once_opens_one(
    client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """TOTP-3, REC-1: also across transports."""
    for number in range(5):
        method = "totp" if number % 2 else CODE
        code = phone.code() if method == "totp" else phone.recovery_codes[number]
        tokens = [await challenge(stranger), await token_challenge(stranger)]

        answers = await asyncio.gather(
            *(verify(stranger, token, code, method) for token in tokens),
            prove_again(client, code, method),
            stranger.post("/auth/token", data={**PASSWORD_FORM, "mfa_code": code}),
        )

        assert [answer.status_code for answer in answers].count(200) == 1
        stranger.cookies.clear()
        clock.move(timedelta(minutes=15))
        if answers[2].status_code != 200:  # her own session is stale by now
            assert (await prove_again(client, phone.code())).status_code == 200
            clock.move(STEP)


async def test_a_challenge_answered_by_somebody_else_is_its_owners_log_in(
    new_browser: Browsers, phone: Phone, sign_up: People, clock: FrozenClock
) -> None:
    """MFA-4: Mira's code answers no challenge of Alice's, and her session does not become Alice's by one."""
    mira, browser = await sign_up("mira"), new_browser()
    await log_in(browser, mira)
    hers = await enrol(browser, clock)
    before = (await browser.get("/auth/session")).json()["user"]["username"]
    token = await challenge(new_browser())

    answer = await verify(browser, token, hers.code())

    assert code_of(answer) == "invalid_code"
    assert credentials_in(answer) == []
    assert (await browser.get("/auth/session")).json()["user"]["username"] == before == "mira"
    done = await verify(browser, token, phone.code())
    assert done.json()["user"]["username"] == "alice"
    assert (
        await AuthSession.count().where(AuthSession.user == mira.id) == 0
    )  # one session a browser


async def test_a_person_with_a_disabled_method_only_is_not_let_in(
    stranger: AsyncClient, phone: Phone
) -> None:
    """MFA-5: no paper left either: the challenge names nothing, and nothing answers it; the operator must help."""
    await AuthRecoveryCode.delete(force=True)
    await AuthMfaMethod.update({AuthMfaMethod.failures: 99}, force=True)
    assert code_of(await log_in_with(stranger, phone.wrong())) == "invalid_code"

    answer = await stranger.post("/auth/login", json={"username": "alice", "password": PASSWORD})

    detail = answer.json()["detail"]
    assert (detail["code"], detail["methods"]) == ("mfa_required", [])
    for method in ("totp", CODE, "email_code", "password", ""):
        for typed in (phone.code(), phone.recovery_codes[0], PASSWORD):
            tried = await verify(stranger, await challenge(stranger), typed, method)
            assert credentials_in(tried) == []
    form = {**PASSWORD_FORM, "mfa_code": phone.code()}
    assert credentials_in(await stranger.post("/auth/token", data=form)) == []


async def test_an_unconfirmed_device_beside_a_good_one_proves_nothing(
    client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """TOTP-5: whoever sits at an open session and begins an enrolment logs in with it nowhere."""
    begun = (await client.post("/auth/mfa/totp")).json()
    waiting = Phone(begun["id"], begun["secret"], clock)

    assert code_of(await log_in_with(stranger, waiting.code())) == "invalid_code"
    assert code_of(await prove_again(client, waiting.code())) == "invalid_code"
    assert (await log_in_with(stranger, phone.code())).status_code == 200


async def test_confirming_and_logging_in_at_once_use_a_step_apart(
    client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """TOTP-3: the code that confirms a second device is worth nothing for a log-in in the same moment."""
    begun = (await client.post("/auth/mfa/totp")).json()
    tablet = Phone(begun["id"], begun["secret"], clock)
    token = await challenge(stranger)
    body = {"id": tablet.id, "code": tablet.code()}

    confirmed, logged_in = await asyncio.gather(
        client.post("/auth/mfa/totp/confirm", json=body), verify(stranger, token, tablet.code())
    )

    assert (confirmed.status_code, logged_in.status_code) == (200, 401)
    assert credentials_in(logged_in) == []
    assert phone.secret != tablet.secret


async def test_a_refresh_raises_nothing(
    client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """SUD-2: neither freshness nor a factor comes from an exchange of tokens."""
    tokens = await tokens_with(stranger, phone.code())
    clock.move(timedelta(minutes=11))

    renewed = (
        await stranger.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    ).json()

    for path in ("/auth/mfa/totp", "/auth/mfa/recovery-codes"):
        refused = await stranger.post(path, headers=bearer(renewed))
        assert code_of(refused) == "reauthentication_required"
    assert (await client.get("/auth/mfa")).status_code == 200

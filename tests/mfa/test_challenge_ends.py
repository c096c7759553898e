"""How a challenge ends: answered once, out of tries, too late, overtaken; and codes that were used before."""

from datetime import timedelta

from httpx import AsyncClient, Response

from piccolo_fastapi_auth import User
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import PASSWORD, Person, code_of
from tests.mfa.helpers import STEP, WIDE_DIGITS, Phone, challenge, log_in_with, verify


async def test_a_challenge_is_answered_once(stranger: AsyncClient, phone: Phone) -> None:
    """MFA-4: after the right code the token is over, also with another good code."""
    token = await challenge(stranger)
    assert (await verify(stranger, token, phone.code())).status_code == 200

    replays = [
        await verify(stranger, token, phone.code()),
        await verify(stranger, token, phone.recovery_codes[0], "recovery_code"),
    ]

    assert [code_of(answer) for answer in replays] == ["mfa_token_expired"] * 2
    assert (
        await log_in_with(stranger, phone.recovery_codes[0], "recovery_code")
    ).status_code == 200


async def test_five_wrong_codes_end_a_challenge(stranger: AsyncClient, phone: Phone) -> None:
    """MFA-1: whatever the method; then the right code needs a new log-in, and is not used up."""
    token = await challenge(stranger)
    methods = ["totp", "recovery_code", "totp", "nonsense", "password"]
    refused = [await verify(stranger, token, phone.wrong(), method) for method in methods]
    assert [code_of(answer) for answer in refused] == ["invalid_code"] * 5

    late = await verify(stranger, token, phone.code())

    assert code_of(late) == "mfa_token_expired"
    assert (await log_in_with(stranger, phone.code())).status_code == 200


async def test_a_challenge_lasts_five_minutes(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-4: a good code a second before is in time; at five minutes, and ever after, it is too late."""
    in_time, late = await challenge(stranger), await challenge(stranger)

    clock.move(timedelta(seconds=299))
    assert (await verify(stranger, in_time, phone.code())).status_code == 200
    for seconds in (1, 30, 3600):
        clock.move(timedelta(seconds=seconds))
        for typed in (phone.wrong(), phone.code()):
            assert code_of(await verify(stranger, late, typed)) == "mfa_token_expired"


async def test_a_new_password_ends_a_challenge(
    client: AsyncClient, stranger: AsyncClient, phone: Phone
) -> None:
    """SES-8: a log-in begun with the old password does not end with the new one."""
    token = await challenge(stranger)
    body = {"current_password": PASSWORD, "new_password": "a mule in the larder"}

    assert (await client.post("/auth/password/change", json=body)).status_code == 204

    assert code_of(await verify(stranger, token, phone.code())) == "mfa_token_expired"


async def test_an_account_that_is_switched_off_or_gone_ends_a_challenge(
    stranger: AsyncClient, phone: Phone, alice: Person
) -> None:
    """SES-8: the same answer for both, also to a wrong code; a deleted person leaves no challenge behind."""
    token = await challenge(stranger)
    await User.update({User.active: False}).where(User.id == alice.id)
    wrong = await verify(stranger, token, phone.wrong())
    inactive = await verify(stranger, token, phone.code())
    await User.delete().where(User.id == alice.id)
    gone = await verify(stranger, token, phone.code())

    assert code_of(gone) == "mfa_token_expired"
    assert wrong.json() == inactive.json() == gone.json()
    assert await AuthOneTimeToken.count() == await AuthMfaMethod.count() == 0


async def _used_code_again(client: AsyncClient, typed: object) -> Response:
    return await verify(client, await challenge(client), typed)


async def test_a_used_code_is_refused_in_every_spelling(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """TOTP-1, TOTP-2: as a JSON number, grouped, in full-width digits, in the next step; nor an older one."""
    used, older = phone.code(), phone.code(-1)
    assert (await log_in_with(stranger, used)).status_code == 200
    grouped = f"{used[:3]} {used[3:]}"
    spellings = [used, grouped, f" {used} ", f"{used[:3]}-{used[3:]}", older]
    for typed in [*spellings, used.translate(WIDE_DIGITS), f"{used}\n", f"+{used}"]:
        assert code_of(await _used_code_again(stranger, typed)) == "invalid_code"
    for number in (int(used), float(used), [used], {"code": used}, None):
        assert (await _used_code_again(stranger, number)).status_code == 422

    clock.move(STEP)

    assert code_of(await _used_code_again(stranger, used)) == "invalid_code"
    assert (await log_in_with(stranger, phone.code())).status_code == 200


async def test_a_good_code_in_full_width_digits_is_no_code(
    stranger: AsyncClient, phone: Phone
) -> None:
    """TOTP-1: one spelling of the digits, so nothing else can stand for a used code."""
    wide = phone.code().translate(WIDE_DIGITS)

    assert code_of(await log_in_with(stranger, wide)) == "invalid_code"
    assert (await log_in_with(stranger, phone.code())).status_code == 200


async def test_a_foreign_page_cannot_answer_a_challenge(
    stranger: AsyncClient, phone: Phone
) -> None:
    """CSR-4: nobody is logged in from another site, and the challenge keeps its tries."""
    token = await challenge(stranger)
    stranger.headers["sec-fetch-site"] = "cross-site"
    refused = [await verify(stranger, token, phone.code()) for _ in range(6)]
    del stranger.headers["sec-fetch-site"]

    assert {code_of(answer) for answer in refused} == {"csrf_failed"}
    assert (await verify(stranger, token, phone.code())).status_code == 200

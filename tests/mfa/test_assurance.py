"""How strong a log-in was: recorded, asked for, renewed."""

from datetime import timedelta

from httpx import AsyncClient

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.testing import FrozenClock, log_in_as
from tests.fixtures import (
    PASSWORD,
    Browsers,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    refresh,
)
from tests.mfa.helpers import (
    Phone,
    claims,
    enrol,
    prove_again,
    tokens_with,
)

STALE = timedelta(minutes=10, seconds=1)
COOKIE = "__Host-session"
INSUFFICIENT = 'error="insufficient_user_authentication"'


async def test_who_has_no_second_factor_is_told_to_enrol(
    client: AsyncClient, alice: Person
) -> None:
    """MFA-6: 403 mfa_enrolment_required; nobody at all is 401."""
    assert code_of(await client.get("/mfa")) == "not_authenticated"
    await log_in(client, alice)

    refused = await client.get("/mfa")

    assert (refused.status_code, code_of(refused)) == (403, "mfa_enrolment_required")
    assert refused.headers["cache-control"] == "no-store"


async def test_who_did_not_use_the_second_factor_is_told_to(
    auth: Auth[User], stranger: AsyncClient, phone: Phone
) -> None:
    """MFA-6: 401 with RFC 9470's challenge; the code, in the same session, opens the route."""
    alice = await User.objects().first()
    assert alice is not None
    await log_in_as(stranger, alice, auth=auth)

    refused = await stranger.get("/mfa")

    assert (refused.status_code, code_of(refused)) == (401, "reauthentication_required")
    assert INSUFFICIENT in refused.headers["www-authenticate"]
    assert (await prove_again(stranger, phone.code())).status_code == 200
    assert (await stranger.get("/mfa")).status_code == 200


async def test_a_refusal_says_what_is_missing(
    auth: Auth[User], client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-6, RFC 9470 section 3: an old log-in can be told from a weak one, by the header and by the body."""
    alice = await User.objects().first()
    assert alice is not None
    clock.move(STALE)
    await log_in_as(stranger, alice, auth=auth)

    old, weak = await client.get("/fresh"), await stranger.get("/mfa")

    assert phone.recovery_codes
    assert (code_of(old), code_of(weak)) == ("reauthentication_required",) * 2
    assert 'max_age="600"' in old.headers["www-authenticate"]
    assert "max_age" not in weak.headers["www-authenticate"]
    assert old.json() != weak.json()


async def test_the_factors_are_on_the_session_and_in_the_token(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-6: the session names our methods, ``amr`` RFC 8176's; a refresh keeps both, and ``auth_time``."""
    tokens = await tokens_with(stranger, phone.code())
    began = claims(tokens)["auth_time"]
    assert began == int(clock().timestamp())
    clock.move(STALE)

    renewed = (await refresh(stranger, tokens["refresh_token"])).json()

    assert claims(renewed)["amr"] == claims(tokens)["amr"] == ["pwd", "otp", "mfa"]
    assert claims(renewed)["auth_time"] == began
    shown = (await stranger.get("/auth/session", headers=bearer(renewed))).json()
    assert shown["session"]["methods"] == ["password", "totp"]
    assert (await stranger.get("/mfa", headers=bearer(renewed))).status_code == 200
    stale = await stranger.get("/fresh", headers=bearer(renewed))
    assert code_of(stale) == "reauthentication_required"  # SUD-2


async def test_one_factor_is_no_mfa(client: AsyncClient, alice: Person) -> None:
    """MFA-6: a password log-in says ``pwd`` and no more."""
    tokens = await get_tokens(client, alice)

    assert claims(tokens)["amr"] == ["pwd"]


async def test_a_password_alone_renews_no_log_in_of_who_has_more(
    client: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """SUD-1: 401 mfa_required with the methods, and nothing is renewed; a wrong password says only that."""
    clock.move(STALE)
    weak = await client.post("/auth/reauthenticate", json={"password": PASSWORD})
    wrong = await client.post("/auth/reauthenticate", json={"password": "wrong"})
    assert (weak.status_code, code_of(weak)) == (401, "mfa_required")
    assert weak.json()["detail"]["methods"] == ["totp", "recovery_code"]
    assert "set-cookie" not in weak.headers
    assert code_of(wrong) == "invalid_credentials"
    assert code_of(await client.get("/fresh")) == "reauthentication_required"

    assert (await prove_again(client, phone.code())).status_code == 200

    assert (await client.get("/fresh")).status_code == 200


async def test_a_renewed_log_in_has_a_new_cookie(
    client: AsyncClient, new_browser: Browsers, phone: Phone
) -> None:
    """SES-3: the old one is over."""
    old = client.cookies[COOKIE]

    assert (await prove_again(client, phone.code())).status_code == 200

    assert client.cookies[COOKIE] != old
    thief = new_browser()
    thief.cookies.set(COOKIE, old)
    assert code_of(await thief.get("/user")) == "session_expired"


async def test_a_session_that_gets_a_second_factor_has_a_new_cookie(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """SES-3: who copied the cookie before does not get two factors with it."""
    await log_in(client, alice)
    thief = new_browser()
    thief.cookies.set(COOKIE, client.cookies[COOKIE])

    await enrol(client, clock)

    assert (await client.get("/mfa")).status_code == 200
    assert (await thief.get("/mfa")).status_code == 401


async def test_a_bearer_session_enrols_and_renews(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """MFA-8, SES-3: with tokens as with a cookie; the next access token says so, and no older one gains by it."""
    tokens = await get_tokens(client, alice)
    phone = await enrol(client, clock, headers=bearer(tokens))
    old = await client.get("/mfa", headers=bearer(tokens))
    assert code_of(old) == "reauthentication_required"
    assert (await client.get("/user", headers=bearer(tokens))).status_code == 200
    newer = (await refresh(client, tokens["refresh_token"])).json()
    assert (await client.get("/mfa", headers=bearer(newer))).status_code == 200

    renewed = await prove_again(client, phone.code(), tokens=tokens)

    assert claims(renewed.json())["amr"] == ["pwd", "otp", "mfa"]
    assert claims(renewed.json())["auth_time"] == int(clock().timestamp())
    assert (await refresh(client, renewed.json()["refresh_token"])).status_code == 200


async def test_an_older_token_gains_nothing_by_a_renewed_proof(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """SES-3, SUD-2: who copied an access token before does not become fresh with its owner (ASVS 7.2.4)."""
    tokens = await tokens_with(stranger, phone.code())
    clock.move(timedelta(minutes=9, seconds=59))
    newer = (await refresh(stranger, tokens["refresh_token"])).json()
    clock.move(timedelta(seconds=2))

    renewed = await prove_again(stranger, phone.code(), tokens=newer)

    assert (
        code_of(await stranger.get("/fresh", headers=bearer(newer))) == "reauthentication_required"
    )
    assert (await stranger.get("/fresh", headers=bearer(renewed.json()))).status_code == 200


async def test_a_password_alone_deletes_no_account_of_who_has_more(
    client: AsyncClient, phone: Phone
) -> None:
    """SUD-1: deletion wants the second factor; then nothing of the person is left."""
    weak = await client.request("DELETE", "/auth/me", json={"password": PASSWORD})
    assert code_of(weak) == "mfa_required"
    assert await User.count() == 1

    proof = {"method": "totp", "code": phone.code()}
    assert (await client.request("DELETE", "/auth/me", json=proof)).status_code == 204

    assert await User.count() == await AuthMfaMethod.count() == await AuthRecoveryCode.count() == 0


async def test_a_proof_is_a_password_or_a_method_with_its_code(
    client: AsyncClient, phone: Phone
) -> None:
    """A wrong shape is 422, takes no attempt, and is not echoed."""
    assert phone.recovery_codes
    both: dict[str, object] = {"password": PASSWORD, "method": "totp", "code": "123456"}
    shapes: list[dict[str, object]] = [{}, {"method": "totp"}, {"code": "123456"}, both]
    codes = (123456, "", "1" * 65, None, ["123456"])
    shapes += [{"method": "totp", "code": code} for code in codes]
    for body in shapes:
        answer = await client.post("/auth/reauthenticate", json=body)
        assert answer.status_code == 422, body
        assert PASSWORD not in answer.text
        assert "123456" not in answer.text

    assert await AuthMfaMethod.select(AuthMfaMethod.failures) == [{"failures": 0}]

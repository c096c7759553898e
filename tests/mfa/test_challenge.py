"""The challenge between a right password and the session: its shape, and the log-in that goes on."""

from typing import Any

import pytest
from httpx import AsyncClient
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.errors import AuthError
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.primitives.passwords import PasswordHasher
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import PASSWORD, SCOPES, Person, bearer, code_of, refresh
from tests.mfa.helpers import (
    PASSWORD_FORM,
    STEP,
    Phone,
    challenge,
    claims,
    credentials_in,
    log_in_with,
    token_challenge,
    verify,
)

Heard = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def heard() -> Heard:
    """What the log-in hooks were told."""
    return []


@pytest.fixture
def auth(
    database: Engine[Any], settings: AuthSettings, clock: FrozenClock, heard: Heard
) -> Auth[User]:
    """An ``Auth`` whose hooks write down what they hear; who comes from ``refused`` is refused at the end."""
    del database

    def after(**told: Any) -> None:
        heard.append(("after", told))
        if told["request"].headers.get("user-agent") == "refused":
            raise AuthError("Not today.")

    return Auth(
        settings,
        user_table=User,
        clock=clock,
        hasher=fast_hasher(),
        scopes=SCOPES,
        scopes_of=lambda _: ["posts:read"],
        before_login=lambda **told: heard.append(("before", told)),
        after_login=after,
        login_failed=lambda **told: heard.append(("failed", told)),
    )


async def test_a_cookie_log_in_is_answered_with_a_challenge(
    stranger: AsyncClient, phone: Phone
) -> None:
    """DESIGN 4: 401 with the token, the methods and its life; no cookie, no cache, nothing else about Alice."""
    assert len(phone.recovery_codes) == 10
    answer = await stranger.post("/auth/login", json={"username": "alice", "password": PASSWORD})

    detail = answer.json()["detail"]
    assert answer.status_code == 401
    assert set(detail) == {"code", "message", "mfa_token", "methods", "expires_in"}
    assert detail["code"] == "mfa_required"
    assert (detail["methods"], detail["expires_in"]) == (["totp", "recovery_code"], 300)
    assert len(detail["mfa_token"]) == 43
    assert "set-cookie" not in answer.headers  # not even that of a known device
    assert answer.headers["www-authenticate"] == 'Bearer realm="piccolo-fastapi-auth"'
    assert answer.headers["cache-control"] == "no-store"


async def test_a_token_log_in_is_answered_with_a_challenge_in_its_own_words(
    stranger: AsyncClient, phone: Phone
) -> None:
    """DESIGN 4: 403 ``{"error": "mfa_required", ...}`` with the same members."""
    del phone
    answer = await stranger.post("/auth/token", data=PASSWORD_FORM)

    body = answer.json()
    assert answer.status_code == 403
    assert set(body) == {"error", "error_description", "mfa_token", "methods", "expires_in"}
    assert (body["error"], body["expires_in"]) == ("mfa_required", 300)
    assert body["methods"] == ["totp", "recovery_code"]
    assert "set-cookie" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.usefixtures("phone")
async def test_a_wrong_password_says_nothing_of_second_factors(stranger: AsyncClient) -> None:
    """ENU-5: the same answer for somebody with a second factor and for nobody at all; also with a code."""
    answers = [
        await stranger.post("/auth/login", json={"username": name, "password": "wrong"})
        for name in ("alice", "nobody")
    ]
    forms = [
        await stranger.post("/auth/token", data={**PASSWORD_FORM, "username": name, **more})
        for name in ("alice", "nobody")
        for more in ({"password": "wrong"}, {"password": "wrong", "mfa_code": "123456"})
    ]

    assert answers[0].json() == answers[1].json()
    assert [answer.status_code for answer in answers] == [401, 401]
    assert len({form.text for form in forms}) == 1
    assert await AuthOneTimeToken.count() == 0


async def test_a_cookie_log_in_goes_on_as_a_cookie_log_in(
    stranger: AsyncClient, phone: Phone, heard: Heard
) -> None:
    """The answer is what the log-in would have answered; the hooks are told once, at the end, of the session."""
    heard.clear()
    token = await challenge(stranger)

    answer = await verify(stranger, token, phone.code())

    assert set(answer.json()) == {"user", "session"}
    assert answer.json()["session"]["transport"] == "cookie"
    assert answer.json()["session"]["methods"] == ["password", "totp"]
    assert (await stranger.get("/mfa")).status_code == 200
    assert [name for name, _ in heard] == ["before", "after"]
    told = heard[1][1]
    assert (told["username"], told["user"].username) == ("alice", "alice")
    assert str(told["session"].id) == answer.json()["session"]["id"]


async def test_a_token_log_in_goes_on_with_the_scopes_asked_for(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """XPT-1: the scopes of the form, within those of the person; two factors in ``amr`` (RFC 8176)."""
    scopes = {"": "posts:read", "posts:read posts:write": "posts:read", "posts:write": ""}
    for asked, granted in scopes.items():
        token = await token_challenge(stranger, asked)

        answer = await verify(stranger, token, phone.code())

        tokens = answer.json()
        assert tokens["token_type"] == "bearer"
        assert (tokens["scope"], claims(tokens)["scope"]) == (granted, granted)
        assert claims(tokens)["amr"] == ["pwd", "otp", "mfa"]
        assert credentials_in(answer) == ["access_token", "refresh_token"]
        assert (await stranger.get("/mfa", headers=bearer(tokens))).status_code == 200
        renewed = (await refresh(stranger, tokens["refresh_token"])).json()
        assert (renewed["scope"], claims(renewed)["amr"]) == (granted, ["pwd", "otp", "mfa"])
        clock.move(STEP)


async def test_a_code_may_come_with_the_token_form(stranger: AsyncClient, phone: Phone) -> None:
    """Swagger UI has one form: the code in ``mfa_code``; a wrong or used one is ``invalid_grant``."""
    code = phone.code()
    for typed in (phone.wrong(), "x", phone.recovery_codes[0][:-1]):
        wrong = await stranger.post("/auth/token", data={**PASSWORD_FORM, "mfa_code": typed})
        assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
        assert credentials_in(wrong) == []

    right = await stranger.post("/auth/token", data={**PASSWORD_FORM, "mfa_code": code})
    again = await stranger.post("/auth/token", data={**PASSWORD_FORM, "mfa_code": code})
    empty = await stranger.post("/auth/token", data={**PASSWORD_FORM, "mfa_code": ""})

    assert claims(right.json())["amr"] == ["pwd", "otp", "mfa"]
    assert [again.json()["error"], empty.json()["error"]] == ["invalid_grant", "mfa_required"]


async def test_the_form_takes_a_code_in_groups_as_the_challenge_does(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """What is good at ``/auth/mfa/verify`` is good in ``mfa_code``: the spellings in which apps show it."""
    for separator in (" ", "-"):
        code = phone.code()
        grouped = f"{code[:3]}{separator}{code[3:]}"
        assert (await log_in_with(stranger, grouped)).status_code == 200
        stranger.cookies.clear()
        clock.move(STEP)
        code = phone.code()

        form = {**PASSWORD_FORM, "mfa_code": f"{code[:3]}{separator}{code[3:]}"}
        answer = await stranger.post("/auth/token", data=form)

        assert answer.status_code == 200, f"{separator!r}: {answer.text}"
        clock.move(STEP)


async def test_the_fifth_try_may_be_right(
    stranger: AsyncClient, phone: Phone, heard: Heard
) -> None:
    """MFA-1: each wrong one is told to the application as a failed log-in."""
    token = await challenge(stranger)
    for _ in range(4):
        await verify(stranger, token, phone.wrong())

    answer = await verify(stranger, token, phone.code())

    assert answer.status_code == 200
    failed = [told["username"] for name, told in heard if name == "failed"]
    assert failed == ["alice"] * 4


async def test_a_hook_that_refuses_leaves_no_session(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """XPT-1: the application's word counts after the second factor too, whatever the transport."""
    before = await AuthSession.count()
    stranger.headers["user-agent"] = "refused"
    for token in (await challenge(stranger), await token_challenge(stranger)):
        answer = await verify(stranger, token, phone.code())
        assert (answer.status_code, code_of(answer)) == (403, "refused")
        assert credentials_in(answer) == []
        clock.move(STEP)

    assert await AuthSession.count() == before


async def test_the_browsers_old_session_ends_when_the_challenge_is_answered(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """SES-3: no fixation, and one session a browser; a token log-in takes the cookie away."""
    assert (await log_in_with(stranger, phone.code())).status_code == 200
    old = stranger.cookies["__Host-session"]
    clock.move(STEP)
    token = await challenge(stranger)
    assert (await stranger.get("/user")).status_code == 200
    assert (await verify(stranger, token, phone.code())).status_code == 200
    assert stranger.cookies["__Host-session"] != old
    clock.move(STEP)

    answer = await verify(stranger, await token_challenge(stranger), phone.code())

    assert '__Host-session=""' in answer.headers["set-cookie"]
    assert (await stranger.get("/user", headers=bearer(answer.json()))).status_code == 200
    assert await AuthSession.count() == 2  # the one in which she enrolled, and the token's


async def test_an_imported_hash_is_upgraded_behind_a_second_factor_too(
    stranger: AsyncClient, phone: Phone, alice: Person
) -> None:
    """PWD-7: Piccolo's PBKDF2 hash is replaced by a log-in, also by one with two steps."""
    legacy = User.hash_password(PASSWORD, "salt", 1000)
    await User.update({User.password: legacy}).where(User.id == alice.id)

    assert (await log_in_with(stranger, phone.code())).status_code == 200

    row = await User.select(User.password).first()
    assert row is not None
    assert PasswordHasher.is_hash(row["password"])
    assert row["password"].startswith("$argon2id$")

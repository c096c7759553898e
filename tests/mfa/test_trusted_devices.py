"""A browser that its person trusts is spared the second factor for a while, and nothing more."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient, Response

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.sessions.tables import AuthSession, AuthTrustedDevice
from piccolo_fastapi_auth.sessions.trusted_devices import Trusted
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import PASSWORD, Browsers, People, Person, bearer, code_of, log_in
from tests.mfa.helpers import (
    PASSWORD_FORM,
    STEP,
    TRUST_COOKIE,
    Phone,
    challenge,
    claims,
    enrol,
    prove_again,
)

COOKIE = "__Host-session"
MONTH = timedelta(days=30)
LOG_IN = {"username": "alice", "password": PASSWORD}


def on(**more: object) -> pytest.MarkDecorator:
    """The setting, with others."""
    changes: dict[str, Any] = {"trusted_device_lifetime": MONTH, **more}
    return pytest.mark.parametrize("settings_changes", [changes], ids=["on"])


async def trust(client: AsyncClient, phone: Phone, *, wish: object = True) -> Response:
    """Log in with a code and wish to be spared it next time."""
    body = {"mfa_token": await challenge(client), "method": "totp", "code": phone.code()}
    answer = await client.post("/auth/mfa/verify", json={**body, "trust_device": wish})
    phone.clock.move(STEP)
    return answer


async def is_spared(client: AsyncClient) -> bool:
    """Whether the password alone logs in."""
    answer = await client.post("/auth/login", json=LOG_IN)
    assert answer.status_code == 200 or code_of(answer) == "mfa_required", answer.text
    return answer.status_code == 200


@on()
async def test_a_trusted_browser_is_not_asked_again_for_thirty_days(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """Counted from the code, however often it logs in meanwhile; the token is a new one each time."""
    assert (await trust(stranger, phone)).status_code == 200
    cookies = {stranger.cookies[TRUST_COOKIE]}
    for _ in range(3):
        clock.move(timedelta(days=9))  # longer than a session may be idle
        assert await is_spared(stranger)
        cookies.add(stranger.cookies[TRUST_COOKIE])
    assert len(cookies) == 4
    assert await AuthTrustedDevice.count() == 1

    clock.move(timedelta(days=3) - STEP)

    assert not await is_spared(stranger)


@on()
async def test_cleaning_up_ends_no_trust(
    auth: Auth[User], stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """A session that has ended by itself stays a row while its browser is trusted; then both are cleaned up."""
    await trust(stranger, phone)
    clock.move(timedelta(days=9))  # longer than a session may be idle
    await auth.operators.clean(batch=100)

    assert await is_spared(stranger)
    assert await AuthTrustedDevice.count() == 1
    clock.move(MONTH)
    await auth.operators.clean(batch=100)
    assert await AuthTrustedDevice.count() == await AuthSession.count() == 0


@on()
async def test_trust_raises_nothing(stranger: AsyncClient, phone: Phone) -> None:
    """MFA-6, MFA-8: the session says ``password``; where two factors are asked for, the code is still needed."""
    await trust(stranger, phone)
    assert (await stranger.get("/mfa")).status_code == 200

    answer = await stranger.post("/auth/login", json=LOG_IN)

    assert answer.json()["session"]["methods"] == ["password"]
    assert (await stranger.get("/user")).status_code == 200
    assert code_of(await stranger.get("/mfa")) == "reauthentication_required"
    removed = await stranger.delete(f"/auth/mfa/{phone.id}")
    assert code_of(removed) == "reauthentication_required"
    weak = await stranger.post("/auth/reauthenticate", json={"password": PASSWORD})
    assert code_of(weak) == "mfa_required"
    assert (await prove_again(stranger, phone.code())).status_code == 200
    assert (await stranger.get("/mfa")).status_code == 200


@on()
async def test_trust_is_no_fresh_log_in(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """SUD-1: a password-only log-in is as fresh as the last code: no key is made, no session ended with it."""
    await trust(stranger, phone)
    clock.move(timedelta(days=1))

    tokens = (await stranger.post("/auth/token", data=PASSWORD_FORM)).json()
    headers = bearer(tokens)
    answer = await stranger.post("/auth/login", json=LOG_IN)

    assert answer.status_code == 200
    assert claims(tokens)["auth_time"] < claims(tokens)["iat"] - 86_000
    refused = [
        await stranger.get("/fresh"),
        await stranger.delete("/auth/sessions"),
        await stranger.post("/auth/api-keys", json={"name": "robot"}),
        await stranger.post("/auth/email/change", json={"email": "thief@example.com"}),
    ]
    stranger.cookies.clear()
    refused.append(await stranger.get("/fresh", headers=headers))
    assert {code_of(one) for one in refused} == {"reauthentication_required"}


@on()
async def test_tokens_for_a_trusted_browser_say_one_factor(
    stranger: AsyncClient, phone: Phone
) -> None:
    """XPT-1: the token form is the same pipeline; ``amr`` has no ``mfa``."""
    await trust(stranger, phone)

    tokens = (await stranger.post("/auth/token", data=PASSWORD_FORM)).json()

    assert claims(tokens)["amr"] == ["pwd"]
    refused = await stranger.get("/mfa", headers=bearer(tokens))
    assert code_of(refused) == "reauthentication_required"


@on()
async def test_the_cookie_is_random_and_stored_as_a_digest(
    stranger: AsyncClient, phone: Phone
) -> None:
    """SES-2: 256 bits, for this host only, out of reach of scripts; the database cannot give it back."""
    answer = await trust(stranger, phone)

    [header] = [
        one for one in answer.headers.get_list("set-cookie") if one.startswith(TRUST_COOKIE)
    ]
    token = stranger.cookies[TRUST_COOKIE]
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(header.split("; "))
    assert "Domain" not in header
    assert len(token) == 43
    rows = str(await AuthTrustedDevice.select())
    assert token not in rows
    assert str(opaque_tokens.digest(token)) not in rows


@on()
async def test_without_the_wish_nothing_is_trusted(stranger: AsyncClient, phone: Phone) -> None:
    """It is the person's choice; anything but a plain yes or no is 422."""
    for wish in ("yes", 1, None):
        assert (await trust(stranger, phone, wish=wish)).status_code == 422

    assert (await trust(stranger, phone, wish=False)).status_code == 200

    assert TRUST_COOKIE not in stranger.cookies
    assert not await is_spared(stranger)


async def test_the_setting_is_off(
    auth: Auth[User], stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """Then the wish does nothing, and a browser that was trusted before is asked."""
    answer = await trust(stranger, phone)
    assert answer.status_code == 200
    assert TRUST_COOKIE not in stranger.cookies
    row = await AuthSession.select(AuthSession.id, AuthSession.user).first()
    assert row is not None
    candidate = await auth.users.by_id(row["user"])
    assert candidate is not None
    binding = f"{candidate.password_hash}:{await auth.mfa.fingerprint(row['user'])}"
    devices = auth._parts.login._trust._devices
    trusted = Trusted(clock(), clock() + MONTH)
    token = await devices.grant(row["id"], row["user"], binding=binding, trusted=trusted)
    stranger.cookies.set(TRUST_COOKIE, token)

    assert await devices.knows(row["user"], token, binding=binding)
    assert not await is_spared(stranger)


@on(require_mfa="everyone")
async def test_where_everybody_must_use_a_second_factor_nobody_is_spared_it(
    stranger: AsyncClient, phone: Phone
) -> None:
    """MFA-6: policy goes before comfort."""
    assert (await trust(stranger, phone)).status_code == 200

    assert TRUST_COOKIE not in stranger.cookies
    assert not await is_spared(stranger)


@on(require_mfa="admins")
async def test_who_becomes_an_admin_is_spared_it_no_more(
    stranger: AsyncClient, phone: Phone, alice: Person
) -> None:
    """MFA-6: also on the browsers that were trusted before."""
    await trust(stranger, phone)
    assert await is_spared(stranger)

    await User.update({User.admin: True}).where(User.id == alice.id)

    assert not await is_spared(stranger)


@on()
@pytest.mark.parametrize("end", ["log out", "revoke", "revoke all", "password", "add", "remove"])
async def test_trust_ends(
    client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock, end: str
) -> None:
    """SES-8, MFA-8: with its session, with the password, with any change of the second factors."""
    await enrol(client, clock, name="Tablet")
    answer = await trust(stranger, phone)
    await prove_again(client, phone.code())
    clock.move(STEP)
    session = answer.json()["session"]["id"]
    new = {"current_password": PASSWORD, "new_password": "a mule in the larder"}
    if end == "log out":
        ended = await stranger.post("/auth/logout")
    elif end == "revoke":
        ended = await client.delete(f"/auth/sessions/{session}")
    elif end == "revoke all":
        ended = await client.delete("/auth/sessions")
    elif end == "password":  # in the trusted browser itself, whose session goes on
        ended = await stranger.post("/auth/password/change", json=new)
    elif end == "add":
        await enrol(stranger, clock, name="Third")
        ended = await stranger.get("/user")
    else:
        ended = await stranger.delete(f"/auth/mfa/{phone.id}")
    assert ended.is_success, ended.text

    password = new["new_password"] if end == "password" else PASSWORD
    body = {"username": "alice", "password": password}
    assert code_of(await stranger.post("/auth/login", json=body)) == "mfa_required"


@on()
async def test_a_disabled_method_ends_trust(stranger: AsyncClient, phone: Phone) -> None:
    """MFA-5: after a hundred wrong codes no browser gets by on its cookie."""
    await trust(stranger, phone)
    await AuthMfaMethod.update({AuthMfaMethod.failures: 99}).where(AuthMfaMethod.id == phone.id)
    other = {"mfa_token": await challenge_elsewhere(stranger), "method": "totp"}
    await stranger.post("/auth/mfa/verify", json={**other, "code": phone.wrong()})

    assert not await is_spared(stranger)


async def challenge_elsewhere(client: AsyncClient) -> str:
    """Begin a log-in without the trusted browser's cookie."""
    kept = client.cookies[TRUST_COOKIE]
    client.cookies.delete(TRUST_COOKIE)
    token = await challenge(client)
    client.cookies.set(TRUST_COOKIE, kept, domain="app.test", path="/")
    return token


@on()
async def test_trust_is_one_browsers_and_one_persons(
    stranger: AsyncClient,
    phone: Phone,
    new_browser: Browsers,
    sign_up: People,
    clock: FrozenClock,
) -> None:
    """Another browser is asked; another person's cookie, or an invented or used one, spares nothing."""
    await trust(stranger, phone)
    mira, thief = await sign_up("mira"), new_browser()
    await log_in(thief, mira)
    await enrol(thief, clock)
    used = stranger.cookies[TRUST_COOKIE]
    assert await is_spared(stranger)

    for cookie in (None, used, "x" * 43, "", opaque_tokens.new_token()):
        browser = new_browser()
        if cookie is not None:
            browser.cookies.set(TRUST_COOKIE, cookie)
        assert not await is_spared(browser), cookie
    thief.cookies.set(TRUST_COOKIE, stranger.cookies[TRUST_COOKIE])
    body = {"username": "mira", "password": PASSWORD}
    assert code_of(await thief.post("/auth/login", json=body)) == "mfa_required"


@on()
async def test_a_trusted_token_is_taken_over_once(stranger: AsyncClient, phone: Phone) -> None:
    """Of twenty log-ins at once with one cookie one is spared; the others are asked."""
    for _ in range(3):
        await trust(stranger, phone)
        cookie = {"Cookie": f"{TRUST_COOKIE}={stranger.cookies[TRUST_COOKIE]}"}
        stranger.cookies.clear()

        answers = await asyncio.gather(
            *(stranger.post("/auth/login", json=LOG_IN, headers=cookie) for _ in range(20))
        )

        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19
        stranger.cookies.clear()


@on()
async def test_a_wrong_password_is_no_better_on_a_trusted_browser(
    stranger: AsyncClient, phone: Phone
) -> None:
    """And it does not use the trust up."""
    await trust(stranger, phone)

    wrong = await stranger.post("/auth/login", json={**LOG_IN, "password": "wrong"})

    assert code_of(wrong) == "invalid_credentials"
    assert await is_spared(stranger)

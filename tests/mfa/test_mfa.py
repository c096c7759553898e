"""Second factors over HTTP: enrolled, asked for, used once, limited, removed."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from httpx import AsyncClient, Response

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.primitives.sealing import Sealer
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
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

STEP = timedelta(seconds=30)


def code(secret: str, clock: FrozenClock, steps: int = 0) -> str:
    """What the authenticator app shows."""
    return pyotp.TOTP(secret).at(clock() + steps * STEP)


async def enrol(client: AsyncClient, clock: FrozenClock) -> tuple[str, list[str]]:
    """Set up an authenticator app; return its secret and the recovery codes."""
    begun = await client.post("/auth/mfa/totp", json={"name": "Phone"})
    assert begun.status_code == 201, begun.text
    secret = begun.json()["secret"]
    body = {"id": begun.json()["id"], "code": code(secret, clock)}
    confirmed = await client.post("/auth/mfa/totp/confirm", json=body)
    assert confirmed.status_code == 200, confirmed.text
    clock.move(STEP)
    return secret, confirmed.json()["recovery_codes"]


@pytest.fixture
async def secret_and_codes(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> tuple[str, list[str]]:
    """Alice has an authenticator app."""
    await log_in(client, alice)
    return await enrol(client, clock)


@pytest.fixture
def secret(secret_and_codes: tuple[str, list[str]]) -> str:
    """What is in Alice's app."""
    return secret_and_codes[0]


@pytest.fixture
def codes(secret_and_codes: tuple[str, list[str]]) -> list[str]:
    """What Alice wrote down."""
    return secret_and_codes[1]


async def challenge(client: AsyncClient, **form: str) -> str:
    """Give the right password; return the challenge's token."""
    if form:
        answer = await client.post("/auth/token", data=form)
        assert (answer.status_code, answer.json()["error"]) == (403, "mfa_required")
        return str(answer.json()["mfa_token"])
    answer = await client.post("/auth/login", json={"username": "alice", "password": PASSWORD})
    assert (answer.status_code, code_of(answer)) == (401, "mfa_required")
    assert "set-cookie" not in answer.headers
    return str(answer.json()["detail"]["mfa_token"])


async def verify(client: AsyncClient, token: str, typed: Any, method: str = "totp") -> Response:
    """Answer a challenge."""
    return await client.post(
        "/auth/mfa/verify", json={"mfa_token": token, "method": method, "code": typed}
    )


FORM = {"grant_type": "password", "username": "alice", "password": PASSWORD}


async def test_enrolment_shows_its_secret_once_and_does_nothing_until_confirmed(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """TOTP-5: an unconfirmed seed gates nothing; a second begin kills the first."""
    await log_in(client, alice)
    first = (await client.post("/auth/mfa/totp")).json()
    assert len(first["secret"]) == 32
    assert first["otpauth_uri"].startswith("otpauth://totp/")
    assert first["qr_svg"].startswith("<svg")
    await log_in(new_browser(), alice)
    second = (await client.post("/auth/mfa/totp")).json()
    old = await client.post(
        "/auth/mfa/totp/confirm", json={"id": first["id"], "code": code(first["secret"], clock)}
    )
    wrong = await client.post("/auth/mfa/totp/confirm", json={"id": second["id"], "code": "000000"})

    good = await client.post(
        "/auth/mfa/totp/confirm", json={"id": second["id"], "code": code(second["secret"], clock)}
    )

    assert [code_of(old), code_of(wrong)] == ["not_found", "invalid_code"]
    assert len(good.json()["recovery_codes"]) == 10
    overview = await client.get("/auth/mfa")
    assert second["secret"] not in overview.text
    assert overview.json()["recovery_codes_left"] == 10
    assert overview.json()["available"] == ["totp"]
    assert await AuthSession.count() == 1  # MFA-8: every other session ended


async def test_a_right_password_alone_gives_no_credential(
    client: AsyncClient, new_browser: Browsers, secret: str, clock: FrozenClock
) -> None:
    """XPT-1, MFA-4: on every route and transport; the challenge's token opens nothing."""
    del client
    stranger = new_browser()
    token = await challenge(stranger)
    assert code_of(await refresh(stranger, token)) == "invalid_token"
    headers = {"Authorization": f"Bearer {token}"}
    assert code_of(await stranger.get("/user", headers=headers)) == "invalid_token"
    stranger.cookies.set("__Host-session", token)
    assert code_of(await stranger.get("/user")) == "session_expired"
    stranger.cookies.clear()

    answer = await verify(stranger, token, code(secret, clock))

    assert answer.status_code == 200
    assert answer.json()["session"]["methods"] == ["password", "totp"]
    assert (await stranger.get("/mfa")).status_code == 200
    assert code_of(await verify(stranger, token, code(secret, clock, 1))) == "mfa_token_expired"


async def test_a_token_log_in_goes_on_as_it_was_begun(
    new_browser: Browsers, secret: str, codes: list[str], clock: FrozenClock
) -> None:
    """The scopes asked for, the two factors in ``amr``; or the code in the same form."""
    client = new_browser()
    token = await challenge(client, **FORM, scope="posts:read")
    answer = await verify(client, token, code(secret, clock))
    claims = answer.json()["access_token"].split(".")[1]
    import base64  # noqa: PLC0415 - here only

    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert (said["amr"], said["scope"]) == (["pwd", "otp", "mfa"], "posts:read")
    clock.move(STEP)
    for typed in (code(secret, clock), codes[0]):
        direct = await client.post("/auth/token", data={**FORM, "mfa_code": typed})
        assert direct.status_code == 200, direct.text
        assert (await client.get("/mfa", headers=bearer(direct.json()))).status_code == 200
    wrong = await client.post("/auth/token", data={**FORM, "mfa_code": "000000"})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")


async def test_a_used_code_is_refused_in_every_spelling(
    new_browser: Browsers, secret: str, clock: FrozenClock
) -> None:
    """TOTP-1, TOTP-2, TOTP-4: once, never backwards, current and previous step only."""
    client = new_browser()
    used, before = code(secret, clock), code(secret, clock, -1)
    assert (await verify(client, await challenge(client), used)).status_code == 200
    wide = used.translate({ord(str(n)): chr(0xFF10 + n) for n in range(10)})
    for typed in (used, f"{used[:3]} {used[3:]}", wide, before):
        assert code_of(await verify(client, await challenge(client), typed)) == "invalid_code"
    assert (await verify(client, await challenge(client), int(used))).status_code == 422
    clock.move(STEP)
    assert code_of(await verify(client, await challenge(client), used)) == "invalid_code"
    assert (
        code_of(await verify(client, await challenge(client), code(secret, clock, 1)))
        == "invalid_code"
    )
    clock.move(STEP)

    assert (
        await verify(client, await challenge(client), code(secret, clock, -1))
    ).status_code == 200


async def test_a_challenge_has_five_tries_and_five_minutes(
    new_browser: Browsers, secret: str, clock: FrozenClock
) -> None:
    """MFA-1: then even the right code is too late; 100 at once get no more."""
    client = new_browser()
    token = await challenge(client)
    answers = await asyncio.gather(*(verify(client, token, "000000") for _ in range(100)))
    refused = [code_of(answer) for answer in answers]
    assert refused.count("invalid_code") == 5
    assert refused.count("mfa_token_expired") == 95
    assert code_of(await verify(client, token, code(secret, clock))) == "mfa_token_expired"
    late = await challenge(client)
    clock.move(timedelta(minutes=5))

    assert code_of(await verify(client, late, code(secret, clock))) == "mfa_token_expired"


async def test_wrong_codes_are_capped_over_all_challenges(
    client: AsyncClient, new_browser: Browsers, secret: str, clock: FrozenClock
) -> None:
    """MFA-2, MFA-3: ten in fifteen minutes, whatever the route; it ends by itself."""
    stranger = new_browser()
    answers = []
    for _ in range(3):
        token = await challenge(stranger)
        answers += [await verify(stranger, token, "000000") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 900
    sudo = await client.post(
        "/auth/reauthenticate", json={"method": "totp", "code": code(secret, clock)}
    )
    assert sudo.status_code == 429
    clock.move(timedelta(minutes=15))

    assert (
        await verify(stranger, await challenge(stranger), code(secret, clock))
    ).status_code == 200


async def test_a_hundred_wrong_codes_disable_the_method_and_not_the_second_factor(
    new_browser: Browsers, secret: str, codes: list[str], clock: FrozenClock
) -> None:
    """MFA-5: recovery still works; the password alone still does not."""
    client = new_browser()
    for _ in range(10):
        for _ in range(2):
            token = await challenge(client)
            for _ in range(5):
                assert code_of(await verify(client, token, "000000")) == "invalid_code"
        clock.move(timedelta(minutes=15))

    assert (
        code_of(await verify(client, await challenge(client), code(secret, clock)))
        == "invalid_code"
    )
    answer = await verify(client, await challenge(client), codes[0].lower(), "recovery_code")
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["totp", "recovery_code"])
async def test_twenty_parallel_codes_log_in_once(
    new_browser: Browsers, secret: str, codes: list[str], clock: FrozenClock, method: str
) -> None:
    """TOTP-3, REC-1: ten rounds, a challenge each."""
    for number in range(10):
        clients = [new_browser() for _ in range(8)]
        tokens = [await challenge(one) for one in clients]
        typed = code(secret, clock) if method == "totp" else codes[number]
        answers = await asyncio.gather(
            *(verify(one, token, typed, method) for one, token in zip(clients, tokens, strict=True))
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
        clock.move(timedelta(minutes=16))


async def test_step_up_wants_the_second_factor(
    client: AsyncClient, secret: str, clock: FrozenClock
) -> None:
    """SUD-1: the password alone says mfa_required; the code makes the log-in fresh; deleting wants it too."""
    clock.move(timedelta(minutes=11))
    assert code_of(await client.post("/auth/mfa/totp")) == "reauthentication_required"
    weak = await client.post("/auth/reauthenticate", json={"password": PASSWORD})
    assert (code_of(weak), weak.json()["detail"]["methods"]) == (
        "mfa_required",
        ["totp", "recovery_code"],
    )
    assert (await client.post("/auth/reauthenticate", json={"method": "totp"})).status_code == 422
    strong = await client.post(
        "/auth/reauthenticate", json={"method": "totp", "code": code(secret, clock)}
    )
    assert strong.status_code == 200
    assert (await client.get("/fresh")).status_code == 200
    deleted = await client.request("DELETE", "/auth/me", json={"password": PASSWORD})
    assert code_of(deleted) == "mfa_required"
    clock.move(STEP)
    proof = {"method": "totp", "code": code(secret, clock)}
    assert (await client.request("DELETE", "/auth/me", json=proof)).status_code == 204
    assert await AuthRecoveryCode.count() == await AuthMfaMethod.count() == 0


async def test_factors_are_renamed_added_and_removed(
    client: AsyncClient, codes: list[str], clock: FrozenClock
) -> None:
    """MFA-8, REC-3: new recovery codes kill the old; the last factor takes them along."""
    await enrol(client, clock)
    methods = (await client.get("/auth/mfa")).json()["methods"]
    renamed = await client.patch(f"/auth/mfa/{methods[0]['id']}", json={"name": "Tablet"})
    assert renamed.json()["name"] == "Tablet"
    missing = await client.patch(
        "/auth/mfa/00000000-0000-4000-8000-000000000000", json={"name": "x"}
    )
    assert code_of(missing) == "not_found"
    fresh = (await client.post("/auth/mfa/recovery-codes")).json()["recovery_codes"]
    assert not set(fresh) & set(codes)
    for method in methods:
        assert (await client.delete(f"/auth/mfa/{method['id']}")).status_code == 204
    assert code_of(await client.delete(f"/auth/mfa/{methods[0]['id']}")) == "not_found"

    assert await AuthRecoveryCode.count() == 0
    assert code_of(await client.post("/auth/mfa/recovery-codes")) == "mfa_enrolment_required"


async def test_a_new_password_ends_a_challenge(
    client: AsyncClient, new_browser: Browsers, secret: str, clock: FrozenClock
) -> None:
    """SES-8: a pending log-in is no log-in with the new password."""
    token = await challenge(new_browser())
    body = {"current_password": PASSWORD, "new_password": "a mule in the larder"}
    assert (await client.post("/auth/password/change", json=body)).status_code == 204

    assert code_of(await verify(new_browser(), token, code(secret, clock))) == "mfa_token_expired"


async def test_the_database_alone_yields_no_code(  # noqa: PLR0917 - fixtures
    auth: Auth[User],
    client: AsyncClient,
    new_browser: Browsers,
    secret: str,
    codes: list[str],
    clock: FrozenClock,
) -> None:
    """Sealed under a key and bound to its row; an older key still opens, and sealing anew uses the newest."""
    rows = str(await AuthMfaMethod.select()) + str(await AuthRecoveryCode.select())
    assert secret not in rows
    assert not any(one.replace("-", "") in rows or one in rows for one in codes)
    old = auth.mfa._sealer
    new_key = b"n" * 32
    auth.mfa._sealer = Sealer([new_key, *auth.settings.sealing_keys])
    assert await auth.mfa.reseal() == 1
    assert await auth.mfa.reseal() == 0
    assert (
        await verify(new_browser(), await challenge(new_browser()), code(secret, clock))
    ).status_code == 200
    auth.mfa._sealer = old
    clock.move(STEP)
    assert (
        code_of(await verify(new_browser(), await challenge(new_browser()), code(secret, clock)))
        == "invalid_code"
    )
    await auth.mfa_flows.reset((await User.select(User.id).first() or {})["id"])
    assert (await client.get("/user")).status_code == 401


@pytest.mark.parametrize("settings_changes", [{"require_mfa": "everyone"}], ids=["everyone"])
async def test_who_must_enrol_gets_as_far_as_enrolment(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """MFA-6: a cookie opens the enrolment routes only, and there are no tokens; then everything opens."""
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    refused = await client.post("/auth/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (403, "mfa_enrolment_required")
    assert await AuthSession.count() == 0
    await log_in(client, alice)
    for path in ("/user", "/auth/me", "/auth/sessions", "/optional"):
        assert code_of(await client.get(path)) == "mfa_enrolment_required"
    assert (await client.get("/auth/session")).status_code == 200
    await enrol(client, clock)

    assert (await client.get("/user")).status_code == 200


@pytest.mark.parametrize("settings_changes", [{"require_mfa": "admins"}], ids=["admins"])
async def test_the_policy_may_be_for_admins(client: AsyncClient, alice: Person) -> None:
    """Others log in as ever; somebody made an admin is asked at the next request and the next refresh."""
    tokens = await get_tokens(client, alice)
    assert (await client.get("/user", headers=bearer(tokens))).status_code == 200

    await User.update({User.admin: True}).where(User.id == alice.id)

    assert code_of(await client.get("/user", headers=bearer(tokens))) == "mfa_enrolment_required"
    assert code_of(await refresh(client, tokens["refresh_token"])) == "mfa_enrolment_required"

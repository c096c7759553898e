"""What the database holds about second factors: nothing that logs in; keys change; the clock may step back."""

import base64
import logging
import re
import secrets
from collections.abc import Sequence
from datetime import timedelta

import pytest
from httpx import AsyncClient
from piccolo.table import Table

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import PASSWORD, SECRET, Browsers, People, Person, code_of, log_in
from tests.mfa.helpers import (
    STEP,
    WINDOW,
    Phone,
    begin,
    challenge,
    enrol,
    log_in_with,
    prove_again,
    token_challenge,
    verify,
)

OLD, NEW = (secrets.token_urlsafe(32) for _ in range(2))
old_key = pytest.mark.parametrize("settings_changes", [{"encryption_keys": [OLD]}], ids=["old key"])


def with_keys(clock: FrozenClock, *keys: str) -> Auth[User]:
    """An ``Auth`` over the same database, with other encryption keys."""
    settings = AuthSettings(secret_keys=[SECRET], encryption_keys=list(keys))
    return Auth(settings, user_table=User, clock=clock, hasher=fast_hasher())


async def is_good(auth: Auth[User], person: Person, phone: Phone) -> bool:
    """Whether the code that the phone shows is taken; it is used up."""
    good = await auth.mfa.prove(person.id, method="totp", code=phone.code())
    phone.clock.move(STEP)
    return good


async def test_the_database_alone_yields_no_code(
    client: AsyncClient,
    stranger: AsyncClient,
    phone: Phone,
    tables: Sequence[type[Table]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """TOTP-5, REC-2, SES-2: no secret, code or token is in any row, in any spelling; nor in the log."""
    caplog.set_level(logging.DEBUG)
    waiting = await begin(client, name="Tablet")
    tokens = [await challenge(stranger), await token_challenge(stranger)]
    assert (await verify(stranger, tokens[0], phone.code())).status_code == 200
    used = phone.recovery_codes[0]
    assert (await log_in_with(stranger, used, "recovery_code")).status_code == 200

    dump = "\n".join([str(await table.select()) for table in tables])

    raw = [base64.b32decode(one) for one in (phone.secret, waiting["secret"])]
    found = [phone.secret, waiting["secret"], *tokens, phone.code()]
    found += [one.hex() for one in raw] + [base64.b64encode(one).decode() for one in raw]
    found += [one.decode("latin-1") for one in raw] + [stranger.cookies["__Host-session"]]
    for code in phone.recovery_codes:
        found += [code, code.replace("-", ""), code.lower(), code.replace("-", "").lower()]
    assert "alice" in dump
    assert [secret for secret in found if secret in dump] == []
    assert [secret for secret in found if secret in caplog.text] == []
    opened = b"".join(
        base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        for text in re.findall(r"[A-Za-z0-9_-]{24,}", dump)
        if len(text) % 4 != 1
    )
    assert len(opened) > 500
    assert [secret for secret in found if secret.encode() in opened] == []
    assert [secret for secret in raw if secret in opened] == []


@old_key
async def test_an_old_key_still_opens_and_the_new_one_seals(
    client: AsyncClient, alice: Person, phone: Phone, clock: FrozenClock
) -> None:
    """TOTP-5: rotate, seal anew, drop the old key; in between both work, and afterwards only the new one."""
    await begin(client, name="Waiting")
    both, only_new, only_old = (
        with_keys(clock, NEW, OLD),
        with_keys(clock, NEW),
        with_keys(clock, OLD),
    )
    assert not await is_good(only_new, alice, phone)
    before = await AuthMfaMethod.select(AuthMfaMethod.id, AuthMfaMethod.state)

    changed = [await both.mfa.reseal(), await both.mfa.reseal()]

    assert changed == [2, 0]
    after = await AuthMfaMethod.select(AuthMfaMethod.id, AuthMfaMethod.state)
    assert not {row["state"] for row in before} & {row["state"] for row in after}
    assert await is_good(only_new, alice, phone)
    assert not await is_good(only_old, alice, phone)
    assert await is_good(both, alice, phone)


@old_key
async def test_a_used_code_seals_under_the_new_key(
    alice: Person, phone: Phone, clock: FrozenClock
) -> None:
    """TOTP-5: keys change without a command too, as people log in; a used step stays used."""
    both = with_keys(clock, NEW, OLD)
    used = phone.code()
    assert await is_good(both, alice, phone)

    assert await both.mfa.reseal() == 0
    assert not await both.mfa.prove(alice.id, method="totp", code=used)
    assert await is_good(with_keys(clock, NEW), alice, phone)


@old_key
async def test_sealing_anew_opens_no_step_again(
    alice: Person, phone: Phone, clock: FrozenClock
) -> None:
    """TOTP-1: the code used before the keys changed is refused after it."""
    used = phone.code()
    assert await with_keys(clock, OLD).mfa.prove(alice.id, method="totp", code=used)

    assert await with_keys(clock, NEW, OLD).mfa.reseal() == 1

    assert not await with_keys(clock, NEW).mfa.prove(alice.id, method="totp", code=used)
    clock.move(STEP)
    assert await is_good(with_keys(clock, NEW), alice, phone)


@old_key
async def test_a_row_whose_key_is_lost_does_not_stop_the_others(
    alice: Person, phone: Phone, clock: FrozenClock, client: AsyncClient
) -> None:
    """TOTP-5: what no key opens is left as it is; the rest is sealed anew."""
    await enrol(client, clock, name="Tablet")
    state = AuthMfaMethod.state
    lost = "v1." + base64.urlsafe_b64encode(b"x" * 64).decode().rstrip("=")
    await AuthMfaMethod.update({state: lost}).where(AuthMfaMethod.name == "Tablet")

    assert await with_keys(clock, NEW, OLD).mfa.reseal() == 1

    assert await is_good(with_keys(clock, NEW), alice, phone)


async def test_a_swapped_row_does_not_open(
    client: AsyncClient, new_browser: Browsers, phone: Phone, sign_up: People, alice: Person
) -> None:
    """TOTP-5: who can write the table cannot give Alice the device of somebody else, nor its state."""
    thief, mira = await sign_up("mira"), new_browser()
    await log_in(mira, thief)
    own = await enrol(mira, phone.clock)
    table = AuthMfaMethod
    mine = await table.select(table.state).where(table.id == own.id).first()
    hers = await table.select(table.state).where(table.id == phone.id).first()
    assert mine is not None
    assert hers is not None

    await table.update({table.state: mine["state"]}).where(table.id == phone.id)
    assert code_of(await log_in_with(new_browser(), own.code())) == "invalid_code"
    assert code_of(await log_in_with(new_browser(), phone.code())) == "invalid_code"
    await table.update({table.state: hers["state"]}).where(table.id == phone.id)
    await table.update({table.user: alice.id}).where(table.id == own.id)
    assert code_of(await log_in_with(new_browser(), own.code())) == "invalid_code"
    assert (await prove_again(client, phone.code())).status_code == 200


async def test_a_state_that_does_not_open_lets_nobody_in(
    stranger: AsyncClient, phone: Phone
) -> None:
    """TOTP-5: damaged or emptied, the second factor is still asked for; the recovery codes go on."""
    sealed = await AuthMfaMethod.select(AuthMfaMethod.state).first()
    assert sealed is not None
    flipped = sealed["state"][:-4] + ("AAAA" if sealed["state"][-4:] != "AAAA" else "BBBB")
    for broken in ("", "x", "v1.", flipped, sealed["state"].replace("v1", "v2")):
        await AuthMfaMethod.update({AuthMfaMethod.state: broken}, force=True)
        assert code_of(await log_in_with(stranger, phone.code())) == "invalid_code"

    answer = await log_in_with(stranger, phone.recovery_codes[0], "recovery_code")

    assert answer.status_code == 200


async def test_a_clock_that_steps_back_revives_nothing(
    stranger: AsyncClient, client: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """FLT-6: no step, no challenge, no recovery code, and no cap that was reached."""
    hour = timedelta(hours=1)
    answered, dead = await challenge(stranger), await challenge(stranger)
    used = phone.code()
    assert (await verify(stranger, answered, used)).status_code == 200
    for _ in range(5):
        await verify(stranger, dead, phone.wrong())
    for seconds in (0, 30, 3600):
        clock.move(-timedelta(seconds=seconds))
        for token in (answered, dead):
            late = await verify(stranger, token, phone.recovery_codes[0], "recovery_code")
            assert code_of(late) == "mfa_token_expired"
        for typed in (used, phone.code(), phone.code(-1)):
            answer = await client.post(
                "/auth/reauthenticate", json={"method": "totp", "code": typed}
            )
            assert answer.status_code in {401, 429}
    assert (await prove_again(client, phone.wrong())).status_code == 429

    clock.move(hour + WINDOW)

    assert (await log_in_with(stranger, phone.code())).status_code == 200
    assert await AuthOneTimeToken.exists().where(AuthOneTimeToken.attempts == 5)


async def test_an_operators_reset_leaves_nothing_behind(
    auth: Auth[User], client: AsyncClient, new_browser: Browsers, alice: Person, phone: Phone
) -> None:
    """MFA-8: for a locked-out person: no factor, no code, no session; the open challenge gives nothing."""
    token = await challenge(new_browser())

    await auth.mfa_flows.reset(alice.id)

    assert code_of(await client.get("/user")) == "session_expired"
    for typed, method in ((phone.code(), "totp"), (phone.recovery_codes[0], "recovery_code")):
        assert code_of(await verify(new_browser(), token, typed, method)) == "invalid_code"
    body = {"username": "alice", "password": PASSWORD}
    assert (await new_browser().post("/auth/login", json=body)).status_code == 200

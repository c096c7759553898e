"""People of Piccolo API come over: the same cookie, token, authenticator app and recovery code are good here."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from piccolo.engine.base import Engine
from piccolo_api.mfa.authenticator.tables import AuthenticatorSecret
from piccolo_api.session_auth.tables import SessionsBase
from piccolo_api.token_auth.tables import TokenAuth

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.api_keys.tables import AuthApiKey
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.moving.decryption import Encryption, decryption
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import PASSWORD, Browsers, People, Person, code_of, log_in
from tests.mfa.helpers import STEP, challenge, code_at, enrol, log_in_with, verify
from tests.moving.helpers import (
    ALL_NEW,
    COOKIE,
    HOUR,
    NEW_TABLES,
    PROVIDERS,
    ask,
    fill,
    local,
    move,
    old_authenticator,
    old_session,
    rows,
)

pytestmark = pytest.mark.usefixtures("old_tables")

TOKENS: dict[str, Any] = {"moved_tokens": True}
COOKIES: dict[str, Any] = {"moved_cookie": "id"}


async def test_the_same_cookie_goes_on(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """Until the end that Piccolo API wrote in local time; in the list of the person's sessions, and not fresh."""
    token = await old_session(alice.id, clock())
    assert await ask(client, cookie=f"{COOKIE}={token}") == 401

    report = (await move(auth))["sessions"]

    assert (report.moved, report.left) == (1, {})
    assert await ask(client, cookie=f"{COOKIE}={token}") == 200
    assert await ask(client, "/fresh", cookie=f"{COOKIE}={token}") == 401
    assert await ask(client, "/mfa", cookie=f"{COOKIE}={token}") != 200
    (row,) = await AuthSession.select()
    assert token not in repr(row)
    clock.move(48 * HOUR - STEP)
    assert await ask(client, cookie=f"{COOKIE}={token}") == 200
    clock.move(STEP)
    assert await ask(client, cookie=f"{COOKIE}={token}") == 401


async def test_no_moved_session_outlives_one_of_ours(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """Neither the absolute life nor the idle time-out."""
    token = await old_session(alice.id, clock(), ends=timedelta(days=900))
    await move(auth)

    assert (await AuthSession.select().first())["expires_at"] - clock() == timedelta(days=30)  # type: ignore[index] # there is one
    clock.move(auth.settings.session_idle_timeout)
    assert await ask(client, cookie=f"{COOKIE}={token}") == 401


async def test_the_old_name_of_the_cookie_opens_nothing_by_itself(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """Only the setting lets it in."""
    token = await old_session(alice.id, clock())
    await move(auth)

    assert await ask(client, cookie=f"id={token}") == 401
    assert await ask(client, "/optional", cookie=f"id={token}") == 200  # as without one


@pytest.mark.parametrize("settings_changes", [COOKIES], ids=["moved_cookie"])
async def test_the_old_name_of_the_cookie_goes_on_by_a_setting(
    auth: Auth[User], new_browser: Browsers, sign_up: People, clock: FrozenClock
) -> None:
    """Ours stands before it wherever it is in the header; a log-out ends it; CSRF is checked as ever."""
    alice, bob = await sign_up("alice"), await sign_up("bob")
    token = await old_session(alice.id, clock())
    await move(auth)
    browser = new_browser()
    ours = (await log_in(new_browser(), bob)).cookies[COOKIE]

    async def who(cookie: str) -> str:
        return str((await browser.get("/user", headers={"Cookie": cookie})).json()["username"])

    assert await who(f"id={token}") == "alice"
    assert await who(f"id={token}; {COOKIE}={ours}") == "bob"
    assert await who(f"{COOKIE}={ours}; id={token}") == "bob"
    assert await ask(browser, cookie=f"id={token}; {COOKIE}=x") == 401
    for spelling in (f'id="{token}"', f"id={token}=", f"id= {token}", f"ID={token}"):
        assert await ask(browser, cookie=spelling) == 401
    foreign = {"Cookie": f"id={token}", "Sec-Fetch-Site": "cross-site"}
    assert code_of(await browser.post("/user", headers=foreign)) == "csrf_failed"

    out = await browser.post("/auth/logout", headers={"Cookie": f"id={token}"})

    assert {value.partition("=")[0] for value in out.headers.get_list("set-cookie")} >= {
        "id",
        COOKIE,
    }
    assert await ask(browser, cookie=f"id={token}") == 401


@pytest.mark.parametrize("settings_changes", [TOKENS], ids=["moved_tokens"])
async def test_the_same_token_goes_on_as_an_api_key(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """With the scopes that the operator gave, within the person's; listed, revoked and refused like a key."""
    token = await TokenAuth.create_token(alice.id)
    assert await ask(client, authorization=f"Bearer {token}") == 401

    await move(auth, scopes=["posts:read", "posts:write"])

    with_token = {"Authorization": f"Bearer {token}"}
    assert await ask(client, authorization=f"Bearer {token}") == 200
    assert await ask(client, "/posts", authorization=f"Bearer {token}") == 200
    assert (
        await client.post("/posts", headers=with_token)
    ).status_code == 403  # nor has the person
    assert (
        code_of(await client.get("/auth/api-keys", headers=with_token)) == "credential_not_accepted"
    )
    for spelling in (token.upper(), f"{token}=", token.replace("-", ""), f"{{{token}}}"):
        assert await ask(client, authorization=f"Bearer {spelling}") == 401
    (row,) = await AuthApiKey.select()
    assert token not in repr(row)

    await log_in(client, alice)
    (listed,) = (await client.get("/auth/api-keys")).json()
    assert listed["name"] == "Moved from Piccolo API"
    assert (await client.delete(f"/auth/api-keys/{listed['id']}")).status_code == 204
    client.cookies.clear()
    assert await ask(client, authorization=f"Bearer {token}") == 401


@pytest.mark.parametrize("settings_changes", [TOKENS], ids=["moved_tokens"])
async def test_a_moved_token_ends_like_a_key(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """With its person, and after the life of a key for which none is asked; without ``--scopes`` it has none."""
    token = await TokenAuth.create_token(alice.id)
    await move(auth)
    assert await ask(client, authorization=f"Bearer {token}") == 200
    assert await ask(client, "/posts", authorization=f"Bearer {token}") == 403

    await auth.operators.set_active("alice", active=False)
    assert await ask(client, authorization=f"Bearer {token}") == 401
    await auth.operators.set_active("alice", active=True)
    assert await ask(client, authorization=f"Bearer {token}") == 200
    clock.move(auth.settings.api_key_lifetime)
    assert await ask(client, authorization=f"Bearer {token}") == 401


async def test_a_moved_token_is_nothing_without_the_setting(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """It is refused before any query, as whatever is neither a key nor a JWT."""
    token = await TokenAuth.create_token(alice.id)
    await move(auth)

    assert await ask(client, authorization=f"Bearer {token}") == 401


@pytest.mark.parametrize("encryption", PROVIDERS)
async def test_the_same_authenticator_app_and_recovery_codes_go_on(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock, encryption: Encryption
) -> None:
    """REC-1: whoever encrypted it; each code of the app and each of the paper is good once, in any spelling."""
    secret, codes = await old_authenticator(alice.id, encryption)

    report = (await move(auth, encryption))["authenticator_secret"]

    assert (report.moved, dict(report.notes)) == (1, {"recovery codes moved": 3})
    assert code_of(await log_in_with(client, code_at(secret, clock() - 5 * STEP))) == "invalid_code"
    code = code_at(secret, clock())
    assert (await log_in_with(client, code)).json()["session"]["methods"] == ["password", "totp"]
    client.cookies.clear()
    assert code_of(await log_in_with(client, code)) == "invalid_code"
    for typed in (codes[0], codes[1].upper().replace("-", " ")):
        answer = await log_in_with(client, typed, "recovery_code")
        assert answer.json()["session"]["methods"] == ["password", "recovery_code"]
        client.cookies.clear()
        assert code_of(await log_in_with(client, typed, "recovery_code")) == "invalid_code"
    clock.move(STEP)
    await log_in_with(client, code_at(secret, clock()))
    assert (await client.get("/auth/mfa")).json()["recovery_codes_left"] == 1
    (row,) = await AuthMfaMethod.select()
    assert secret not in repr(row)


async def test_a_moved_recovery_code_is_used_once_by_many_at_once(
    auth: Auth[User], alice: Person
) -> None:
    """REC-1: of eight who present it one is told that it was good."""
    _, codes = await old_authenticator(alice.id, "plain")
    await move(auth)

    used = await asyncio.gather(*(auth.mfa.recovery.use(alice.id, codes[0]) for _ in range(8)))

    assert sorted(used) == [False] * 7 + [True]


async def test_nobody_waits_to_write_while_a_moved_recovery_code_is_hashed(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """It takes as long as a password, and may wait for many passwords before it: in no transaction."""
    _, codes = await old_authenticator(alice.id, "plain")
    await move(auth)
    mfa_token = await challenge(client)
    free, pool = threading.Event(), auth.users._pool
    try:
        busy = [asyncio.create_task(pool.run(free.wait)) for _ in range(2)]
        answering = asyncio.create_task(verify(client, mfa_token, codes[0], "recovery_code"))
        while pool._jobs < 3:  # noqa: ASYNC110 - the pool tells nobody
            await asyncio.sleep(0.001)

        await asyncio.wait_for(auth.users.hold(alice.id), timeout=3)
    finally:
        free.set()
    assert await asyncio.gather(*busy) == [True, True]
    assert (await answering).status_code == 200


async def test_somebody_elses_recovery_code_is_nothing(auth: Auth[User], sign_up: People) -> None:
    """A code is good for its person only, and a malformed one for nobody."""
    alice, bob = await sign_up("alice"), await sign_up("bob")
    _, codes = await old_authenticator(alice.id, "plain")
    await old_authenticator(bob.id, "plain")
    await move(auth)

    for code in (codes[0], codes[0][:-1], f"{codes[0]}a", "", "\x00" * 12, "é" * 12):
        assert not await auth.mfa.recovery.use(bob.id, code)
    assert await auth.mfa.recovery.use(alice.id, codes[0])


async def test_a_code_that_was_used_before_the_move_is_not_good_after_it(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """MFA-2: Piccolo API remembers the code; here its time step counts."""
    secret, _ = await old_authenticator(alice.id, "plain")
    await AuthenticatorSecret.update({AuthenticatorSecret.last_used_at: clock()}, force=True)
    await move(auth)

    assert code_of(await log_in_with(client, code_at(secret, clock()))) == "invalid_code"
    clock.move(2 * STEP)
    assert (await log_in_with(client, code_at(secret, clock()))).status_code == 200


async def test_what_is_not_moved_is_reported_with_its_reason(
    auth: Auth[User], sign_up: People, clock: FrozenClock
) -> None:
    """Expired, of nobody, of another form, revoked, superseded, of another key; it stays where it was."""
    alice, bob = await sign_up("alice"), await sign_up("bob")
    now = clock()
    await old_session(alice.id, now - 2 * HOUR)  # over since an hour, by its sliding end
    await old_session(99, now)
    await SessionsBase(
        token="short",
        user_id=alice.id,
        expiry_date=local(now + HOUR),
        max_expiry_date=local(now + HOUR),
    ).save()
    await TokenAuth(token="chosen by hand", user=alice.id).save()
    await old_authenticator(alice.id, "plain")
    await AuthenticatorSecret.revoke(alice.id)
    await old_authenticator(bob.id, "plain")
    await old_authenticator(bob.id, "fernet")
    await old_authenticator(alice.id, "plain")

    reports = await move(auth)

    assert {name: report.moved for name, report in reports.items()} == {
        "sessions": 0,
        "token_auth": 0,
        "authenticator_secret": 1,
    }
    form = "the token is not of the form that Piccolo API makes"
    assert dict(reports["sessions"].left) == {
        "the session has expired": 1,
        "there is no such person": 1,
        form: 1,
    }
    assert dict(reports["token_auth"].left) == {form: 1}
    assert dict(reports["authenticator_secret"].left) == {
        "the authenticator was revoked": 1,
        "the person has a newer authenticator": 1,
        "another provider encrypted it": 1,
    }
    assert not await auth.mfa.is_enrolled(bob.id)
    assert (await move(auth, "fernet"))["authenticator_secret"].moved == 1  # the key came later
    assert await SessionsBase.count() == 3


async def test_a_wrong_key_moves_nothing(auth: Auth[User], alice: Person) -> None:
    """And nothing is half moved: the person has the recovery codes only with the app."""
    await old_authenticator(alice.id, "xchacha20")
    other = "00" * 32

    report = (await move(auth, decrypt=decryption("xchacha20", other)))["authenticator_secret"]

    assert dict(report.left) == {"it does not open with this key": 1}
    assert [await table.count() for table in NEW_TABLES] == [0] * 4


async def test_a_dry_run_says_the_same_and_leaves_nothing(
    auth: Auth[User], sign_up: People, clock: FrozenClock
) -> None:
    """It is the whole thing, rolled back."""
    for name in ("alice", "bob"):
        await fill((await sign_up(name)).id, clock())
    await old_session(99, clock())

    tried = await move(auth, dry_run=True, batch=1)

    assert [await table.count() for table in ALL_NEW] == [0] * 5
    assert tried == await move(auth)


async def test_what_ended_here_does_not_come_back(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """SES-3: a session that was ended, a key that was revoked and a factor that was removed stay gone."""
    old = await fill(alice.id, clock())
    await move(auth)
    await auth.sessions.end_all(alice.id)
    await auth.api_keys.end_all(alice.id)
    await auth.mfa.remove_all(alice.id)

    again = await move(auth)

    assert [(report.moved, report.already) for report in again.values()] == [(0, 1)] * 3
    assert [await table.count() for table in NEW_TABLES] == [0] * 4
    assert await ask(client, cookie=f"{COOKIE}={old.cookie}") == 401


async def test_imports_at_once_move_each_row_once(
    auth: Auth[User], sign_up: People, clock: FrozenClock
) -> None:
    """Of four at once each row is moved by one of them."""
    for name in ("alice", "bob", "carol", "dave"):
        await fill((await sign_up(name)).id, clock())

    everybody = await asyncio.gather(*(move(auth, batch=size) for size in (1, 2, 3, 4)))

    for table in ("sessions", "token_auth", "authenticator_secret"):
        assert sum(one[table].moved for one in everybody) == 4
    assert [await table.count() for table in NEW_TABLES] == [4, 4, 4, 12]


async def test_tables_that_are_not_there_are_passed_over(
    auth: Auth[User], old_tables: Engine[Any]
) -> None:
    """An application need not have used all of Piccolo API."""
    del old_tables
    await TokenAuth.alter().drop_table()
    await AuthenticatorSecret.alter().drop_table()

    reports = await move(auth)

    assert [report.there for report in reports.values()] == [True, False, False]
    assert reports["token_auth"].lines() == ["token_auth: there is no such table."]


async def test_everything_is_counted_once(
    auth: Auth[User], alice: Person, clock: FrozenClock
) -> None:
    """And rows say what a person had: the same after a second import."""
    await fill(alice.id, clock())
    await move(auth)
    before = await rows()

    await move(auth)

    assert await rows() == before


@pytest.mark.parametrize("settings_changes", [TOKENS], ids=["moved_tokens"])
@pytest.mark.parametrize("since", ["password", "factor", "inactive"])
async def test_a_later_import_brings_back_nothing_that_ended_here(
    auth: Auth[User],
    new_browser: Browsers,
    alice: Person,
    clock: FrozenClock,
    since: str,
) -> None:
    """MFA-1, RST-4: neither what a new password ended, nor a way round a second factor that Piccolo API knows nothing of."""
    await move(auth)
    browser, client = new_browser(), new_browser()
    await log_in(browser, alice)
    if since == "factor":
        await enrol(browser, clock)
    elif since == "password":
        body = {"current_password": PASSWORD, "new_password": "another horse in the pantry"}
        assert (await browser.post("/auth/password/change", json=body)).status_code == 204
    else:
        await auth.operators.set_active("alice", active=False)
    session = await old_session(alice.id, clock())  # with the old application, which runs still
    token = await TokenAuth.create_token(alice.id)

    reports = await move(auth)

    for table in ("sessions", "token_auth"):
        assert (reports[table].moved, reports[table].already) == (0, 0)
        assert sum(reports[table].left.values()) == 1
    await auth.operators.set_active("alice", active=True)
    assert await ask(client, cookie=f"{COOKIE}={session}") == 401
    assert await ask(client, authorization=f"Bearer {token}") == 401
    if since == "inactive":  # it is not marked as moved
        assert (await move(auth))["sessions"].moved == 1


async def test_a_new_password_in_the_moment_of_the_import_ends_what_is_moved(
    auth: Auth[User], client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """RAC: whichever comes first, no old session is good after both."""
    token = await old_session(alice.id, clock())
    browser = new_browser()
    await log_in(browser, alice)
    body = {"current_password": PASSWORD, "new_password": "another horse in the pantry"}

    _, changed = await asyncio.gather(move(auth), browser.post("/auth/password/change", json=body))

    assert changed.status_code == 204
    assert await ask(client, cookie=f"{COOKIE}={token}") == 401

"""The life of a session: begun, used, renewed, listed, ended."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth import User
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import (
    Browsers,
    People,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    refresh,
)

COOKIE = "__Host-session"


async def test_an_idle_session_ends_and_a_used_one_goes_on(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """SES-4: a second before the timeout it lives, a second after it does not, whatever the cookie says."""
    await log_in(client, alice)
    clock.move(timedelta(days=7) - timedelta(seconds=1))
    assert (await client.get("/user")).status_code == 200

    clock.move(timedelta(days=7) + timedelta(seconds=1))

    assert code_of(await client.get("/user")) == "session_expired"


async def test_many_requests_write_the_last_use_once_a_minute(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """SES-4: reading must not become writing."""
    await log_in(client, alice)
    begun = clock()
    clock.move(timedelta(seconds=59))
    await client.get("/user")
    first = await AuthSession.select(AuthSession.last_seen_at).first()

    clock.move(timedelta(seconds=1))
    await client.get("/user")
    second = await AuthSession.select(AuthSession.last_seen_at).first()

    assert first == {"last_seen_at": begun}
    assert second == {"last_seen_at": clock()}


COUNT_WRITES = {
    "sqlite": ["CREATE TRIGGER noted AFTER UPDATE ON auth_session BEGIN INSERT INTO writes VALUES (1); END"],
    "postgres": [
        "CREATE FUNCTION note() RETURNS trigger AS 'BEGIN INSERT INTO writes VALUES (1); RETURN NULL; END' LANGUAGE plpgsql",
        "CREATE TRIGGER noted AFTER UPDATE ON auth_session FOR EACH ROW EXECUTE FUNCTION note()",
    ],
}  # fmt: skip


async def test_parallel_requests_write_the_last_use_once(
    client: AsyncClient, alice: Person, clock: FrozenClock, engine_kind: str
) -> None:
    """SES-4: the database itself counts: a hundred requests after a minute are one write, and then none."""
    await log_in(client, alice)
    for statement in ("CREATE TABLE writes (n int)", *COUNT_WRITES[engine_kind]):
        await AuthSession.raw(statement)

    for minutes in (1, 2):
        clock.move(timedelta(minutes=1))
        for _ in range(2):
            answers = await asyncio.gather(*(client.get("/user") for _ in range(25)))
            assert {answer.status_code for answer in answers} == {200}
        assert await AuthSession.raw("SELECT count(*) AS n FROM writes") == [{"n": minutes}]


async def test_a_session_in_use_ends_at_its_absolute_life(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """SES-5: thirty days, however busy."""
    await log_in(client, alice)
    for _ in range(29):
        clock.move(timedelta(days=1))
        assert (await client.get("/user")).status_code == 200

    clock.move(timedelta(days=1))

    assert (await client.get("/user")).status_code == 401


async def test_reauthentication_gives_a_new_cookie_and_a_new_life(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """SES-3, SES-5: the old cookie dies at once; the absolute life begins anew."""
    old = (await log_in(client, alice)).cookies[COOKIE]
    clock.move(timedelta(days=6))

    answer = await client.post("/auth/reauthenticate", json={"password": alice.password})

    assert answer.status_code == 200
    assert answer.cookies[COOKIE] != old
    thief = new_browser()
    thief.cookies.set(COOKIE, old)
    assert (await thief.get("/user")).status_code == 401
    assert (await client.get("/fresh")).status_code == 200
    assert answer.json()["session"]["expires_at"].startswith("2026-02-06")


async def test_reauthentication_with_a_token_gives_new_tokens(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """SUD-1, SES-3: a new proof makes it fresh and its tokens new; the old refresh token has no grace."""
    tokens = await get_tokens(client, alice)
    clock.move(timedelta(minutes=10, seconds=1))
    tokens = (await refresh(client, tokens["refresh_token"])).json()
    stale = await client.get("/fresh", headers=bearer(tokens))
    assert code_of(stale) == "reauthentication_required"
    assert 'error="insufficient_user_authentication"' in stale.headers["www-authenticate"]
    assert 'max_age="600"' in stale.headers["www-authenticate"]

    wrong = await client.post(
        "/auth/reauthenticate", json={"password": "wrong"}, headers=bearer(tokens)
    )
    renewed = await client.post(
        "/auth/reauthenticate", json={"password": alice.password}, headers=bearer(tokens)
    )

    assert code_of(wrong) == "invalid_credentials"
    assert renewed.json()["refresh_token"] != tokens["refresh_token"]
    assert (await client.get("/fresh", headers=bearer(renewed.json()))).status_code == 200
    assert code_of(await refresh(client, tokens["refresh_token"])) == "invalid_token"
    assert (await refresh(client, renewed.json()["refresh_token"])).status_code == 200


async def test_logging_out_ends_the_session_and_may_be_repeated(
    client: AsyncClient, alice: Person
) -> None:
    """SES-6: cookie and tokens are refused on the next request."""
    cookie = (await log_in(client, alice)).cookies[COOKIE]
    first = await client.post("/auth/logout")
    client.cookies.set(COOKIE, cookie)
    assert code_of(await client.get("/user")) == "session_expired"
    second = await client.post("/auth/logout")
    client.cookies.clear()
    tokens = await get_tokens(client, alice)
    third = await client.post("/auth/logout", headers=bearer(tokens))

    assert [first.status_code, second.status_code, third.status_code] == [204, 204, 204]
    assert "Max-Age=0" in first.headers["set-cookie"]
    assert (await client.get("/user", headers=bearer(tokens))).status_code == 401
    assert (await refresh(client, tokens["refresh_token"])).status_code == 401
    assert (await client.post("/auth/logout")).status_code == 204


async def test_an_expired_access_token_still_logs_out(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """The refresh family behind it must not live on."""
    tokens = await get_tokens(client, alice)
    clock.move(timedelta(minutes=10))
    assert code_of(await client.get("/user", headers=bearer(tokens))) == "token_expired"

    await client.post("/auth/logout", headers=bearer(tokens))

    assert (await refresh(client, tokens["refresh_token"])).status_code == 401


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
async def test_revoking_a_token_ends_its_session(
    client: AsyncClient, alice: Person, kind: str
) -> None:
    """RFC 7009: either token; an unknown one is no error."""
    tokens = await get_tokens(client, alice)

    unknown = await client.post("/auth/token/revoke", data={"token": "unknown"})
    answer = await client.post(
        "/auth/token/revoke", data={"token": tokens[kind], "token_type_hint": kind}
    )

    assert (unknown.status_code, answer.status_code) == (200, 200)
    assert (await refresh(client, tokens["refresh_token"])).status_code == 401


async def test_the_list_shows_every_sign_in_and_no_token(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """SES-9: newest first, in the documented shape."""
    cookie = (await log_in(client, alice)).cookies[COOKIE]
    clock.move(timedelta(seconds=1))
    tokens = await get_tokens(new_browser(), alice)

    answer = await client.get("/auth/sessions")

    assert [one["transport"] for one in answer.json()] == ["bearer", "cookie"]
    assert [one["current"] for one in answer.json()] == [False, True]
    assert set(answer.json()[0]) == {
        "id", "transport", "created_at", "last_seen_at", "expires_at", "ip", "user_agent", "methods", "current",
    }  # fmt: skip
    assert cookie not in answer.text
    assert tokens["refresh_token"] not in answer.text


async def test_people_end_their_own_sessions_only(
    client: AsyncClient, new_browser: Browsers, alice: Person, sign_up: People
) -> None:
    """SES-9, AUZ-2: somebody else's session is not found."""
    await log_in(client, alice)
    bobs = new_browser()
    await log_in(bobs, await sign_up("bob"))
    foreign = (await bobs.get("/auth/session")).json()["session"]["id"]

    refused = [await client.delete(f"/auth/sessions/{one}") for one in (foreign, uuid4())]

    assert [code_of(answer) for answer in refused] == ["not_found", "not_found"]
    assert (await bobs.get("/user")).status_code == 200


async def test_ending_all_others_leaves_the_caller(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """SES-9: it needs a fresh log-in; one's own session may be ended without."""
    other = new_browser()
    await log_in(other, alice)
    await log_in(client, alice)
    clock.move(timedelta(minutes=11))
    mine, others = (
        (await client.get("/auth/session")).json()["session"]["id"],
        await client.get("/auth/sessions"),
    )
    their = next(one["id"] for one in others.json() if one["id"] != mine)
    for path in ("/auth/sessions", f"/auth/sessions/{their}"):
        assert code_of(await client.delete(path)) == "reauthentication_required"
    await client.post("/auth/reauthenticate", json={"password": alice.password})

    answer = await client.delete("/auth/sessions")

    assert answer.status_code == 204
    assert (await other.get("/user")).status_code == 401
    assert (await client.get("/user")).status_code == 200
    clock.move(timedelta(minutes=11))
    assert (await client.delete(f"/auth/sessions/{mine}")).status_code == 204


@pytest.mark.parametrize("settings_changes", [{"max_sessions": 3}], ids=["three"])
async def test_parallel_log_ins_never_exceed_the_most_sessions(
    new_browser: Browsers, alice: Person
) -> None:
    """SES-7: the oldest end; exactly three live."""
    await asyncio.gather(*(log_in(new_browser(), alice) for _ in range(20)))

    assert await AuthSession.count() == 3


@pytest.mark.parametrize("state", ["deactivated", "deleted"])
async def test_a_person_who_is_gone_is_refused_at_once(
    client: AsyncClient, new_browser: Browsers, alice: Person, state: str
) -> None:
    """SES-8: cookie, access token and refresh token, on the next request."""
    await log_in(client, alice)
    other = new_browser()
    tokens = await get_tokens(other, alice)
    if state == "deactivated":
        await User.update({User.active: False}).where(User.id == alice.id)
    else:
        await User.delete().where(User.id == alice.id)

    assert (await client.get("/user")).status_code == 401
    assert (await other.get("/user", headers=bearer(tokens))).status_code == 401
    assert (await refresh(other, tokens["refresh_token"])).status_code == 401


@pytest.mark.parametrize(
    "engine_kind", ["sqlite"], indirect=True
)  # PostgreSQL: two processes, beside this
@pytest.mark.parametrize("settings_changes", [{}, {"refresh_grace": 0}], ids=["grace", "strict"])
async def test_fifty_parallel_refreshes_have_one_successor(
    client: AsyncClient, alice: Person, settings_changes: dict[str, int]
) -> None:
    """RFT-2: 20 rounds; with grace all get the same, strictly exactly one gets it."""
    for _ in range(20):
        token = (await get_tokens(client, alice))["refresh_token"]
        answers = await asyncio.gather(*(refresh(client, token) for _ in range(50)))
        good = [answer.json()["refresh_token"] for answer in answers if answer.status_code == 200]
        if settings_changes:
            assert len(good) == 1
        else:
            assert (len(good), len(set(good))) == (50, 1)
            assert await AuthSession.count() == 1
        await AuthSession.delete(force=True)

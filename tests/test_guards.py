"""The dependencies: who is asking, and whether that is enough."""

import inspect
from datetime import timedelta
from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from httpx import ASGITransport, AsyncClient, Response
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher, log_in_as
from tests.fixtures import (
    ORIGIN,
    PASSWORD,
    SCOPES,
    SECRET,
    People,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    make_app,
)

COOKIE: Final = "__Host-session"
TEN: Final = timedelta(minutes=10)
REALM: Final = 'Bearer realm="piccolo-fastapi-auth"'
GUARDED: Final = ("/user", "/whose-session", "/principal", "/optional")


def challenge(answer: Response) -> str:
    """What follows the realm in ``WWW-Authenticate``."""
    return answer.headers["www-authenticate"].removeprefix(REALM).removeprefix(", ")


async def test_no_credential_is_refused_without_an_error_code(client: AsyncClient) -> None:
    """ERR-1: RFC 6750 section 3.1; another scheme of HTTP authentication is none of ours."""
    for headers in ({}, {"authorization": "Basic YTpi"}, {"cookie": "session=x"}):
        for path in ("/user", "/whose-session", "/principal", "/posts", "/fresh", "/auth/me"):
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, code_of(answer)) == (401, "not_authenticated"), path
            assert answer.headers["www-authenticate"] == REALM
        assert (await client.get("/optional", headers=headers)).json() is None


async def test_a_bad_credential_is_refused_also_where_none_is_needed(client: AsyncClient) -> None:
    """ERR-1, ERR-2, JWT-1: 401 with ``error="invalid_token"``; only its absence is ``None``."""
    tokens = ("x", "a.b.c", "é", "." * 3000, "A" * 9000, "eyJhbGciOiJub25lIn0.e30.", "x y", "")
    cookies = ("", "x", "A" * 43, "A" * 44, "é" * 43, "A" * 42 + "B", f'"{"A" * 43}"')
    hostile = [{b"authorization": f"Bearer {token}".encode()} for token in tokens]
    hostile += [{b"cookie": f"{COOKIE}={value}".encode()} for value in cookies]

    for headers in hostile:
        for path in GUARDED:
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 401, (path, headers)
            assert code_of(answer) in {"invalid_token", "session_expired"}, (path, headers)
            assert challenge(answer) == 'error="invalid_token"', (path, headers)


@pytest.mark.parametrize("value", ["Bearer", "bearer", "Bearer\tx"])
@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # refused before any query
async def test_a_bearer_header_without_a_token_is_a_bad_credential(
    client: AsyncClient, value: str
) -> None:
    """ERR-1: servers strip the trailing space of ``Bearer ``; it is not the absence of a credential."""
    answer = await client.get("/optional", headers={"authorization": value})

    assert answer.status_code in {400, 401}


async def test_every_guard_knows_the_person(client: AsyncClient, alice: Person) -> None:
    """Cookie and token alike, whatever the spelling of the scheme (RFC 9110 section 11.1)."""
    tokens = await get_tokens(client, alice)
    for scheme in ("Bearer", "bearer", "BEARER", ""):
        headers = {"authorization": f"{scheme} {tokens['access_token']}"} if scheme else {}
        if not headers:
            await log_in(client, alice)
        assert (await client.get("/user", headers=headers)).json() == {"username": "alice"}
        assert (await client.get("/optional", headers=headers)).json() == "alice"
        principal = (await client.get("/principal", headers=headers)).json()
        assert principal == {"user_id": alice.id, "scopes": ["posts:read"]}
        shown = (await client.get("/auth/session", headers=headers)).json()["session"]["id"]
        assert (await client.get("/whose-session", headers=headers)).json() == shown


async def test_two_credentials_at_once_are_refused(client: AsyncClient, alice: Person) -> None:
    """ERR-1: 400 for a cookie beside a token, or two tokens, good or bad, equal or not."""
    header = ("Authorization", bearer(await get_tokens(client, alice))["Authorization"])
    cookie = ("Cookie", f"{COOKIE}={(await log_in(client, alice)).cookies[COOKIE]}")
    client.cookies.clear()
    bad = [("Authorization", "Bearer x"), ("Cookie", f"{COOKIE}=x")]

    for headers in ([header, header], [header, bad[0]], [header, cookie], [cookie, bad[0]], bad):
        for path in (*GUARDED, "/auth/session"):
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, code_of(answer)) == (400, "invalid_request"), path


async def test_a_cookie_has_one_value_and_one_spelling(client: AsyncClient, alice: Person) -> None:
    """ERR-1, ERR-2: two that differ are 400 in whatever order; quotes, escapes and spaces make another cookie."""
    value = (await log_in(client, alice)).cookies[COOKIE]
    client.cookies.clear()
    good, bad, other = f"{COOKIE}={value}", f"{COOKIE}=x", f"{COOKIE}={'A' * 43}"
    escaped = "".join(f"\\{ord(character):03o}" for character in value)

    for one, two in ((good, bad), (bad, good), (good, other), (other, good), (good, f"{COOKIE}=")):
        for headers in ([("cookie", one), ("cookie", two)], [("cookie", f"{one}; {two}")]):
            for path in (*GUARDED, "/auth/session"):
                answer = await client.get(path, headers=headers)
                assert (answer.status_code, code_of(answer)) == (400, "invalid_request"), headers
    for spelling in (f'"{value}"', f'"{escaped}"', f" {value}", f"{value} ", f"{value}="):
        answer = await client.get("/user", headers={"cookie": f"a=b; {COOKIE}={spelling}; c=d"})
        assert (answer.status_code, code_of(answer)) == (401, "invalid_token"), spelling
    for name in (f"{COOKIE} ", COOKIE.upper(), f"={COOKIE}", f"{COOKIE}%20"):
        answer = await client.get("/user", headers={"cookie": f"a=b; {name}={value}; c=d"})
        assert code_of(answer) == "not_authenticated", name
    for header in (f"a=b; {good};{good}", f"a=b;{good}", f"x; {good}; {COOKIE}-device=y"):
        assert (await client.get("/user", headers={"cookie": header})).status_code == 200, header


async def test_scopes_are_required_and_named(client: AsyncClient, alice: Person) -> None:
    """ERR-1: 403 with the scope in the challenge; a demotion holds on the next request for the user."""
    tokens = await get_tokens(client, alice, scope="posts:read posts:write")
    assert tokens["scope"] == "posts:read"  # what she lacks is dropped, and the answer says so
    assert (await client.get("/posts", headers=bearer(tokens))).status_code == 200

    refused = await client.post("/posts", headers=bearer(tokens))
    await User.update({User.superuser: True}).where(User.id == alice.id)
    everything = await get_tokens(client, alice)
    allowed = await client.post("/posts", headers=bearer(everything))
    await User.update({User.superuser: False}).where(User.id == alice.id)
    demoted = await client.post("/posts", headers=bearer(everything))

    assert (allowed.status_code, everything["scope"]) == (200, "posts:read posts:write")
    for answer in (refused, demoted):
        assert (answer.status_code, code_of(answer)) == (403, "insufficient_scope")
        assert challenge(answer) == 'error="insufficient_scope", scope="posts:write"'


async def test_unmet_requirements_say_what_to_do(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """ERR-1: RFC 9470 with ``max_age`` when the log-in is too old; 403 for what logging in cannot mend."""
    await log_in(client, alice)
    assert code_of(await client.get("/verified")) == "email_not_verified"
    assert code_of(await client.get("/mfa")) == "mfa_enrolment_required"
    clock.move(TEN)
    assert (await client.get("/fresh")).status_code == 200
    clock.move(timedelta(seconds=1))

    answer = await client.get("/fresh")
    await client.post("/auth/reauthenticate", json={"password": PASSWORD})

    assert (answer.status_code, code_of(answer)) == (401, "reauthentication_required")
    assert challenge(answer) == 'error="insufficient_user_authentication", max_age="600"'
    assert (await client.get("/fresh")).status_code == 200


@pytest.mark.parametrize("settings_changes", [{"require_mfa": "everyone"}], ids=["everyone"])
async def test_who_must_use_a_second_factor_is_nobody_without_it(
    client: AsyncClient, alice: Person
) -> None:
    """MFA-4: every guard refuses a session that is only good for setting one up."""
    await log_in(client, alice)

    for path in GUARDED:
        answer = await client.get(path)
        assert (answer.status_code, answer.json().get("detail", {}).get("code")) == (
            403,
            "mfa_enrolment_required",
        ), path


async def test_a_check_that_asks_a_broken_database_is_503(
    client: AsyncClient, alice: Person
) -> None:
    """FLT-3: the session is found, the table of second factors is not: no pass, and no 500."""
    tokens = await get_tokens(client, alice)
    await User.raw("ALTER TABLE auth_mfa_method RENAME TO gone")

    answer = await client.get("/mfa", headers=bearer(tokens))

    assert (answer.status_code, code_of(answer)) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_equal_guards_are_one_dependency(
    auth: Auth[User], app: FastAPI, client: AsyncClient
) -> None:
    """Frozen values: hashable, equal when made alike, so overriding a fresh one reaches the route."""
    assert auth.require(fresh=TEN) == auth.require(fresh=TEN)
    assert len({auth.require(mfa=True), auth.require(mfa=True), auth.require(verified=True)}) == 2
    different = [
        auth.require(), auth.require(fresh=TEN), auth.require(mfa=True), auth.current_user,
        auth.optional_user, auth.current_session, auth.principal,
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    other = Auth(AuthSettings(secret_keys=[SECRET]), user_table=User)
    assert other.require(fresh=TEN) != auth.require(fresh=TEN)
    app.dependency_overrides[auth.require(fresh=TEN)] = lambda: None
    app.dependency_overrides[auth.current_user] = lambda: User(username="somebody")

    assert (await client.get("/fresh")).status_code == 200
    assert (await client.get("/user")).json() == {"username": "somebody"}


def test_a_guard_is_one_asynchronous_node() -> None:
    """A synchronous callable costs a thread; more nodes cost time on every request (PERFORMANCE.md)."""
    auth = Auth(AuthSettings(secret_keys=[SECRET]), user_table=User, scopes=SCOPES)
    app = make_app(auth)
    guards = {auth.current_user, auth.optional_user, auth.current_session, auth.principal}
    seen = []
    for context in iter_route_contexts(app.routes):
        dependant: Dependant | None = getattr(context.route, "dependant", None)
        for node in dependant.dependencies if dependant else ():
            seen.append(node.call)
            assert inspect.iscoroutinefunction(type(node.call).__call__), node.call
            assert node.dependencies == [], node.call
        calls = [node.call for node in dependant.dependencies] if dependant else []
        assert len(calls) <= 1, context.path
    assert guards <= set(seen)
    assert len(seen) > 20


async def test_two_kinds_of_auth_each_know_their_own_person(
    auth: Auth[User], client: AsyncClient, sign_up: People
) -> None:
    """What one found out is not what the other believes, and its tokens are none of the other's."""
    staff = Auth(
        AuthSettings(secret_keys=[SECRET[::-1]], prefix="/staff", cookie_name="staff"),
        user_table=User, hasher=fast_hasher(), clock=auth.clock,
    )  # fmt: skip
    both = FastAPI()
    for one in (auth, staff):
        both.include_router(one.router)
        one.install(both)

    @both.get("/both")
    async def who(
        user: Annotated[User, Depends(auth.current_user)],
        other: Annotated[User, Depends(staff.current_user)],
    ) -> list[str]:
        return [user.username, other.username]

    alice, bob = await sign_up("alice"), await sign_up("bob")
    browser = AsyncClient(transport=ASGITransport(both), base_url=ORIGIN)
    await log_in(browser, alice)
    assert code_of(await browser.get("/both")) == "not_authenticated"
    await browser.post("/staff/login", json={"username": bob.username, "password": PASSWORD})
    tokens = await get_tokens(client, alice)

    assert (await browser.get("/both")).json() == ["alice", "bob"]
    nobody = AsyncClient(transport=ASGITransport(both), base_url=ORIGIN)
    assert code_of(await nobody.get("/staff/me", headers=bearer(tokens))) == "invalid_token"
    body = {"refresh_token": tokens["refresh_token"]}
    assert code_of(await nobody.post("/staff/refresh", json=body)) == "invalid_token"
    assert (await nobody.post("/auth/refresh", json=body)).status_code == 200


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # TestClient has its own loop
async def test_guards_work_on_websockets(
    auth: Auth[User], app: FastAPI, client: AsyncClient, alice: Person
) -> None:
    """Each of them, with a token; without one only the optional guard lets anybody in."""
    headers = {**bearer(await get_tokens(client, alice)), "host": "app.test"}
    guards: dict[str, Any] = {
        "/current": auth.current_user, "/session": auth.current_session, "/principal": auth.principal,
        "/fresh": auth.require(fresh=TEN), "/optional": auth.optional_user,
    }  # fmt: skip

    async def greet(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4000)

    for path, guard in guards.items():
        app.add_api_websocket_route(f"/ws{path}", greet, dependencies=[Depends(guard)])
    page = TestClient(app, base_url=ORIGIN)

    def closing(path: str, **sent: str) -> int:
        with (
            pytest.raises(WebSocketDisconnect) as closed,
            page.websocket_connect(f"/ws{path}", headers=sent) as socket,
        ):
            socket.receive_text()
        return closed.value.code

    for path in guards:
        assert closing(path, **headers) == 4000
        assert closing(path, authorization="Bearer x") == 1008
        assert closing(path, host="app.test") == (4000 if path == "/optional" else 1008)


async def test_tests_of_applications_log_in_without_a_password(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """``log_in_as`` finds the installed ``Auth`` behind a client, and says so when there is none."""
    user = await User.objects().get(User.id == alice.id)
    assert user is not None

    session = await log_in_as(client, user)

    assert (await client.get("/whose-session")).json() == str(session.id)
    with pytest.raises(LookupError):
        await log_in_as(AsyncClient(), user)
    await log_in_as(AsyncClient(), user, auth=auth)

"""API keys over HTTP: made in a session, shown once, never stronger than their owner."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from piccolo_fastapi_auth import User
from piccolo_fastapi_auth.api_keys import keys
from piccolo_fastapi_auth.api_keys.tables import AuthApiKey
from piccolo_fastapi_auth.testing import FrozenClock
from piccolo_fastapi_auth.users.tables import AuthAccount
from tests.api_keys.helpers import by_header, key_of, make_key, roll_over
from tests.fixtures import (
    PASSWORD,
    Browsers,
    People,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
)

DAY: Final = timedelta(days=1)


async def test_a_key_is_shown_once_and_listed_without_its_secret(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """API-1, API-3: ninety days by default; the list shows name, prefix, scopes and times."""
    await log_in(client, alice)
    first = await make_key(client)
    clock.move(timedelta(seconds=1))
    ends = clock() + timedelta(days=7)
    second = await make_key(client, name="Zweit", scopes=[], expires_at=ends.isoformat())

    listed = (await client.get("/auth/api-keys")).json()

    assert [one["name"] for one in listed] == ["Zweit", "robot"]
    assert listed == [{k: v for k, v in made.items() if k != "key"} for made in (second, first)]
    assert first["key"].split("_")[1] == first["id"]
    assert first["key"].startswith(first["prefix"])
    assert datetime.fromisoformat(first["expires_at"]) == clock() - timedelta(seconds=1) + 90 * DAY
    assert datetime.fromisoformat(second["expires_at"]) == ends
    assert first["scopes"] == ["posts:read"]


async def test_a_key_opens_what_its_owner_may_do(client: AsyncClient, alice: Person) -> None:
    """As ``Authorization: Bearer`` and as ``X-API-Key``, at each guard that needs no session."""
    key = await key_of(client, alice)

    for headers in (by_header(key), bearer({"access_token": key})):
        assert (await client.get("/user", headers=headers)).json() == {"username": "alice"}
        assert (await client.post("/user", headers=headers)).status_code == 200
        assert (await client.get("/optional", headers=headers)).json() == "alice"
        assert (await client.get("/posts", headers=headers)).json() == "alice"
        principal = (await client.get("/principal", headers=headers)).json()
        assert principal == {"user_id": alice.id, "scopes": ["posts:read"]}
        assert code_of(await client.get("/verified", headers=headers)) == "email_not_verified"
        for path in ("/whose-session", "/fresh", "/mfa"):
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, code_of(answer)) == (403, "credential_not_accepted"), path
    await AuthAccount.update({AuthAccount.verified_email: alice.email}, force=True)
    assert (await client.get("/verified", headers=by_header(key))).status_code == 200


@pytest.mark.parametrize(
    "engine_kind", ["sqlite"], indirect=True
)  # TestClient brings its own event loop
async def test_a_key_works_on_a_websocket(client: AsyncClient, app: FastAPI, alice: Person) -> None:
    """A program is no browser: it brings no ``Origin``. A bad key closes with 1008."""
    key = await key_of(client, alice)
    socket = TestClient(app)
    with socket.websocket_connect("/ws", headers=by_header(key)) as open_socket:
        assert open_socket.receive_text() == "alice"
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        socket.websocket_connect("/ws", headers=by_header(key[:-1] + "?")),
    ):
        pass
    assert (closed.value.code, closed.value.reason) == (1008, "invalid_token")


async def test_a_key_never_has_more_scopes_than_were_given_or_are_held(
    client: AsyncClient, alice: Person
) -> None:
    """API-3: not those that the owner lacks, nor undeclared ones; none when none are named."""
    await log_in(client, alice)
    for scopes in (["posts:write"], ["posts:read", "posts:write"], ["no:such"]):
        body = {"name": "x", "scopes": scopes}
        answer = await client.post("/auth/api-keys", json=body)
        assert (answer.status_code, code_of(answer)) == (403, "insufficient_scope"), scopes
    plain = str((await make_key(client, scopes=[]))["key"])
    client.cookies.clear()

    assert (await client.get("/user", headers=by_header(plain))).status_code == 200
    answer = await client.get("/posts", headers=by_header(plain))
    assert (answer.status_code, code_of(answer)) == (403, "insufficient_scope")


async def test_a_limited_token_makes_no_stronger_key(client: AsyncClient, alice: Person) -> None:
    """API-3: a key has at most the scopes of the access token with which it was made."""
    tokens = await get_tokens(client, alice, scope="posts:write")  # she holds posts:read only
    body = {"name": "x", "scopes": ["posts:read"]}

    answer = await client.post("/auth/api-keys", json=body, headers=bearer(tokens))

    assert (answer.status_code, code_of(answer)) == (403, "insufficient_scope")


async def test_a_demotion_holds_at_once(client: AsyncClient, alice: Person) -> None:
    """API-3: a key of a superuser loses its scopes with the owner, on the next request, also for ``principal``."""
    await User.update({User.superuser: True}).where(User.id == alice.id)
    key = by_header(await key_of(client, alice, scopes=["posts:write", "posts:read"]))
    assert (await client.post("/posts", headers=key)).status_code == 200

    await User.update({User.superuser: False}).where(User.id == alice.id)

    assert code_of(await client.post("/posts", headers=key)) == "insufficient_scope"
    assert (await client.get("/posts", headers=key)).status_code == 200
    assert (await client.get("/principal", headers=key)).json()["scopes"] == ["posts:read"]


async def _revoked(client: AsyncClient, person: Person, key: dict[str, Any]) -> None:
    await log_in(client, person)
    assert (await client.delete(f"/auth/api-keys/{key['id']}")).status_code == 204
    assert (await client.delete(f"/auth/api-keys/{key['id']}")).status_code == 404


async def _revoked_by_its_text(client: AsyncClient, person: Person, key: dict[str, Any]) -> None:
    del person
    for _ in range(2):
        form = {"token": key["key"]}
        assert (await client.post("/auth/token/revoke", data=form)).status_code == 200


async def _deactivated(client: AsyncClient, person: Person, key: dict[str, Any]) -> None:
    del client, key
    await User.update({User.active: False}).where(User.id == person.id)


async def _deleted(client: AsyncClient, person: Person, key: dict[str, Any]) -> None:
    await log_in(client, person)
    answer = await client.request("DELETE", "/auth/me", json={"password": PASSWORD})
    assert answer.status_code == 204
    assert not await AuthApiKey.exists().where(AuthApiKey.id == key["id"])


@pytest.mark.parametrize("lose", [_revoked, _revoked_by_its_text, _deactivated, _deleted])
async def test_what_ends_a_key_ends_it_on_the_next_request(
    lose: Callable[[AsyncClient, Person, dict[str, Any]], Awaitable[None]],
    client: AsyncClient,
    sign_up: People,
) -> None:
    """API-3, REV-1, XPT-1: revoked, owner deactivated or deleted: 401 everywhere; another's key goes on."""
    alice, bob = await sign_up("alice"), await sign_up("bob")
    his = by_header(await key_of(client, bob))
    await log_in(client, alice)
    made = await make_key(client)
    client.cookies.clear()
    key = by_header(made["key"])
    assert (await client.get("/user", headers=key)).status_code == 200

    await lose(client, alice, made)

    client.cookies.clear()
    for path in ("/user", "/optional", "/principal", "/posts", "/whose-session", "/auth/me"):
        answer = await client.get(path, headers=key)
        assert (answer.status_code, code_of(answer)) == (401, "invalid_token"), path
    assert (await client.get("/user", headers=his)).status_code == 200


async def test_a_key_ends_in_time(client: AsyncClient, alice: Person, clock: FrozenClock) -> None:
    """API-3: at its very second, and though nothing cleans up."""
    key = by_header(await key_of(client, alice))
    clock.move(90 * DAY - timedelta(seconds=1))
    assert (await client.get("/user", headers=key)).status_code == 200
    clock.move(timedelta(seconds=1))
    assert code_of(await client.get("/user", headers=key)) == "invalid_token"
    assert await AuthApiKey.exists()


async def test_expiry_must_be_ahead_and_within_ten_years(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """400 for the past and for ever, 422 for a time without zone; nothing is made."""
    await log_in(client, alice)
    far = ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", clock().isoformat())
    for text in (*far, (clock() + 3654 * DAY).isoformat()):
        answer = await client.post("/auth/api-keys", json={"name": "x", "expires_at": text})
        assert (answer.status_code, code_of(answer)) == (400, "invalid_request"), text
    naive = {"name": "x", "expires_at": "2027-01-01T00:00:00"}
    assert (await client.post("/auth/api-keys", json=naive)).status_code == 422
    assert not await AuthApiKey.exists()


@pytest.mark.parametrize(
    "member", ["user_id", "user", "owner", "methods", "remaining", "permissions", "id"]
)
@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
async def test_the_owner_comes_from_the_session(
    client: AsyncClient, alice: Person, member: str
) -> None:
    """API-2: a member that would name an owner or a right is refused."""
    await log_in(client, alice)
    body = {"name": "x", member: 99}
    assert (await client.post("/auth/api-keys", json=body)).status_code == 422


async def test_keys_of_others_are_not_found(new_browser: Browsers, sign_up: People) -> None:
    """AUZ-2: neither revoked nor rolled over, nor listed; the answer is that for no such key."""
    alice, bob = await sign_up("alice"), await sign_up("bob")
    hers, his = new_browser(), new_browser()
    await log_in(hers, alice)
    await log_in(his, bob)
    key = await make_key(hers)

    for key_id in (key["id"], str(uuid4())):
        for answer in (await his.delete(f"/auth/api-keys/{key_id}"), await roll_over(his, key_id)):
            assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert (await his.get("/auth/api-keys")).json() == []
    assert (await new_browser().get("/user", headers=by_header(key["key"]))).status_code == 200


async def test_making_needs_a_fresh_log_in(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """A key outlives its session, so it is made by somebody who is there; revoking needs no more than a session."""
    await log_in(client, alice)
    key = await make_key(client)
    clock.move(timedelta(minutes=11))

    for answer in (
        await client.post("/auth/api-keys", json={"name": "x"}),
        await roll_over(client, key["id"]),
    ):
        assert (answer.status_code, code_of(answer)) == (401, "reauthentication_required")
    assert (await client.delete(f"/auth/api-keys/{key['id']}")).status_code == 204


async def test_a_key_manages_no_credentials(
    client: AsyncClient, app: FastAPI, alice: Person
) -> None:
    """API-4: every operation of ours that asks for a credential refuses a key, with an empty body or a full one."""
    key = by_header(await key_of(client, alice))
    document = app.openapi()["paths"]
    full = {
        "password": PASSWORD, "current_password": PASSWORD, "new_password": "a mule in the larder",
        "method": "totp", "code": "000000", "name": "x", "first_name": "x", "id": str(uuid4()), "scopes": [],
    }  # fmt: skip
    tried = 0
    for path, item in document.items():
        for method, operation in item.items():
            if not path.startswith("/auth/") or not operation.get("security"):
                continue
            if path == "/auth/token/introspect":
                continue  # made for keys; tests/oauth shows what it asks for
            members = _members(app, operation)
            body = {name: value for name, value in full.items() if name in members}
            sent: dict[str, Any] = {"json": body} if members else {}
            url = re.sub(r"{\w+}", str(uuid4()), path)
            answer = await client.request(method, url, headers=key, **sent)
            assert (answer.status_code, code_of(answer)) == (403, "credential_not_accepted"), path
            tried += 1
    assert tried > 15
    assert code_of(await client.post("/auth/logout", headers=key)) == "credential_not_accepted"
    assert (await client.get("/user", headers=key)).status_code == 200


def _members(app: FastAPI, operation: dict[str, Any]) -> set[str]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    found: set[str] = set()
    for part in [schema, *schema.get("anyOf", [])]:
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            found |= set(app.openapi()["components"]["schemas"][name].get("properties", {}))
    return found


async def test_two_credentials_at_once_are_refused(client: AsyncClient, alice: Person) -> None:
    """ERR-1: a key beside a cookie, a token or another key, good or bad."""
    key = await key_of(client, alice)
    tokens = await get_tokens(client, alice)
    cookie = ("Cookie", f"__Host-session={(await log_in(client, alice)).cookies['__Host-session']}")
    client.cookies.clear()
    own = ("X-API-Key", key)
    others = [
        cookie,
        own,
        ("Authorization", f"Bearer {key}"),
        ("X-API-Key", "x"),
        *bearer(tokens).items(),
    ]

    for other in others:
        for path in ("/user", "/optional", "/principal", "/auth/session"):
            answer = await client.get(path, headers=[own, other])
            assert (answer.status_code, code_of(answer)) == (400, "invalid_request"), other


async def test_rolling_over_leaves_an_overlap(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """The successor has name, scopes and life of the old key, which ends after the overlap; one successor each."""
    await log_in(client, alice)
    old = await make_key(client, expires_at=(clock() + 30 * DAY).isoformat())
    clock.move(timedelta(minutes=5))
    answer = await roll_over(client, old["id"], overlap=3600)
    new = answer.json()
    again = await roll_over(client, old["id"])
    client.cookies.clear()

    assert answer.status_code == 201
    assert (again.status_code, code_of(again)) == (409, "already_rolled_over")
    assert (new["name"], new["scopes"]) == (old["name"], old["scopes"])
    assert datetime.fromisoformat(new["expires_at"]) == clock() + 30 * DAY
    for key in (old, new):
        assert (await client.get("/user", headers=by_header(key["key"]))).status_code == 200
    clock.move(timedelta(hours=1))
    assert (await client.get("/user", headers=by_header(old["key"]))).status_code == 401
    assert (await client.get("/user", headers=by_header(new["key"]))).status_code == 200


async def test_rolling_over_never_prolongs_the_old_key(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """A key that ends before the overlap does still ends then."""
    await log_in(client, alice)
    old = await make_key(client, expires_at=(clock() + timedelta(minutes=1)).isoformat())
    assert (await roll_over(client, old["id"], overlap=86_400)).status_code == 201
    client.cookies.clear()
    clock.move(timedelta(minutes=1))
    assert (await client.get("/user", headers=by_header(old["key"]))).status_code == 401


@pytest.mark.parametrize(
    "settings_changes", [{"require_mfa": "everyone", "password_min_length": 8}]
)
async def test_under_the_policy_a_key_is_as_strong_as_the_log_in_that_made_it(
    client: AsyncClient, alice: Person
) -> None:
    """XPT-1: made without the second factor it is refused, made with it it works, at every guard."""
    weak, strong = await _stored_key(alice, "password"), await _stored_key(alice, "password totp")

    for path in ("/user", "/optional", "/principal"):
        answer = await client.get(path, headers=by_header(weak))
        assert (answer.status_code, code_of(answer)) == (403, "credential_not_accepted"), path
        assert (await client.get(path, headers=by_header(strong))).status_code == 200, path


async def _stored_key(person: Person, methods: str) -> str:
    key_id = uuid4()
    text, digest = keys.new(key_id)
    now = datetime.fromisoformat("2026-01-01T00:00:00Z")
    row = AuthApiKey(
        id=key_id, user=person.id, secret_hash=digest, name="x", methods=methods, created_at=now,
        expires_at=now + DAY,
    )  # fmt: skip
    await AuthApiKey.insert(row)
    return text


async def test_a_key_remembers_how_its_maker_signed_in(client: AsyncClient, alice: Person) -> None:
    """XPT-1: the methods of the session are those of the key."""
    await key_of(client, alice)
    assert (await AuthApiKey.select(AuthApiKey.methods))[0]["methods"] == "password"

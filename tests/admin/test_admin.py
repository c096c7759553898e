"""What administrators may do to people, and what not."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.mail import MemoryMailer
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from piccolo_fastapi_auth.users.scopes import ADMIN
from tests.admin.conftest import LogIn
from tests.fixtures import (
    ORIGIN,
    SCOPES,
    Browsers,
    People,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    make_app,
)


def admin_routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every operation for administrators, from the document."""
    for path, item in app.openapi()["paths"].items():
        for method in item:
            if path.startswith("/auth/admin"):
                yield method.upper(), path


def filled(path: str, user_id: object, role: str = "staff") -> str:
    """The path with a person in it."""
    unknown = "00000000-0000-4000-8000-000000000000"
    return path.format(user_id=user_id, session_id=unknown, role=role)


async def test_every_admin_route_wants_scope_and_freshness(
    app: FastAPI, admin: Person, alice: Person, signed_in: LogIn, clock: FrozenClock
) -> None:
    """ADM-1, ASVS 8.4.2: nobody, somebody, and an administrator whose log-in is old are refused everywhere."""
    root, hers, client = await signed_in(admin), await signed_in(alice), await signed_in(alice)
    client.cookies.clear()
    tokens = await get_tokens(client, alice)
    routes = list(admin_routes(app))
    assert len(routes) == 16
    for method, path in routes:
        assert (await client.request(method, filled(path, admin.id))).status_code == 401, path
        refused = await hers.request(method, filled(path, admin.id))
        assert (refused.status_code, code_of(refused)) == (403, "insufficient_scope"), path
        refused = await client.request(method, filled(path, admin.id), headers=bearer(tokens))
        assert (refused.status_code, code_of(refused)) == (403, "insufficient_scope"), path
    clock.move(timedelta(minutes=11))
    for method, path in routes:
        refused = await root.request(method, filled(path, alice.id))
        assert (refused.status_code, code_of(refused)) == (401, "reauthentication_required"), path


@pytest.mark.parametrize("settings_changes", [{"require_mfa": "admins"}, {}])
async def test_an_administrator_with_a_second_factor_must_have_used_it(
    auth: Auth[User], admin: Person, signed_in: LogIn, settings_changes: dict[str, Any]
) -> None:
    """ASVS 8.4.2: where there is a factor or the policy demands one, a password alone opens nothing."""
    await User.update({User.admin: True}).where(User.id == admin.id)
    root = await signed_in(admin)
    if settings_changes:
        assert code_of(await root.get("/auth/admin/users")) == "mfa_enrolment_required"
        return
    assert (await root.get("/auth/admin/users")).status_code == 200
    begun = await root.post("/auth/mfa/totp")
    other = await signed_in(admin)
    code = pyotp.TOTP(begun.json()["secret"]).at(auth.clock())
    body = {"id": begun.json()["id"], "code": code}
    assert (await root.post("/auth/mfa/totp/confirm", json=body)).status_code == 200
    assert (await root.get("/auth/admin/users")).status_code == 200
    assert (await other.get("/auth/admin/users")).status_code == 401  # it ended
    started = await auth.sessions.start(
        admin.id, transport="cookie", methods=["password"], scope=None, ip=None, user_agent=None,
        authenticated_at=auth.clock(),
    )  # fmt: skip
    weak = {"Cookie": f"__Host-session={started.secret}"}
    root.cookies.clear()
    refused = await root.get("/auth/admin/users", headers=weak)
    assert code_of(refused) == "reauthentication_required"


async def test_people_are_listed_without_anything_secret(
    admin: Person, sign_up: People, signed_in: LogIn
) -> None:
    """ADM-1: by name, page by page, by the beginning of a name; never a hash."""
    for name in ("bob", "alice", "50%"):
        await sign_up(name)
    root = await signed_in(admin)

    everybody = await root.get("/auth/admin/users")

    names = [one["username"] for one in everybody.json()]
    assert names == ["50%", "alice", "bob", "root"]
    assert "argon2" not in everybody.text
    assert "password" not in everybody.json()[0]
    page = await root.get("/auth/admin/users", params={"after": "alice", "limit": 1})
    assert [one["username"] for one in page.json()] == ["bob"]
    for search, found in (("al", ["alice"]), ("%", names), ("50", ["50%"]), ("zz", [])):
        page = await root.get("/auth/admin/users", params={"search": search})
        assert [one["username"] for one in page.json()] == found, search


async def test_foreign_and_unknown_ids_are_not_found(
    app: FastAPI, admin: Person, alice: Person, signed_in: LogIn
) -> None:
    """AUZ-2: what is nobody's key, in any spelling, is 404 on every route, never 500 and never somebody."""
    root = await signed_in(admin)
    for method, path in admin_routes(app):
        if "{user_id}" in path:
            for key in (99999, 2**31, 2**70, "x", "-1", f"0{alice.id}", f"{alice.id}.0"):
                answer = await root.request(method, filled(path, key))
                assert (answer.status_code, code_of(answer)) == (404, "not_found"), (path, key)
        if "{session_id}" in path:
            answer = await root.request(method, filled(path, alice.id))
            assert answer.status_code == 404


async def test_an_administrator_ends_sessions_of_one_or_all(
    auth: Auth[User], admin: Person, alice: Person, signed_in: LogIn
) -> None:
    """ADM-2: one session of a person, or all; with an event that names both."""
    root, one, two = await signed_in(admin), await signed_in(alice), await signed_in(alice)
    path = f"/auth/admin/users/{alice.id}/sessions"
    first = (await one.get("/auth/session")).json()["session"]["id"]
    own = (await root.get("/auth/session")).json()["session"]["id"]
    assert (await root.delete(f"{path}/{own}")).status_code == 404
    assert (await root.delete(f"{path}/{first}")).status_code == 204
    assert (await one.get("/user")).status_code == 401
    assert (await two.get("/user")).status_code == 200
    assert len((await root.get(path)).json()) == 1
    assert (await root.delete(path)).status_code == 204
    assert (await two.get("/user")).status_code == 401
    event = (await auth.events.all(before=None, limit=1))[0]
    assert (event.action, event.user, event.actor) == ("session.ended", alice.id, admin.id)


async def test_a_closed_account_is_closed_at_once(
    admin: Person, alice: Person, signed_in: LogIn, client: AsyncClient
) -> None:
    """Deactivation ends sessions and log-ins; activation opens the account, not the old sessions."""
    root, hers = await signed_in(admin), await signed_in(alice)
    body = {"username": "alice", "password": alice.password}
    for _ in range(2):
        assert (await root.post(f"/auth/admin/users/{alice.id}/deactivate")).status_code == 204
    assert (await hers.get("/user")).status_code == 401
    assert (await client.post("/auth/login", json=body)).status_code == 401
    assert not (await root.get(f"/auth/admin/users/{alice.id}")).json()["active"]
    assert (await root.post(f"/auth/admin/users/{alice.id}/activate")).status_code == 204
    assert (await hers.get("/user")).status_code == 401
    assert (await client.post("/auth/login", json=body)).status_code == 200
    events = (await root.get("/auth/admin/events", params={"user": alice.id})).json()
    actions = [one["action"] for one in events]
    assert actions == [
        "login.succeeded", "user.activated", "login.failed", "user.deactivated",
        "login.succeeded", "user.registered",
    ]  # fmt: skip


async def test_a_reset_is_started_and_no_password_is_seen(
    auth: Auth[User], app: FastAPI, admin: Person, alice: Person, signed_in: LogIn
) -> None:
    """ADM-1: without links it says so; with them the person gets a mail; no route takes a password."""
    root, path = await signed_in(admin), f"/auth/admin/users/{alice.id}/reset-password"
    refused = await root.post(path)
    assert (refused.status_code, code_of(refused)) == (409, "reset_unavailable")
    mailer = MemoryMailer()
    mailing = Auth(
        auth.settings.model_copy(update={"public_origin": ORIGIN}),
        mailer=mailer, clock=auth.clock, hasher=fast_hasher(), scopes=SCOPES,
    )  # fmt: skip
    app = make_app(mailing)
    async with (
        mailing.lifespan(),
        AsyncClient(transport=ASGITransport(app), base_url=ORIGIN, cookies=root.cookies) as mails,
    ):
        assert (await mails.post(path)).status_code == 202
        await mailing.outbox.drain()
    assert [message["To"] for message in mailer.messages] == [alice.email]
    events = (await root.get("/auth/admin/events", params={"user": alice.id})).json()
    assert [one["action"] for one in events][:1] == ["password.reset_requested"]
    assert events[0]["actor"] == admin.id
    document = app.openapi()
    for one, item in document["paths"].items():
        if one.startswith("/auth/admin"):
            assert all("requestBody" not in operation for operation in item.values()), one


async def test_nobody_is_raised_above_the_administrator(
    auth: Auth[User], admin: Person, alice: Person, sign_up: People, signed_in: LogIn
) -> None:
    """A role with a scope that the administrator lacks is not theirs to give; superusers and oneself are out of reach."""
    boss = await sign_up("boss")
    await User.update({User.superuser: True}).where(User.id == boss.id)
    await auth.roles.define("writer", ["posts:write"])
    await auth.roles.define("reader", ["posts:read"])
    root, top = await signed_in(admin), await signed_in(boss)

    async def give(browser: AsyncClient, person: Person, role: str) -> int:
        answer = await browser.put(f"/auth/admin/users/{person.id}/roles/{role}")
        return answer.status_code

    assert await give(root, alice, "writer") == 403
    assert await give(root, alice, "reader") == 204
    assert await give(root, admin, "reader") == 403
    assert await give(root, alice, "nothing") == 404
    assert await give(top, alice, "writer") == 204
    for path in ("deactivate", "activate", "reset-password", "impersonate"):
        for person in (boss, admin):
            refused = await root.post(f"/auth/admin/users/{person.id}/{path}")
            assert code_of(refused) == "target_not_allowed", path
    for path in ("sessions", "mfa", "roles/staff"):
        assert (await root.delete(f"/auth/admin/users/{boss.id}/{path}")).status_code == 403
    mine = (await root.get(f"/auth/admin/users/{alice.id}/roles")).json()
    assert [role["name"] for role in mine] == ["reader", "writer"]


async def test_people_see_their_own_events_only(
    admin: Person, alice: Person, signed_in: LogIn, new_browser: Browsers
) -> None:
    """AUZ-2: newest first, page by page; another person's are never among them."""
    await signed_in(admin)
    hers = await signed_in(alice)
    await log_in(new_browser(), alice)

    events = (await hers.get("/auth/events")).json()

    assert [one["action"] for one in events] == ["login.succeeded"] * 2 + ["user.registered"]
    assert {one["user"] for one in events} == {alice.id}
    first = (await hers.get("/auth/events", params={"limit": 1})).json()
    rest = (await hers.get("/auth/events", params={"before": first[0]["id"]})).json()
    assert first + rest == events
    assert (await hers.get("/auth/events", params={"before": 2**63})).status_code == 422
    assert (await hers.get("/auth/events", params={"limit": 201})).status_code == 422


async def test_everybody_has_no_scope_of_ours(client: AsyncClient, alice: Person) -> None:
    """``auth:admin`` and ``auth:impersonate`` come by role, callable or superuser, never by asking."""
    tokens = await get_tokens(client, alice, scope=ADMIN)
    assert tokens["scope"] == ""

"""ADM-3: acting as somebody else: allowed to few, short, visible, recorded, and without any power over the account."""

from datetime import timedelta
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient

from piccolo_fastapi_auth import Auth, AuthMiddleware, Principal, User
from piccolo_fastapi_auth.testing import FrozenClock
from piccolo_fastapi_auth.users.scopes import ADMIN, IMPERSONATE
from tests.admin.conftest import LogIn
from tests.fixtures import ORIGIN, Browsers, People, Person, bearer, code_of, get_tokens, log_in

SAFE = {"GET", "HEAD", "OPTIONS"}
# Which need no session: they end one, or begin one with a password.
OPEN_TO_ALL = {
    "POST /auth/login", "POST /auth/logout", "POST /auth/token", "POST /auth/refresh", "POST /auth/token/revoke",
    "POST /auth/register", "POST /auth/mfa/verify", "POST /auth/token/introspect",
    "POST /auth/password/forgot", "POST /auth/password/reset", "POST /auth/email/verify/request",
    "POST /auth/email/verify", "POST /auth/email/change/undo",
}  # fmt: skip


async def start(browser: AsyncClient, person: Person) -> None:
    """Act as a person, in this browser."""
    answer = await browser.post(f"/auth/admin/users/{person.id}/impersonate")
    assert answer.status_code == 200, answer.text


async def test_an_administrator_acts_as_somebody_by_cookie(
    auth: Auth[User], admin: Person, alice: Person, signed_in: LogIn, clock: FrozenClock
) -> None:
    """Shown in the session and in the person's list; ten minutes; started and ended are recorded with both."""
    root = await signed_in(admin)
    hers = await signed_in(alice)
    own = root.cookies["__Host-session"]
    await start(root, alice)

    assert (await root.get("/user")).json() == {"username": "alice"}
    shown = (await root.get("/auth/session")).json()
    assert (shown["user"]["username"], shown["session"].get("actor")) == ("alice", admin.id)
    listed = (await hers.get("/auth/sessions")).json()
    assert {one.get("actor") for one in listed} == {admin.id, None}
    root_again = {"Cookie": f"__Host-session={own}"}
    acting = root.cookies["__Host-session"]
    root.cookies.clear()
    assert (await root.get("/user", headers=root_again)).status_code == 401  # one session a browser
    root.cookies.set("__Host-session", acting, domain="app.test")
    assert (await root.post("/auth/logout")).status_code == 204
    events = await auth.events.of_user(alice.id, before=None, limit=2)
    assert [(one.action, one.user, one.actor) for one in events] == [
        ("impersonation.ended", alice.id, admin.id),
        ("impersonation.started", alice.id, admin.id),
    ]
    again = await signed_in(admin)
    await start(again, alice)
    clock.move(timedelta(minutes=10))
    assert (await again.get("/user")).status_code == 401


async def test_an_administrator_acts_as_somebody_by_token(
    auth: Auth[User], admin: Person, alice: Person, client: AsyncClient, clock: FrozenClock
) -> None:
    """The token says ``act`` (RFC 8693), comes without a refresh token, and `Principal` shows it."""
    app: FastAPI = client._transport.app  # type: ignore[attr-defined] # httpx has no public way

    @app.get("/acting")
    async def acting(principal: Annotated[Principal, Depends(auth.principal)]) -> list[object]:
        return [principal.user_id, principal.actor_id]

    tokens = await get_tokens(client, admin, scope=f"{ADMIN} {IMPERSONATE}")
    path = f"/auth/admin/users/{alice.id}/impersonate"
    answer = (await client.post(path, headers=bearer(tokens))).json()

    assert set(answer) == {"access_token", "token_type", "expires_in", "scope"}
    assert answer["scope"] == "posts:read"
    assert (await client.get("/acting", headers=bearer(answer))).json() == [alice.id, admin.id]
    assert (await client.get("/acting", headers=bearer(tokens))).json() == [admin.id, None]
    assert auth._parts.tokens.claims(answer["access_token"]).act == str(admin.id)
    clock.move(timedelta(minutes=10))
    assert (await client.get("/user", headers=bearer(answer))).status_code == 401


async def test_whoever_acts_changes_no_credential(
    app: FastAPI, admin: Person, alice: Person, signed_in: LogIn
) -> None:
    """Every route of ours that writes and wants a session refuses, whatever it is; deny by default."""
    root = await signed_in(admin)
    await start(root, alice)
    for path, item in app.openapi()["paths"].items():
        for method in (one.upper() for one in item):
            if not path.startswith("/auth/") or method in SAFE or f"{method} {path}" in OPEN_TO_ALL:
                continue
            filled = path.replace("{", "").replace("}", "")
            for name in ("user_id", "session_id", "method_id", "key_id"):
                filled = filled.replace(name, "00000000-0000-4000-8000-000000000000")
            refused = await root.request(method, filled, json={})
            assert (refused.status_code, code_of(refused)) == (403, "impersonating"), (method, path)
    assert (await root.post("/user")).status_code == 200  # the application's own routes are open
    for path in ("/fresh", "/mfa"):  # but for those that want the person to be there
        assert code_of(await root.get(path)) == "impersonating"


@pytest.mark.parametrize("way", ["limit", "AuthMiddleware"])
async def test_whoever_acts_is_known_however_early(
    auth: Auth[User], admin: Person, alice: Person, way: str
) -> None:
    """A middleware that looks up who it is, before one of our routes does, opens none of them."""
    app = FastAPI()
    app.include_router(auth.router)
    if way == "limit":
        auth.install(app, rate_limit=auth.rate_limit("99/minute", key="session"))
    else:
        app.add_middleware(AuthMiddleware, auth=auth, on_unauthenticated="pass")
    async with AsyncClient(transport=ASGITransport(app), base_url=ORIGIN) as root:
        await log_in(root, admin)
        await start(root, alice)
        refused = await root.patch("/auth/me", json={"first_name": "Al"})

    assert (refused.status_code, code_of(refused)) == (403, "impersonating")


async def test_peers_are_out_of_reach(
    auth: Auth[User], admin: Person, alice: Person, sign_up: People, signed_in: LogIn
) -> None:
    """No superuser, no administrator by flag or scope, not oneself, nobody whose account is closed."""
    await auth.roles.define("helper", [ADMIN])
    helper, flagged, boss = [await sign_up(name) for name in ("helper", "flagged", "boss")]
    await auth.roles.grant(helper.id, await auth.roles.named("helper"))
    await User.update({User.admin: True}).where(User.id == flagged.id)
    await User.update({User.superuser: True}).where(User.id == boss.id)
    root, weak, top = await signed_in(admin), await signed_in(helper), await signed_in(boss)

    for browser, person in (
        (root, helper),
        (root, flagged),
        (root, boss),
        (root, admin),
        (top, admin),
    ):
        refused = await browser.post(f"/auth/admin/users/{person.id}/impersonate")
        assert code_of(refused) == "target_not_allowed", person
    refused = await weak.post(f"/auth/admin/users/{alice.id}/impersonate")
    assert code_of(refused) == "insufficient_scope"  # its own permission
    await User.update({User.active: False}).where(User.id == alice.id)
    refused = await root.post(f"/auth/admin/users/{alice.id}/impersonate")
    assert code_of(refused) == "not_found"
    assert "impersonation.started" not in {
        one.action for one in await auth.events.all(before=None, limit=100)
    }


@pytest.mark.parametrize("settings_changes", [{"max_sessions": 1}])
async def test_acting_ends_no_session_of_the_person_and_ends_with_the_administrators(
    auth: Auth[User], admin: Person, alice: Person, signed_in: LogIn, new_browser: Browsers
) -> None:
    """The person notices nothing but the list; a closed administrator's account acts no more."""
    hers = await signed_in(alice)
    root = await signed_in(admin)
    await start(root, alice)
    assert (await hers.get("/user")).status_code == 200
    assert (await root.get("/user")).status_code == 200
    await auth.sessions.end_all(admin.id)
    assert (await root.get("/user")).status_code == 401
    assert (await hers.get("/user")).status_code == 200
    await log_in(new_browser(), alice)

"""AUD-1: every route of ours that writes leaves exactly the events that are listed here for it.

Whoever adds a route adds its line and the request that succeeds; a route without a line is refused.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import pyotp
from fastapi import FastAPI
from httpx import AsyncClient, Response

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.testing import FrozenClock
from piccolo_fastapi_auth.users.scopes import ADMIN, IMPERSONATE
from tests.accounts.conftest import auth, mailer, post, settings
from tests.accounts.helpers import Post
from tests.fixtures import PASSWORD, Browsers, People, Person, get_tokens, log_in

__all__ = [
    "auth",
    "mailer",
    "post",
    "settings",
]  # an ``Auth`` that mails into memory, with every flow on


@dataclass
class Scene:
    """A person with a browser, another, and an administrator; as many as a request needs."""

    auth: Auth[User]
    clock: FrozenClock
    new_browser: Browsers
    alice: Person
    hers: AsyncClient
    root: AsyncClient
    root_id: int
    post: Post
    kept: dict[str, str] = field(default_factory=dict)

    async def factor(self) -> dict[str, str]:
        """Give her a second factor that waits for its code."""
        begun = (await self.hers.post("/auth/mfa/totp")).json()
        self.kept["secret"] = begun["secret"]
        return {"id": begun["id"], "code": self.code()}

    def code(self) -> str:
        """The code of now."""
        return pyotp.TOTP(self.kept["secret"]).at(self.clock())

    async def enrolled(self) -> str:
        """Give her a second factor; return its id."""
        done = await self.hers.post("/auth/mfa/totp/confirm", json=await self.factor())
        assert done.status_code == 200, done.text
        return str(done.json()["method"]["id"])

    async def key(self) -> str:
        """Make an API key; return its id."""
        return str(
            (await self.hers.post("/auth/api-keys", json={"name": "k", "scopes": []})).json()["id"]
        )


Prepared = Callable[[], Awaitable[Response]]
Request = Callable[[Scene], Awaitable[Prepared]]


def simple(method: str, path: str, *, by: str = "hers", **sent: object) -> Request:
    """A request that needs nothing before it."""

    async def prepare(scene: Scene) -> Prepared:
        browser: AsyncClient = getattr(scene, by)
        filled = path.format(alice=scene.alice.id)
        return lambda: browser.request(method, filled, **sent)  # type: ignore[arg-type] # what httpx takes

    return prepare


async def _refresh(scene: Scene) -> Prepared:
    tokens = await get_tokens(scene.new_browser(), scene.alice)
    body = {"refresh_token": tokens["refresh_token"]}
    return lambda: scene.new_browser().post("/auth/refresh", json=body)


async def _revoke(scene: Scene) -> Prepared:
    tokens = await get_tokens(scene.new_browser(), scene.alice)
    return lambda: scene.new_browser().post(
        "/auth/token/revoke", data={"token": tokens["refresh_token"]}
    )


async def _end_session(scene: Scene) -> Prepared:
    session = (await log_in(scene.new_browser(), scene.alice)).json()["session"]["id"]
    return lambda: scene.hers.delete(f"/auth/sessions/{session}")


async def _end_her_session(scene: Scene) -> Prepared:
    session = (await log_in(scene.new_browser(), scene.alice)).json()["session"]["id"]
    return lambda: scene.root.delete(f"/auth/admin/users/{scene.alice.id}/sessions/{session}")


async def _end_others(scene: Scene) -> Prepared:
    await log_in(scene.new_browser(), scene.alice)
    return lambda: scene.hers.delete("/auth/sessions")


async def _confirm(scene: Scene) -> Prepared:
    body = await scene.factor()
    return lambda: scene.hers.post("/auth/mfa/totp/confirm", json=body)


async def _rename(scene: Scene) -> Prepared:
    factor = await scene.enrolled()
    return lambda: scene.hers.patch(f"/auth/mfa/{factor}", json={"name": "phone"})


async def _remove(scene: Scene) -> Prepared:
    factor = await scene.enrolled()
    return lambda: scene.hers.delete(f"/auth/mfa/{factor}")


async def _new_codes(scene: Scene) -> Prepared:
    await scene.enrolled()
    return lambda: scene.hers.post("/auth/mfa/recovery-codes")


async def _verify(scene: Scene) -> Prepared:
    await scene.enrolled()
    body = {"username": scene.alice.username, "password": PASSWORD}
    asked = await scene.new_browser().post("/auth/login", json=body)
    scene.clock.move(timedelta(seconds=30))
    answer = {
        "mfa_token": asked.json()["detail"]["mfa_token"],
        "method": "totp",
        "code": scene.code(),
    }
    return lambda: scene.new_browser().post("/auth/mfa/verify", json=answer)


async def _roll_over(scene: Scene) -> Prepared:
    key = await scene.key()
    return lambda: scene.hers.post(f"/auth/api-keys/{key}/rollover")


async def _revoke_key(scene: Scene) -> Prepared:
    key = await scene.key()
    return lambda: scene.hers.delete(f"/auth/api-keys/{key}")


async def _activate(scene: Scene) -> Prepared:
    await scene.root.post(f"/auth/admin/users/{scene.alice.id}/deactivate")
    return lambda: scene.root.post(f"/auth/admin/users/{scene.alice.id}/activate")


async def _take_role(scene: Scene) -> Prepared:
    await scene.root.put(f"/auth/admin/users/{scene.alice.id}/roles/reader")
    return lambda: scene.root.delete(f"/auth/admin/users/{scene.alice.id}/roles/reader")


async def _link(scene: Scene, path: str, purpose: str, email: str) -> str:
    """Ask for a link, and return the token that was mailed."""
    answer = await scene.hers.post(path, json={"email": email})
    assert answer.is_success, answer.text
    return await scene.post.token(email, purpose)


async def _verify_address(scene: Scene) -> Prepared:
    token = await _link(scene, "/auth/email/verify/request", "verify_email", scene.alice.email)
    return lambda: scene.hers.post("/auth/email/verify", json={"token": token})


async def _undo(scene: Scene) -> Prepared:
    token = await _link(scene, "/auth/email/change", "change_email", NEW)
    moved = await scene.hers.post("/auth/email/verify", json={"token": token})
    assert moved.is_success, moved.text
    undo = await scene.post.token(scene.alice.email, "undo_email_change")
    return lambda: scene.hers.post("/auth/email/change/undo", json={"token": undo})


async def _move(scene: Scene) -> Prepared:
    token = await _link(scene, "/auth/email/change", "change_email", NEW)
    return lambda: scene.hers.post("/auth/email/verify", json={"token": token})


async def _choose(scene: Scene) -> Prepared:
    token = await _link(scene, "/auth/password/forgot", "reset_password", scene.alice.email)
    body = {"token": token, "password": "a mule in the larder"}
    return lambda: scene.hers.post("/auth/password/reset", json=body)


async def _open(scene: Scene) -> Prepared:
    token = await _link(scene, "/auth/magic-link", "magic_link", scene.alice.email)
    return lambda: scene.new_browser().post("/auth/magic-link/login", json={"token": token})


NEW: Final = "new@example.com"
PERSON: Final = "/auth/admin/users/{user_id}"
OF_ALICE: Final = "/auth/admin/users/{alice}"
ACCOUNT: Final = {"username": "carol", "email": "carol@example.com", "password": PASSWORD}
NAMED: Final = {"username": "alice", "password": PASSWORD}

# Route -> the one action, and how to make it succeed. None: nothing that the vocabulary names happens.
ROUTES: Final[dict[str, tuple[str | None, Request]]] = {
    "POST /auth/register": ("user.registered", simple("POST", "/auth/register", json=ACCOUNT)),
    "POST /auth/login": ("login.succeeded", simple("POST", "/auth/login", json=NAMED)),
    "POST /auth/token": ("login.succeeded", simple("POST", "/auth/token", data={"grant_type": "password", **NAMED})),
    "POST /auth/refresh": (None, _refresh),
    "POST /auth/token/revoke": ("session.ended", _revoke),
    "POST /auth/logout": ("session.ended", simple("POST", "/auth/logout")),
    "DELETE /auth/sessions": ("session.ended", _end_others),
    "DELETE /auth/sessions/{session_id}": ("session.ended", _end_session),
    "POST /auth/reauthenticate": (
        "session.reauthenticated", simple("POST", "/auth/reauthenticate", json={"password": PASSWORD}),
    ),
    "POST /auth/mfa/totp": (None, simple("POST", "/auth/mfa/totp")),
    "POST /auth/mfa/totp/confirm": ("mfa.enrolled", _confirm),
    "POST /auth/mfa/recovery-codes": ("recovery_codes.regenerated", _new_codes),
    "POST /auth/mfa/verify": ("login.succeeded", _verify),
    "PATCH /auth/mfa/{method_id}": (None, _rename),
    "DELETE /auth/mfa/{method_id}": ("mfa.removed", _remove),
    "PATCH /auth/me": (None, simple("PATCH", "/auth/me", json={"first_name": "A"})),
    "DELETE /auth/me": ("user.deleted", simple("DELETE", "/auth/me", json={"password": PASSWORD})),
    "POST /auth/password/change": ("password.changed", simple(
        "POST", "/auth/password/change", json={"current_password": PASSWORD, "new_password": "a mule in the larder"},
    )),
    "POST /auth/password/forgot": ("password.reset_requested", simple(
        "POST", "/auth/password/forgot", json={"email": "alice@example.com"},
    )),
    "POST /auth/password/reset": ("password.reset", _choose),
    "POST /auth/email/verify/request": (None, simple(
        "POST", "/auth/email/verify/request", json={"email": "alice@example.com"},
    )),
    "POST /auth/email/verify": ("email.verified", _verify_address),
    "POST /auth/email/verify, to a new address": ("email.changed", _move),
    "POST /auth/email/change": ("email.change_requested", simple("POST", "/auth/email/change", json={"email": NEW})),
    "POST /auth/email/change/undo": ("email.changed", _undo),
    "POST /auth/magic-link": (None, simple("POST", "/auth/magic-link", json={"email": "alice@example.com"})),
    "POST /auth/magic-link/login": ("login.succeeded", _open),
    "POST /auth/invitations": (None, simple("POST", "/auth/invitations", by="root", json={"email": NEW})),
    "POST /auth/api-keys": ("api_key.created", simple("POST", "/auth/api-keys", json={"name": "k", "scopes": []})),
    "POST /auth/api-keys/{key_id}/rollover": ("api_key.created", _roll_over),
    "DELETE /auth/api-keys/{key_id}": ("api_key.revoked", _revoke_key),
    f"POST {PERSON}/deactivate": ("user.deactivated", simple("POST", f"{OF_ALICE}/deactivate", by="root")),
    f"POST {PERSON}/activate": ("user.activated", _activate),
    f"POST {PERSON}/reset-password": ("password.reset_requested", simple("POST", f"{OF_ALICE}/reset-password", by="root")),
    f"DELETE {PERSON}/sessions": ("session.ended", simple("DELETE", f"{OF_ALICE}/sessions", by="root")),
    f"DELETE {PERSON}/sessions/{{session_id}}": ("session.ended", _end_her_session),
    f"DELETE {PERSON}/mfa": ("mfa.removed", simple("DELETE", f"{OF_ALICE}/mfa", by="root")),
    f"PUT {PERSON}/roles/{{role}}": ("role.granted", simple("PUT", f"{OF_ALICE}/roles/reader", by="root")),
    f"DELETE {PERSON}/roles/{{role}}": ("role.revoked", _take_role),
    f"POST {PERSON}/impersonate": ("impersonation.started", simple("POST", f"{OF_ALICE}/impersonate", by="root")),
}  # fmt: skip
READS_BY_POST: Final = {"POST /auth/token/introspect"}


async def test_every_route_that_writes_leaves_its_one_event(  # noqa: PLR0917 - fixtures
    app: FastAPI,
    auth: Auth[User],
    clock: FrozenClock,
    new_browser: Browsers,
    sign_up: People,
    post: Post,
) -> None:
    """One event, success, no more; and no route is without a line in the list above."""
    writing = {
        f"{method.upper()} {path}"
        for path, item in app.openapi()["paths"].items()
        for method in item
        if path.startswith("/auth/") and method not in {"get", "head", "options"}
    }
    assert writing - READS_BY_POST == {route.partition(",")[0] for route in ROUTES}
    await auth.roles.define("staff", [ADMIN, IMPERSONATE, "posts:read"])
    await auth.roles.define("reader", ["posts:read"])
    root = await sign_up("root")
    await auth.roles.grant(root.id, await auth.roles.named("staff"))
    for number, (route, (action, request)) in enumerate(ROUTES.items()):
        await User.delete().where(User.id != root.id)
        alice = await sign_up("alice")
        hers, roots = new_browser(), new_browser()
        await log_in(hers, alice)
        await log_in(roots, root)
        scene = Scene(auth, clock, new_browser, alice, hers, roots, root.id, post)
        send = await request(scene)
        before = (await auth.events.all(before=None, limit=1))[0].id
        answer = await send()
        assert answer.is_success, (number, route, answer.text)
        await auth.outbox.drain()
        events = await auth.events.all(before=None, limit=200)
        new = [(event.action, event.outcome) for event in events if event.id > before]
        assert new == ([] if action is None else [(action, "success")]), route

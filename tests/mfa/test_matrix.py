"""No credential without the second factor: every operation of the application's OpenAPI document, generated."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from httpx import AsyncClient, Response
from piccolo.engine.base import Engine
from starlette.routing import BaseRoute

from piccolo_fastapi_auth import Auth, AuthSettings, EmailCode, RecoveryCodes, Totp, User
from piccolo_fastapi_auth.mail import MemoryMailer
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from piccolo_fastapi_auth.users.tables import AuthAccount
from tests.fixtures import PASSWORD, SCOPES, Browsers, Person, get_tokens, log_in
from tests.mfa.helpers import (
    STEP,
    Phone,
    begin,
    challenge,
    code_at,
    confirm,
    credentials_in,
    enrol,
    prove_again,
    token_challenge,
    verify,
)

Values = Mapping[str, str]

COOKIE: Final = "__Host-session"
# These answer everybody alike, whatever they bring; that they change nothing is checked apart.
OPEN_TO_ALL: Final = {
    "/public", "/auth/logout", "/auth/token/revoke", "/auth/password/forgot", "/auth/email/verify/request",
}  # fmt: skip
PASSWORD_VALUES: Final = {
    "grant_type": "password",
    "username": "alice",
    "password": PASSWORD,
    "current_password": PASSWORD,
    "new_password": "a mule in the larder",
}


# Every operation of the library. A new one belongs in one of the two, and if it gives a credential, also in the
# calls below that show what it takes.
GIVES: Final = {
    "POST /auth/login",
    "POST /auth/token",
    "POST /auth/refresh",
    "POST /auth/reauthenticate",
    "POST /auth/mfa/verify",
    "POST /auth/mfa/totp/confirm",
    "POST /auth/mfa/email_code/confirm",
    "POST /auth/api-keys",
    "POST /auth/api-keys/{key_id}/rollover",
}
GIVES_NOTHING: Final = {
    "POST /auth/register",
    "POST /auth/token/revoke",
    "POST /auth/logout",
    "GET /auth/session",
    "GET /auth/sessions",
    "DELETE /auth/sessions",
    "DELETE /auth/sessions/{session_id}",
    "GET /auth/mfa",
    "POST /auth/mfa/totp",
    "POST /auth/mfa/email_code",
    "POST /auth/mfa/challenge",
    "POST /auth/reauthenticate/challenge",
    "POST /auth/mfa/recovery-codes",
    "PATCH /auth/mfa/{method_id}",
    "DELETE /auth/mfa/{method_id}",
    "GET /auth/me",
    "PATCH /auth/me",
    "DELETE /auth/me",
    "POST /auth/password/change",
    "POST /auth/password/forgot",
    "POST /auth/password/reset",
    "POST /auth/email/verify/request",
    "POST /auth/email/verify",
    "POST /auth/email/change",
    "POST /auth/email/change/undo",
    "POST /auth/invitations",
    "GET /auth/confirm",
    "HEAD /auth/confirm",
    "POST /auth/confirm",
    "GET /auth/me/export",
    "GET /auth/api-keys",
    "DELETE /auth/api-keys/{key_id}",
    "POST /auth/token/introspect",
    "GET /.well-known/jwks.json",
    "GET /auth/events",
    "GET /auth/admin/events",
    "GET /auth/admin/users",
    "GET /auth/admin/roles",
    "GET /auth/admin/users/{user_id}",
    "POST /auth/admin/users/{user_id}/deactivate",
    "POST /auth/admin/users/{user_id}/activate",
    "POST /auth/admin/users/{user_id}/reset-password",
    "GET /auth/admin/users/{user_id}/sessions",
    "DELETE /auth/admin/users/{user_id}/sessions",
    "DELETE /auth/admin/users/{user_id}/sessions/{session_id}",
    "GET /auth/admin/users/{user_id}/mfa",
    "DELETE /auth/admin/users/{user_id}/mfa",
    "GET /auth/admin/users/{user_id}/roles",
    "PUT /auth/admin/users/{user_id}/roles/{role}",
    "DELETE /auth/admin/users/{user_id}/roles/{role}",
    "POST /auth/admin/users/{user_id}/impersonate",
}


@dataclass(frozen=True)
class Operation:
    """A path and a method of the application, and what its body may hold."""

    method: str
    path: str
    media_type: str | None
    members: frozenset[str]

    async def call(
        self, client: AsyncClient, values: Values, headers: Mapping[str, str]
    ) -> Response:
        """Send what it takes of some values and nothing else, and no cookie but that of ``headers``."""
        client.cookies.clear()
        body = {name: value for name, value in values.items() if name in self.members}
        path = re.sub(r"{\w+}", str(uuid4()), self.path)
        kind = {"application/json": "json"}.get(self.media_type or "", "data")
        sent: dict[str, Any] = {kind: body} if self.media_type else {}
        return await client.request(self.method, path, headers=headers, **sent)


def every_route(router: APIRouter) -> Iterator[BaseRoute]:
    """Every route of a router and of those that it includes, shown in the document or not."""
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from every_route(inner)


def operations(app: FastAPI) -> Iterator[Operation]:
    """Every operation of an application."""
    document = app.openapi()

    def members(schema: Mapping[str, Any]) -> set[str]:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return members(document["components"]["schemas"][name])
        parts = itertools.chain(schema.get("anyOf", []), schema.get("allOf", []))
        return set(schema.get("properties", {})).union(*(members(part) for part in parts))

    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            for media_type, body in content.items() or [(None, {})]:
                known = members(body.get("schema", {}))
                yield Operation(method.upper(), path, media_type, frozenset(known))


@dataclass(frozen=True)
class Carrier:
    """How a request carries a credential."""

    name: str
    headers: Mapping[str, str]


def carriers(secret: str, name: str) -> list[Carrier]:
    """The ways in which one secret may be presented beside a body."""
    return [
        Carrier(f"{name} as a cookie", {"Cookie": f"{COOKIE}={secret}"}),
        Carrier(f"{name} as a token", {"Authorization": f"Bearer {secret}"}),
    ]


NOTHING: Final = Carrier("nothing", {})


async def forgive() -> None:
    """Let no cap be the reason of a refusal."""
    await AuthAccount.update({AuthAccount.code_attempts: 0}, force=True)
    await AuthMfaMethod.update({AuthMfaMethod.failures: 0}, force=True)


async def test_a_challenges_token_opens_nothing(
    app: FastAPI, stranger: AsyncClient, phone: Phone
) -> None:
    """MFA-4: presented anywhere, in any way, it gives nothing, ends nothing, and is still good for its one use."""
    token = await challenge(stranger)
    presented: Values = dict.fromkeys(
        ("refresh_token", "token", "password", "current_password", "code", "mfa_code", "method"),
        token,
    ) | {"username": "alice", "new_password": "a mule in the larder", "id": str(uuid4())}
    before = await AuthSession.count(), await AuthRecoveryCode.count()
    opened = []
    for operation in operations(app):
        grants = ("password", "refresh_token") if "grant_type" in operation.members else ("",)
        for grant, carrier in itertools.product(grants, [NOTHING, *carriers(token, "mfa_token")]):
            values = {**presented, "grant_type": grant, "email": "other@example.com"}
            answer = await operation.call(stranger, values, carrier.headers)
            assert answer.status_code < 500
            if answer.is_success or credentials_in(answer):
                opened.append((operation.path, carrier.name))

    assert {path for path, _ in opened} <= OPEN_TO_ALL | {"/optional"}
    assert {name for path, name in opened if path == "/optional"} == {"nothing"}
    assert (await AuthSession.count(), await AuthRecoveryCode.count()) == before
    await forgive()
    assert (await verify(stranger, token, phone.code())).status_code == 200


async def test_no_operation_gives_a_credential_without_the_second_factor(
    app: FastAPI, client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """XPT-1, MFA-4: whatever came before: cookies, tokens, challenges; answered, dead, or with a wrong code."""
    early = new_browser()
    await log_in(early, alice)
    old_cookie, old_tokens = early.cookies[COOKIE], await get_tokens(new_browser(), alice)
    await log_in(client, alice)
    phone = await enrol(client, clock)
    stranger = new_browser()
    answered, dead = await token_challenge(stranger), await challenge(stranger)
    used = phone.code()
    assert (await verify(stranger, answered, used)).status_code == 200
    for _ in range(5):
        await verify(stranger, dead, phone.wrong())
    stranger.cookies.clear()
    paper = {"method": "recovery_code", "code": phone.recovery_codes[0]}
    app_code = {"method": "totp", "code": phone.code(1)}
    clock.move(STEP)
    sets: list[Values] = [
        PASSWORD_VALUES,
        {**PASSWORD_VALUES, "mfa_code": phone.wrong()},
        {**PASSWORD_VALUES, "mfa_code": used},
        {"method": "totp", "code": phone.wrong()},
        {"method": "totp", "code": used},
        {**app_code, "mfa_token": answered},
        {**app_code, "mfa_token": dead},
        {**paper, "mfa_token": answered},
        {"grant_type": "refresh_token", "refresh_token": old_tokens["refresh_token"]},
    ]
    ways = [
        NOTHING,
        *carriers(old_cookie, "the old cookie")[:1],
        *carriers(old_tokens["access_token"], "the old token")[1:],
    ]
    for operation in operations(app):
        for number, values in enumerate(sets if operation.members else sets[:1]):
            open_token = await token_challenge(stranger) if "mfa_token" in operation.members else ""
            for carrier in ways:
                sent = {"mfa_token": open_token, **values}
                answer = await operation.call(stranger, sent, carrier.headers)
                assert answer.status_code < 500
                found = credentials_in(answer)
                assert found == [], (operation.path, number, carrier.name)
            await forgive()
    live = await AuthSession.select(AuthSession.methods)
    assert [row["methods"] for row in live] == ["password totp"] * 2
    assert await AuthOneTimeToken.exists().where(AuthOneTimeToken.used_at.is_null())


@pytest.fixture
def auth(
    database: Engine[Any], settings: AuthSettings, clock: FrozenClock, mailer: MemoryMailer
) -> Auth[User]:
    """An ``Auth`` with every method that there is."""
    del database
    return Auth(
        settings,
        user_table=User,
        mfa=[Totp(), EmailCode(), RecoveryCodes()],
        mailer=mailer,
        clock=clock,
        hasher=fast_hasher(),
        scopes=SCOPES,
        scopes_of=lambda _: ["posts:read"],
    )


@pytest.fixture
def mailer() -> MemoryMailer:
    """What was mailed."""
    return MemoryMailer()


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # routes are the same on both
async def test_the_matrix_knows_every_operation(auth: Auth[User]) -> None:
    """XPT-1: a route that nobody put in one of the two sets fails here, whatever it hides from the document."""
    found = list(every_route(auth.router))
    routes = [route for route in found if isinstance(route, APIRoute)]
    assert len(routes) == len(found)
    mounted = {
        f"{method} {route.path if route.path.startswith(('/auth/', '/.')) else f'/auth{route.path}'}"
        for route in routes
        for method in route.methods or ()
    }

    assert not GIVES & GIVES_NOTHING
    assert mounted == GIVES | GIVES_NOTHING
    hidden = {route.path for route in routes if not route.include_in_schema}
    assert hidden == {"/auth/confirm"}  # a page; the calls below reach what the document shows


async def kept_for_a_strong_session(
    client: AsyncClient, clock: FrozenClock
) -> set[tuple[str, str]]:
    """What gives a credential to somebody who is signed in, fresh, with two factors."""
    found = set[tuple[str, str]]()
    begun = await begin(client)
    if credentials_in(await confirm(client, begun, code_at(begun["secret"], clock()))):
        found.add(("a new device", "/auth/mfa/totp/confirm"))
    made = await client.post("/auth/api-keys", json={"name": "robot"})
    rolled = await client.post(f"/auth/api-keys/{made.json()['id']}/rollover")
    if credentials_in(made) == credentials_in(rolled) == ["key"]:
        found |= {("fresh", f"/auth/api-keys{rest}") for rest in ("", "/{key_id}/rollover")}
    return found


async def test_the_matrix_reaches_every_operation_that_gives_a_credential(
    app: FastAPI, client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """XPT-1: with what is right the same calls do give credentials; a new way in must be added here."""
    browser, found = new_browser(), set[tuple[str, str]]()

    async def collect(kind: str, values: Values, headers: Mapping[str, str]) -> None:
        for operation in operations(app):
            if operation.path in {"/auth/logout", "/auth/me", "/auth/token/revoke"}:
                continue  # they end what the next call needs
            answer = await operation.call(browser, values, headers)
            if credentials_in(answer):
                found.add((kind, operation.path))

    right = {name: PASSWORD_VALUES[name] for name in ("grant_type", "username", "password")}
    await collect("a password", right, {})
    tokens = await get_tokens(client, alice)
    renewing = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    await collect("a refresh token", renewing, {})
    access = {"Authorization": f"Bearer {tokens['access_token']}"}
    await collect("a live session", {"password": PASSWORD}, access)
    await log_in(client, alice)
    phone = await enrol(client, clock)
    await collect("a password and a code", {**right, "mfa_code": phone.code()}, {})
    for operation in operations(app):
        clock.move(STEP)
        token = await challenge(new_browser())
        values = {"mfa_token": token, "method": "totp", "code": phone.code()}
        if credentials_in(await operation.call(browser, values, {})):
            found.add(("a challenge and a code", operation.path))

    clock.move(STEP)
    assert (await prove_again(client, phone.code())).status_code == 200
    found |= await kept_for_a_strong_session(client, clock)
    assert {path for _, path in found} == {
        name.partition(" ")[2] for name in GIVES if "email_code" not in name
    }
    assert found == {
        ("a new device", "/auth/mfa/totp/confirm"),
        ("fresh", "/auth/api-keys"),
        ("fresh", "/auth/api-keys/{key_id}/rollover"),
        ("a password", "/auth/login"),
        ("a password", "/auth/token"),
        ("a refresh token", "/auth/refresh"),
        ("a refresh token", "/auth/token"),
        ("a live session", "/auth/reauthenticate"),
        ("a password and a code", "/auth/token"),
        ("a challenge and a code", "/auth/mfa/verify"),
    }


async def test_a_log_in_ends_in_the_transport_in_which_it_began(
    stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """XPT-1: whatever the answering request carries itself, a challenge for one kind gives no other."""
    for signed_in, start in itertools.product((False, True), (challenge, token_challenge)):
        stranger.cookies.clear()
        if signed_in:
            other = await verify(stranger, await challenge(stranger), phone.code())
            assert other.status_code == 200
            clock.move(STEP)
        token = await start(stranger)

        answer = await verify(stranger, token, phone.code())

        expected = [COOKIE] if start is challenge else ["access_token", "refresh_token"]
        assert credentials_in(answer) == expected
        clock.move(STEP)

"""JWTs that Piccolo API's own code handed out are good here until they expire, and no longer."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from httpx import ASGITransport, AsyncClient
from piccolo_api.jwt_auth.endpoints import jwt_login

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.testing import FrozenClock
from piccolo_fastapi_auth.users.tables import AuthAccount
from tests.fixtures import PASSWORD, Browsers, Person, bearer, code_of, get_tokens, log_in
from tests.mfa.helpers import enrol
from tests.moving.helpers import ask

OLD_SECRET = "the old secret of the old application"
SETTINGS: dict[str, Any] = {"moved_jwt_secrets": [OLD_SECRET]}
pytestmark = [
    pytest.mark.parametrize("settings_changes", [SETTINGS], ids=["moved_jwts"]),
    pytest.mark.filterwarnings("ignore:The HMAC key is"),  # PyJWT's own rule for its users
]


async def _unchanged_password(alice: Person) -> None:
    """Let the password be from before this library came, as that of everybody who is moved."""
    await AuthAccount.update({AuthAccount.password_changed_at: None}).where(
        AuthAccount.user == alice.id
    )


def token_of(user_id: object, expires_at: object, secret: str = OLD_SECRET, **more: Any) -> str:
    """What ``jwt_login`` makes."""
    headers = more.pop("headers", None)
    return jwt.encode({"user_id": user_id, "exp": expires_at, **more}, secret, headers=headers)


async def test_a_token_of_piccolo_api_goes_on_until_it_expires(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """Made by its own endpoint; it has the person's scopes, and none of our own routes takes it."""
    await _unchanged_password(alice)
    clock.move(datetime.now(UTC) - clock())  # noqa: TID251 - Piccolo API has no other clock
    old_app = ASGITransport(jwt_login(OLD_SECRET, auth_table=User, expiry=timedelta(hours=1)))
    async with AsyncClient(transport=old_app, base_url="https://old.test") as old:
        answer = await old.post("/", json={"username": "alice", "password": PASSWORD})
    sent = {"Authorization": f"Bearer {answer.json()['token']}"}

    assert (await client.get("/user", headers=sent)).json() == {"username": "alice"}
    assert (await client.get("/posts", headers=sent)).status_code == 200
    assert (await client.get("/fresh", headers=sent)).status_code == 403
    assert code_of(await client.get("/auth/sessions", headers=sent)) == "credential_not_accepted"
    clock.move(timedelta(hours=2))
    assert code_of(await client.get("/user", headers=sent)) == "token_expired"


async def test_who_is_refused(
    auth: Auth[User], client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """Inactive, unknown, with a second factor (MFA-1), or with a password that was set here since."""
    await _unchanged_password(alice)
    hour = int((clock() + timedelta(hours=1)).timestamp())
    token = token_of(alice.id, hour)
    assert await ask(client, authorization=f"Bearer {token}") == 200
    assert await ask(client, authorization=f"Bearer {token_of(99, hour)}") == 401

    await auth.operators.set_active("alice", active=False)
    assert await ask(client, authorization=f"Bearer {token}") == 401
    await auth.operators.set_active("alice", active=True)
    browser = new_browser()
    await log_in(browser, alice)
    phone = await enrol(browser, clock)
    assert await ask(client, authorization=f"Bearer {token}") == 401
    await auth.mfa.remove_all(alice.id)
    assert phone.id
    assert await ask(client, authorization=f"Bearer {token}") == 200
    await auth.operators.set_password("alice", "another horse in the pantry")
    assert await ask(client, authorization=f"Bearer {token}") == 401


async def test_malformed_and_forged_tokens_are_refused(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """JWT-3: 401 and never 500: another key or algorithm, no end, other types, another spelling."""
    await _unchanged_password(alice)
    hour = int((clock() + timedelta(hours=1)).timestamp())
    good = token_of(alice.id, hour)
    head, payload, proof = good.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode()
    wrong = [
        token_of(alice.id, hour, secret=f"{OLD_SECRET}!"),
        jwt.encode({"user_id": alice.id}, OLD_SECRET),
        jwt.encode({"exp": hour}, OLD_SECRET),
        jwt.encode({"user_id": alice.id, "exp": hour}, OLD_SECRET, algorithm="HS512"),
        f"{none.rstrip('=')}.{payload}.",
        f"{head}.{payload}.",
        f"{head}.{payload}",
        f"{good}=",
        f"{good}.x",
        f"{head}.{payload}.{proof[:-1]}",
        token_of(alice.id, hour, headers={"crit": ["exp"]}),
        token_of(alice.id, hour, headers={"kid": "x"}),
        *(token_of(user_id, hour) for user_id in (True, None, 1.0, [1], {"x": 1}, "x", -1, 10**40)),
        *(jwt.encode({"user_id": alice.id, "exp": end}, OLD_SECRET) for end in (-1, 10**40)),
    ]

    for token in wrong:
        assert await ask(client, authorization=f"Bearer {token}") == 401, token
    assert await ask(client, authorization=f"Bearer {good}") == 200


async def test_tokens_of_ours_are_not_touched_by_it(client: AsyncClient, alice: Person) -> None:
    """Both kinds come side by side, and each is verified by its own rules and key."""
    tokens = await get_tokens(client, alice)

    assert (await client.get("/user", headers=bearer(tokens))).status_code == 200
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    forged = jwt.encode(claims, OLD_SECRET, headers={"typ": "at+jwt"})
    assert await ask(client, authorization=f"Bearer {forged}") == 401

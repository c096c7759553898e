"""Logging in: refusals that tell nothing, hooks, the token endpoint's language, the hash pool."""

import asyncio
import threading
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from httpx import ASGITransport, AsyncClient
from piccolo.apps.user.tables import BaseUser
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthError, AuthSettings, User
from piccolo_fastapi_auth.primitives.passwords import TEST_ONLY, PasswordHasher, PasswordVerdict
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import (
    ORIGIN,
    PASSWORD,
    SECRET,
    People,
    Person,
    bearer,
    get_tokens,
    log_in,
    make_app,
)

FORM: Final = "application/x-www-form-urlencoded"


async def test_every_refusal_is_the_same(client: AsyncClient, sign_up: People) -> None:
    """ENU-1, PWD-9: unknown, wrong, inactive, no password: byte for byte."""
    await sign_up("argon")
    for name in ("inactive", "blank", "garbled"):
        await sign_up(name)
    await User.update({User.active: False}).where(User.username == "inactive")
    await User.update({User.password: ""}).where(User.username == "blank")
    await User.update({User.password: "$argon2id$nonsense"}).where(User.username == "garbled")
    attempts = [
        ("nobody", PASSWORD), ("argon", "wrong"), ("inactive", PASSWORD), ("inactive", "wrong"),
        ("blank", "x"), ("garbled", PASSWORD),
    ]  # fmt: skip

    answers = [
        await client.post("/auth/login", json={"username": u, "password": p}) for u, p in attempts
    ]
    grants = [
        await client.post(
            "/auth/token", data={"grant_type": "password", "username": u, "password": p}
        )
        for u, p in attempts
    ]

    assert {(a.status_code, a.text, str(a.headers)) for a in answers} == {
        (401, answers[0].text, str(answers[0].headers))
    }
    assert answers[0].json()["detail"]["code"] == "invalid_credentials"
    assert {(a.status_code, a.text, str(a.headers)) for a in grants} == {
        (400, grants[0].text, str(grants[0].headers))
    }
    assert grants[0].json()["error"] == "invalid_grant"
    assert await AuthSession.count() == 0


@pytest.mark.usefixtures("alice")
async def test_the_address_stands_for_the_name_in_any_case(client: AsyncClient) -> None:
    """People log in with either."""
    body = {"username": "ALICE@Example.com", "password": PASSWORD}

    answer = await client.post("/auth/login", json=body)

    assert answer.json()["user"]["username"] == "alice"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "password", "username": "alice"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({}, "invalid_request"),
        (
            {"grant_type": "password", "username": "alice", "password": PASSWORD, "scope": "x"},
            "invalid_scope",
        ),
    ],
)
async def test_the_token_endpoint_refuses_as_the_standard_says(
    client: AsyncClient, alice: Person, form: dict[str, str], error: str
) -> None:
    """RFC 6749 section 5.2."""
    answer = await client.post("/auth/token", data=form)

    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"
    assert alice.username == "alice"


@pytest.mark.parametrize("path", ["/auth/token", "/auth/token/revoke"])
async def test_a_form_says_everything_once(client: AsyncClient, alice: Person, path: str) -> None:
    """RFC 6749 section 3.2: whichever of two a reader takes, it is refused; nothing is issued and nothing ended."""
    tokens = await get_tokens(client, alice)
    form = (
        [("token", tokens["refresh_token"])]
        if path.endswith("revoke")
        else [("grant_type", "password"), ("username", "alice"), ("password", PASSWORD)]
    )

    for name, value in form:
        for again in (value, "x"):
            answer = await client.post(
                path, content=urlencode([*form, (name, again)]), headers={"content-type": FORM}
            )
            body = answer.json()
            assert answer.status_code == 400, name
            assert body.get("error") or body["detail"]["code"] == "invalid_request", name

    assert await AuthSession.count() == 1


async def test_an_old_hash_is_upgraded_by_a_log_in(client: AsyncClient, alice: Person) -> None:
    """PWD-7: Piccolo's own PBKDF2 row logs in unchanged, ten at once, and is Argon2id afterwards."""
    legacy = BaseUser.hash_password(PASSWORD, iterations=1000)
    await User.update({User.password: legacy}).where(User.id == alice.id)
    wrong = await client.post("/auth/login", json={"username": "alice", "password": "wrong"})
    kept = await User.select(User.password).first()

    await asyncio.gather(*(log_in(client, alice) for _ in range(10)))

    row = await User.select(User.password, User.last_login).first()
    assert (wrong.status_code, kept) == (401, {"password": legacy})
    assert row is not None
    assert row["password"].startswith("$argon2id$")
    assert row["last_login"] is not None
    await log_in(client, alice)


class _TeapotError(AuthError):
    code = "teapot"
    status = 418


async def _call(auth: Auth[User], password: str = PASSWORD) -> Any:
    async with AsyncClient(transport=ASGITransport(make_app(auth)), base_url=ORIGIN) as client:
        body = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
        await client.post("/auth/register", json=body)
        return await client.post("/auth/login", json={"username": "alice", "password": password})


@pytest.mark.usefixtures("database")
async def test_hooks_are_told_and_may_refuse() -> None:
    """Sync, async, one or several; a refusal after the log-in leaves no session."""
    told: list[tuple[str, list[str]]] = []

    def before(**words: Any) -> None:
        told.append(("before", sorted(words)))

    async def after(**words: Any) -> None:
        told.append(("after", sorted(words)))

    def failed(**words: Any) -> None:
        told.append(("failed", sorted(words)))

    def refuse(**_: Any) -> None:
        raise _TeapotError

    def make(**hooks: Any) -> Auth[User]:
        return Auth(
            AuthSettings(secret_keys=[SECRET]), clock=FrozenClock(), hasher=fast_hasher(), **hooks
        )

    assert (
        await _call(make(before_login=[before], after_login=after, login_failed=failed))
    ).status_code == 200
    assert (await _call(make(login_failed=failed), password="wrong")).status_code == 401
    count = await AuthSession.count()
    for hook in ("before_login", "after_login"):
        assert (await _call(make(**{hook: refuse}))).status_code == 418

    assert told == [
        ("before", ["request", "username"]),
        ("after", ["request", "session", "user", "username"]),
        ("failed", ["request", "username"]),
    ]
    assert await AuthSession.count() == count == 1


class _HeldHasher(PasswordHasher):
    """Checks nothing until it is let go."""

    let_go = threading.Event()

    def check(self, *args: Any, **words: Any) -> PasswordVerdict:
        self.let_go.wait(timeout=20)
        return super().check(*args, **words)


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
async def test_a_full_hash_queue_is_503_and_nothing_else_waits(database: Engine[Any]) -> None:
    """PWD-8: one working, two waiting, the fourth refused; other routes answer meanwhile."""
    del database
    hasher = _HeldHasher(TEST_ONLY, legacy_iterations=1)
    auth = Auth(AuthSettings(secret_keys=[SECRET], hash_concurrency=1, hash_queue=2), hasher=hasher)
    body = {"username": "alice", "password": PASSWORD}
    async with AsyncClient(transport=ASGITransport(make_app(auth)), base_url=ORIGIN) as client:
        waiting = [asyncio.create_task(client.post("/auth/login", json=body)) for _ in range(4)]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        other = await client.get("/public")
        _HeldHasher.let_go.set()
        answers = await asyncio.gather(*waiting)

    refused = done.pop().result()
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert other.status_code == 200
    assert sorted(answer.status_code for answer in answers) == [401, 401, 401, 503]


async def test_asymmetric_keys_are_published(database: Engine[Any]) -> None:
    """KEY-2: the JWKS holds public members only, and is cached; under HS256 there is none."""
    del database
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - here only
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - here only

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signed = Auth(
        AuthSettings(secret_keys=[SECRET], algorithm="ES256", signing_keys=[pem.decode()]),
        hasher=fast_hasher(),
    )
    shared = Auth(AuthSettings(secret_keys=[SECRET]), hasher=fast_hasher())
    await _call(signed)
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    async with AsyncClient(transport=ASGITransport(make_app(signed)), base_url=ORIGIN) as client:
        keys = await client.get("/.well-known/jwks.json")
        tokens = (await client.post("/auth/token", data=form)).json()
        assert (await client.get("/user", headers=bearer(tokens))).status_code == 200
    async with AsyncClient(transport=ASGITransport(make_app(shared)), base_url=ORIGIN) as client:
        none = await client.get("/.well-known/jwks.json")
        assert (await client.get("/user", headers=bearer(tokens))).status_code == 401

    assert set(keys.json()["keys"][0]) == {"kty", "use", "alg", "kid", "crv", "x", "y"}
    assert "max-age" in keys.headers["cache-control"]
    assert none.status_code == 404

"""People and their own accounts: sign up, read, write, change the password, leave."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, ProfileUpdate, User
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from piccolo_fastapi_auth.users.tables import AuthAccount
from tests.fixtures import (
    PASSWORD,
    SECRET,
    Browsers,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    refresh,
)
from tests.mfa.helpers import enrol


def _body(**changes: Any) -> dict[str, Any]:
    return {"username": "bob", "email": "bob@example.com", "password": PASSWORD, **changes}


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("x" * 14, "too_short"), ("🔐" * 14, "too_short"), ("password1234567", "common"),
        ("bob@example.com", "context"), ("ACME-Corp-2026!", "context"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("settings_changes", [{"password_words": ["Acme Corp"]}], ids=["acme"])
async def test_a_weak_password_is_rejected_with_its_reason(
    client: AsyncClient, password: str, reason: str
) -> None:
    """PWD-1, PWD-3: too short, too common, or a word of the site or the person."""
    answer = await client.post("/auth/register", json=_body(password=password))

    assert (answer.status_code, code_of(answer)) == (422, "password_rejected")
    assert answer.json()["detail"]["reason"] == reason
    assert password not in answer.text


async def test_signing_up_shows_the_person_as_they_will_see_themselves(client: AsyncClient) -> None:
    """The answer of sign-up is that of ``GET /auth/me``, scopes and all."""
    made = (await client.post("/auth/register", json=_body())).json()["user"]

    await log_in(client, Person(made["id"], "bob", "bob@example.com"))
    assert made == (await client.get("/auth/me")).json()
    assert made["scopes"] == ["posts:read"]


@pytest.mark.parametrize("password", ["🔐" * 15, "kwyjibozzlefrobn", "my password is rather long"])
async def test_a_good_password_needs_no_composition(client: AsyncClient, password: str) -> None:
    """PWD-1, PWD-2, PWD-3: fifteen of anything that is not on a list."""
    assert (await client.post("/auth/register", json=_body(password=password))).status_code == 201


@pytest.mark.parametrize(
    "changes",
    [
        {"admin": True}, {"superuser": True}, {"id": 1}, {"email_verified": True}, {"username": "a\x00b"},
        {"username": " bob"}, {"username": "alice@example.com"}, {"username": ""}, {"username": 5},
        {"email": "nonsense"}, {"email": "a@b@example.com"}, {"email": "x@example.com\r\nBcc: y"},
        {"password": "\ud800" * 15}, {"password": "x" * 1025}, {"password": ["x"] * 15}, {"password": None},
    ],
)  # fmt: skip
async def test_a_malformed_sign_up_is_refused_without_an_echo(
    client: AsyncClient, changes: dict[str, Any]
) -> None:
    """AUZ-3, EML-6, PWD-4: nothing is assigned by the way, nothing is sent back."""
    import json  # noqa: PLC0415 - httpx refuses to encode a lone surrogate

    answer = await client.post(
        "/auth/register",
        content=json.dumps(_body(**changes)),
        headers={"content-type": "application/json"},
    )

    assert answer.status_code == 422
    assert PASSWORD not in answer.text
    assert await User.count() == 0


@pytest.mark.parametrize(
    "content", ['{"password": NaN}', "{", "[]", "1", "\xff", "[" * 5000], ids=range(6)
)
async def test_a_body_that_is_no_object_is_refused(client: AsyncClient, content: str) -> None:
    """ERR-2: never a 500."""
    headers = {"content-type": "application/json"}
    for path in ("/auth/register", "/auth/login", "/auth/refresh", "/auth/mfa/verify"):
        answer = await client.post(path, content=content.encode("latin-1"), headers=headers)
        assert answer.status_code in {400, 422}
    assert (
        await client.post("/auth/login", content=b"x" * 70_000, headers=headers)
    ).status_code == 413
    assert (
        await client.post("/auth/login", data={"username": "a", "password": "b"})
    ).status_code == 422


async def test_two_sign_ups_with_one_name_make_one_account(client: AsyncClient) -> None:
    """One 201 and one 409, however close; also by the address in another case."""
    for number in range(10):
        bodies = [
            _body(username=f"bob{number}", email=f"bob{number}.{n}@example.com") for n in range(2)
        ]
        answers = await asyncio.gather(
            *(client.post("/auth/register", json=body) for body in bodies)
        )
        assert sorted(answer.status_code for answer in answers) == [201, 409]
    taken = await client.post(
        "/auth/register", json=_body(username="carol", email="BOB0.0@EXAMPLE.com")
    )
    other = await client.post(
        "/auth/register", json=_body(username="dave", email="BOB0.1@EXAMPLE.com")
    )
    assert sorted([taken.status_code, other.status_code]) == [201, 409]


@pytest.mark.parametrize("settings_changes", [{"registration": False}], ids=["closed"])
async def test_registration_can_be_closed(client: AsyncClient) -> None:
    """The route is not there."""
    assert (await client.post("/auth/register", json=_body())).status_code == 404


async def test_people_write_their_profile_and_nothing_else(
    client: AsyncClient, alice: Person
) -> None:
    """AUZ-3: only what is sent, only what is theirs."""
    await log_in(client, alice)
    written = await client.patch("/auth/me", json={"first_name": "Alice"})
    refused = await client.patch("/auth/me", json={"superuser": True})

    shown = (await client.get("/auth/me")).json()
    assert written.json() == shown
    assert (shown["first_name"], shown["last_name"]) == ("Alice", None)
    assert set(shown) == {
        "id",
        "username",
        "email",
        "first_name",
        "last_name",
        "email_verified",
        "scopes",
    }
    assert refused.status_code == 422


async def test_a_profile_schema_cannot_open_protected_columns(database: Engine[Any]) -> None:
    """Refused when the application starts."""
    del database

    class Greedy(ProfileUpdate):
        superuser: bool = False

    with pytest.raises(ValueError, match="superuser"):
        Auth(AuthSettings(secret_keys=[SECRET]), profile_schema=Greedy)


async def test_a_new_password_ends_every_other_session(
    client: AsyncClient, new_browser: Browsers, alice: Person
) -> None:
    """RST-7, RFT-9: the current one is needed; cookies and families elsewhere die at once."""
    await log_in(client, alice)
    other, tokens = new_browser(), await get_tokens(new_browser(), alice)
    await log_in(other, alice)
    new = "a mule in the larder"
    wrong = {"current_password": "wrong", "new_password": new}
    assert code_of(await client.post("/auth/password/change", json=wrong)) == "invalid_credentials"
    weak = {"current_password": PASSWORD, "new_password": "short"}
    assert code_of(await client.post("/auth/password/change", json=weak)) == "password_rejected"

    good = {"current_password": PASSWORD, "new_password": new}
    answers = await asyncio.gather(
        *(client.post("/auth/password/change", json=good) for _ in range(3))
    )

    assert sorted(answer.status_code for answer in answers) == [204, 401, 401]
    assert (await client.get("/user")).status_code == 200
    assert (await other.get("/user")).status_code == 401
    assert (await other.get("/user", headers=bearer(tokens))).status_code in {400, 401}
    assert (await refresh(client, tokens["refresh_token"])).status_code == 401


async def test_leaving_takes_everything_along(client: AsyncClient, alice: Person) -> None:
    """A wrong password deletes nothing; the right one everything that points at the person."""
    await log_in(client, alice)
    wrong = await client.request("DELETE", "/auth/me", json={"password": "wrong"})
    empty = await client.request("DELETE", "/auth/me", json={})
    assert [wrong.status_code, empty.status_code] == [401, 422]

    answer = await client.request("DELETE", "/auth/me", json={"password": PASSWORD})

    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert [await table.count() for table in (User, AuthSession, AuthAccount)] == [0, 0, 0]


async def test_an_export_holds_what_is_stored_and_nothing_that_opens_anything(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """GDPR article 20: columns, sessions and factors; no hash, no digest, no sealed state; a fresh log-in only."""
    assert (await client.get("/auth/me/export")).status_code == 401
    await log_in(client, alice)
    phone = await enrol(client, clock)

    answer = await client.get("/auth/me/export")

    shown = answer.json()
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["cache-control"] == "no-store"
    own = {"exported_at", "user", "email_verified"}
    assert set(shown) == own | {"sessions", "second_factors", "api_keys"}
    stored = {column._meta.name for column in User._meta.columns}
    assert set(shown["user"]) == stored - {"password"}
    assert [one["methods"] for one in shown["sessions"]] == [["password", "totp"]]
    assert [one["name"] for one in shown["second_factors"]] == ["Phone"]
    for secret in (
        "$argon2",
        phone.secret,
        client.cookies["__Host-session"],
        *phone.recovery_codes,
    ):
        assert secret not in answer.text
    clock.move(timedelta(minutes=11))
    assert code_of(await client.get("/auth/me/export")) == "reauthentication_required"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/password/forgot", {"email": "alice@example.com"}),
        ("/auth/password/reset", {"token": "A" * 43, "password": PASSWORD}),
        ("/auth/email/verify/request", {"email": "alice@example.com"}),
        ("/auth/email/verify", {"token": "A" * 43}),
        ("/auth/email/change", {"email": "new@example.com"}),
        ("/auth/email/change/undo", {"token": "A" * 43}),
        ("/auth/invitations", {"email": "new@example.com"}),
        ("/auth/magic-link", {"email": "alice@example.com"}),
        ("/auth/magic-link/login", {"token": "A" * 43}),
    ],
)
async def test_nothing_is_assigned_by_the_way(
    client: AsyncClient, alice: Person, path: str, body: dict[str, Any]
) -> None:
    """AUZ-3, CVE-2026-54693: a member that is not asked for is refused, on every route."""
    await log_in(client, alice)
    for extra in (
        {"superuser": True},
        {"email_verified": True},
        {"user_id": 1},
        {"verified_email": "x"},
    ):
        assert (await client.post(path, json={**body, **extra})).status_code == 422

"""What Piccolo API got wrong, and what happens here. Each test fails on its behaviour."""

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from piccolo.columns import UUID
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthMiddleware, AuthSettings, AuthUser, User
from piccolo_fastapi_auth.api_keys.records import Maker
from piccolo_fastapi_auth.api_keys.tables import AuthApiKey
from piccolo_fastapi_auth.errors import SessionExpiredError
from piccolo_fastapi_auth.sessions.access_tokens import AccessTokens
from piccolo_fastapi_auth.sessions.records import Session
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.api_keys.helpers import by_header, key_of
from tests.fixtures import ORIGIN, PASSWORD, SECRET, Person, bearer, code_of, get_tokens, log_in
from tests.mfa.helpers import STEP, enrol

NEW: Final = "another horse in the pantry"
FORM: Final = {"grant_type": "password", "username": "alice", "password": PASSWORD}


def browser(auth: Auth[User], *, protected: bool = False) -> AsyncClient:
    """An application with our routes; ``protected`` puts the middleware before all of it."""
    app = FastAPI()
    app.include_router(auth.router)
    if protected:
        app.add_middleware(AuthMiddleware, auth=auth, on_unauthenticated="refuse")
    return AsyncClient(transport=ASGITransport(app), base_url=ORIGIN)


@pytest.mark.parametrize("protected", [False, True], ids=["guard", "middleware"])
async def test_a_malformed_token_is_401(auth: Auth[User], *, protected: bool) -> None:
    """JWT-1, ERR-1: it was 500; and what was 400 for a bad header is 401 with a challenge."""
    async with browser(auth, protected=protected) as client:
        for value in (
            "Bearer x",
            "Bearer a.b.c",
            "Bearer ..",
            "Bearer",
            "Bearer e30.W10.AA",
            "x",
            "Bearer é",
        ):
            answer = await client.get("/auth/me", headers={b"authorization": value.encode()})
            assert answer.status_code == 401, value
            assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_token_of_an_inactive_person_is_refused(client: AsyncClient, alice: Person) -> None:
    """SES-8: it was accepted until it expired."""
    tokens = await get_tokens(client, alice)
    await User.update({User.active: False}).where(User.id == alice.id)

    assert (await client.get("/user", headers=bearer(tokens))).status_code == 401


async def test_no_way_in_skips_the_second_factor(
    app: FastAPI, client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """MFA-1: log-in for JWT and for tokens asked for the password only."""
    await log_in(client, alice)
    phone = await enrol(client, clock)
    client.cookies.clear()
    answers = [
        await client.post("/auth/login", json={"username": "alice", "password": PASSWORD}),
        await client.post("/auth/token", data=FORM),
    ]

    assert [answer.status_code for answer in answers] == [401, 403]
    assert not any("access_token" in answer.text or answer.cookies for answer in answers)
    # And the field for the code is the one that the document names.
    document = app.openapi()
    (media,) = document["paths"]["/auth/token"]["post"]["requestBody"]["content"].values()
    fields = document["components"]["schemas"][media["schema"]["$ref"].rpartition("/")[2]]
    (field,) = [name for name in fields["properties"] if "code" in name]
    clock.move(STEP)
    assert (await client.post("/auth/token", data={**FORM, field: phone.code()})).status_code == 200


async def test_a_revoked_token_stays_revoked_in_every_spelling(
    client: AsyncClient, alice: Person
) -> None:
    """JWT-9: the list held the token's text, so a ``=`` at the end made it good again."""
    tokens = await get_tokens(client, alice)
    token = tokens["access_token"]
    assert (await client.post("/auth/logout", headers=bearer(tokens))).status_code == 204
    live = (await get_tokens(client, alice))["access_token"]

    for text in (token, f"{token}=", f"{token}==", token.replace(".", "=.", 1), f"{live}="):
        answer = await client.get("/user", headers={"authorization": f"Bearer {text}"})
        assert answer.status_code == 401, text


@pytest.fixture(params=["Pacific/Kiritimati", "Pacific/Midway"])
def far_from_utc(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's clock shows another day."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
async def test_a_session_ends_at_its_time_in_every_zone(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """SES-6: naive local times were compared, so a session ended hours early or late."""
    await log_in(client, alice)
    clock.move(timedelta(days=7) - timedelta(seconds=1))
    assert (await client.get("/user")).status_code == 200
    clock.move(timedelta(days=7))
    assert code_of(await client.get("/user")) == "session_expired"


@pytest.mark.parametrize("settings_changes", [{"login_limit_per_ip": "3/minute"}])
async def test_a_limit_ends_by_itself(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """RL-1: whoever was blocked stayed blocked until the process started anew."""
    wrong = {"username": alice.username, "password": "wrong"}
    answers = [await client.post("/auth/login", json=wrong) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]

    clock.move(timedelta(seconds=int(answers[3].headers["retry-after"])))

    assert (await log_in(client, alice)).status_code == 200


async def test_a_taken_name_is_409(client: AsyncClient, alice: Person) -> None:
    """REG-1: it was 500."""
    body = {"username": alice.username, "email": "other@example.com", "password": PASSWORD}
    answer = await client.post("/auth/register", json=body)

    assert (answer.status_code, code_of(answer)) == (409, "user_exists")


async def test_a_key_may_be_a_uuid(database: Engine[Any], clock: FrozenClock) -> None:
    """It was 500; with migrations and over HTTP, tests/docs/test_guides.py goes the whole way."""

    class Member(AuthUser, tablename="member", db=database):
        id = UUID(primary_key=True)  # type: ignore[assignment] # Piccolo declares the key a Serial

    settings = AuthSettings(secret_keys=[SECRET])
    tokens = AccessTokens(settings, clock=clock, user_key=Member._meta.primary_key)
    now, member = clock(), uuid.uuid4()
    session = Session(
        id=uuid.uuid4(), user_id=member, transport="bearer", created_at=now, authenticated_at=now, last_seen_at=now,
        expires_at=now + timedelta(days=1), methods=("password",), scope=None, ip=None, user_agent=None,
    )  # fmt: skip

    principal = tokens.read(tokens.issue(session, scopes=[])[0])

    assert isinstance(principal.user_id, uuid.UUID)
    assert principal.user_id == member


class Broken:
    """A CAPTCHA service that is down, or says something that is not yes."""

    def __init__(self, says: object) -> None:
        self._says = says

    async def verify(self, token: str, *, ip: str | None) -> bool:
        del token, ip
        if isinstance(self._says, Exception):
            raise self._says
        return self._says  # type: ignore[return-value] # what a careless one does

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("says", "status"), [(OSError("down"), 503), (None, 403), (False, 403), ("", 403), ("yes", 403)]
)
async def test_a_captcha_that_does_not_say_yes_lets_nobody_in(
    auth: Auth[User], settings: AuthSettings, alice: Person, says: object, status: int
) -> None:
    """CAP-1: it failed open."""
    guarded = Auth(settings, clock=auth.clock, hasher=fast_hasher(), captcha=Broken(says))
    async with browser(guarded) as client:
        body = {"username": alice.username, "password": PASSWORD}
        for headers in ({"X-Captcha-Token": "x"}, {}):
            answer = await client.post("/auth/login", json=body, headers=headers)
            assert answer.status_code == (status if headers else 403)


async def test_a_new_password_ends_the_tokens(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """ASVS 7.4.3: tokens outlived it. Sessions, refresh tokens and API keys end, each key with its event."""
    keys = [await key_of(client, alice, name=name) for name in ("one", "two")]
    tokens = await get_tokens(client, alice)
    await log_in(client, alice)
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (
        await client.get("/user", headers={**by_header(keys[0]), "cookie": ""})
    ).status_code == 200

    assert (await client.post("/auth/password/change", json=body)).status_code == 204

    assert (await client.get("/user")).status_code == 200  # the session from which it was done
    client.cookies.clear()
    for headers in (bearer(tokens), *(by_header(key) for key in keys)):
        assert (await client.get("/user", headers=headers)).status_code == 401
    events = await auth.events.of_user(alice.id, before=None, limit=10)
    assert [one.action for one in events].count("api_key.revoked") == 2


async def test_a_password_that_an_operator_sets_ends_the_api_keys(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """RST-4: as one that is set by mail does, see tests/accounts/test_recovery.py."""
    key = await key_of(client, alice)

    await auth.operators.set_password(alice.username, NEW)

    assert (await client.get("/user", headers=by_header(key))).status_code == 401


async def test_no_key_is_made_by_a_session_that_has_just_ended(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """A request that passed its guard before the new password, and makes its key after it."""
    session = uuid.UUID((await log_in(client, alice)).json()["session"]["id"])
    key = (await client.post("/auth/api-keys", json={"name": "old"})).json()
    maker = Maker(alice.id, session, ("password",), ())
    await auth.sessions.end_all(alice.id)

    with pytest.raises(SessionExpiredError):
        await auth.api_keys.make(maker, name="new", scopes=[], expires_at=None)
    with pytest.raises(SessionExpiredError):
        await auth.api_keys.roll_over(maker, uuid.UUID(key["id"]), overlap=timedelta(hours=1))
    assert await AuthApiKey.count().where(AuthApiKey.expires_at > clock()) == 1

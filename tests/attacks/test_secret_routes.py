"""LCK-7: every route that checks a secret, taken from the routes themselves, honours the limits and the locks."""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, RecoveryCodes, Totp, User
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import ORIGIN, PASSWORD, SECRET, make_app
from tests.mfa.helpers import begin, enrol

SECRETS: Final = re.compile(r"password|code|token|secret|key|proof|credential|assertion")
WRONG: Final = "a wrong password"


@dataclass(frozen=True)
class Person:
    """Somebody with a log-in on a known device and an enrolment that waits for its first code."""

    name: str
    client: AsyncClient
    enrolment: str


Try = Callable[[Person], Awaitable[Response]]
OfBrowser = Callable[[AsyncClient, str], Awaitable[Response]]


async def _log_in(client: AsyncClient, name: str) -> Response:
    return await client.post("/auth/login", json={"username": name, "password": WRONG})


async def _token(client: AsyncClient, name: str) -> Response:
    form = {"grant_type": "password", "username": name, "password": WRONG}
    return await client.post("/auth/token", data=form)


async def _reauthenticate(client: AsyncClient, _: str) -> Response:
    return await client.post("/auth/reauthenticate", json={"password": WRONG})


async def _change(client: AsyncClient, _: str) -> Response:
    body = {"current_password": WRONG, "new_password": "a mule in the larder"}
    return await client.post("/auth/password/change", json=body)


async def _delete(client: AsyncClient, _: str) -> Response:
    return await client.request("DELETE", "/auth/me", json={"password": WRONG})


# A password: five wrong ones on an account, twenty from an address.
PASSWORDS: Final[dict[str, OfBrowser]] = {
    "post /auth/login": _log_in,
    "post /auth/token": _token,
    "post /auth/reauthenticate": _reauthenticate,
    "post /auth/password/change": _change,
    "delete /auth/me": _delete,
}


async def _verify(person: Person) -> Response:
    login = {"username": person.name, "password": PASSWORD}
    challenge = (await person.client.post("/auth/login", json=login)).json()["detail"]
    body = {"mfa_token": challenge["mfa_token"], "method": "totp", "code": "000000"}
    return await person.client.post("/auth/mfa/verify", json=body)


async def _token_with_code(person: Person) -> Response:
    form = {"grant_type": "password", "username": person.name, "password": PASSWORD}
    return await person.client.post("/auth/token", data={**form, "mfa_code": "000000"})


async def _reauthenticate_with_code(person: Person) -> Response:
    body = {"method": "totp", "code": "000000"}
    return await person.client.post("/auth/reauthenticate", json=body)


async def _delete_with_code(person: Person) -> Response:
    body = {"method": "totp", "code": "000000"}
    return await person.client.request("DELETE", "/auth/me", json=body)


async def _confirm(person: Person) -> Response:
    body = {"id": person.enrolment, "code": "000000"}
    return await person.client.post("/auth/mfa/totp/confirm", json=body)


# A one-time code: ten wrong ones for a person, twenty from an address.
CODES: Final[dict[str, Try]] = {
    "post /auth/mfa/verify": _verify,
    "post /auth/token": _token_with_code,
    "post /auth/reauthenticate": _reauthenticate_with_code,
    "delete /auth/me": _delete_with_code,
    "post /auth/mfa/totp/confirm": _confirm,
}

# Nothing to guess: why.
NOTHING_TO_GUESS: Final = {
    "post /auth/register": "it chooses a password",
    "post /auth/refresh": "a MAC of 256 bits",
    "post /auth/token/revoke": "a MAC of 256 bits; it opens nothing",
    "post /auth/token/introspect": "256 bits, asked by a caller with a key of its own",
    "post /auth/password/reset": "a link of 256 bits",
    "post /auth/email/change/undo": "a link of 256 bits",
    "post /auth/email/verify": "a link of 256 bits; the password that may come along passes the gate of all others",
    "post /auth/api-keys/{key_id}/rollover": "the id of a key of one's own",
    "delete /auth/api-keys/{key_id}": "the id of a key of one's own",
}


def operations() -> Iterator[tuple[str, set[str]]]:
    """Yield each operation of ours with the names of what it is sent: body, query and path."""
    app = FastAPI()
    settings = AuthSettings(secret_keys=[SECRET])
    app.include_router(Auth(settings, mfa=[Totp(), RecoveryCodes()]).router)
    document = app.openapi()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            names = {one["name"] for one in operation.get("parameters", [])}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                names |= set(_fields(document, content["schema"]))
            yield f"{method} {path}", names


def _fields(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    found = document["components"]["schemas"][name] if name else schema
    yield from found.get("properties", {})
    for kind in ("anyOf", "oneOf", "allOf"):
        for one in found.get(kind, []):
            yield from _fields(document, one)


def test_every_route_that_takes_a_secret_is_on_a_list() -> None:
    """LCK-7: a new one fails here until it is tried below, or somebody says why there is nothing to guess."""
    taking = {name for name, sent in operations() if any(SECRETS.search(one) for one in sent)}

    assert taking == {*PASSWORDS, *CODES, *NOTHING_TO_GUESS}


@pytest.fixture
def app(database: Engine[Any], clock: FrozenClock) -> FastAPI:
    """The default limits."""
    del database
    settings = AuthSettings(secret_keys=[SECRET])
    return make_app(Auth(settings, user_table=User, clock=clock, hasher=fast_hasher()))


def at(app: FastAPI, address: str) -> AsyncClient:
    """A browser at an address."""
    return AsyncClient(transport=ASGITransport(app, client=(address, 1)), base_url=ORIGIN)


async def signed_in(app: FastAPI, name: str, address: str) -> Person:
    """A person, logged in, at an address."""
    client = at(app, address)
    account = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    assert (await client.post("/auth/register", json=account)).status_code == 201
    login = {"username": name, "password": PASSWORD}
    assert (await client.post("/auth/login", json=login)).status_code == 200
    return Person(name, client, "")


def move(person: Person, app: FastAPI, address: str) -> Person:
    """The same browser elsewhere."""
    client = at(app, address)
    client.cookies = person.client.cookies
    return Person(person.name, client, person.enrolment)


@pytest.mark.parametrize("route", PASSWORDS)
async def test_wrong_passwords_are_counted_on_the_account(app: FastAPI, route: str) -> None:
    """LCK-1, LCK-7: five, from wherever; then every route that takes a password is closed."""
    alice = await signed_in(app, "alice", "192.0.2.1")

    found = [
        await PASSWORDS[route](move(alice, app, f"198.51.100.{n}").client, "alice")
        for n in range(7)
    ]

    assert [answer.status_code for answer in found[5:]] == [429, 429]
    assert all(answer.status_code in {400, 401} for answer in found[:5])
    assert int(found[5].headers["retry-after"]) >= 1
    for other, attempt in PASSWORDS.items():
        assert (await attempt(alice.client, "alice")).status_code == 429, other


@pytest.mark.parametrize("route", PASSWORDS)
async def test_a_lock_closes_every_route(app: FastAPI, clock: FrozenClock, route: str) -> None:
    """LCK-3, LCK-7: the lock outlasts the counter, and ends by itself."""
    alice = await signed_in(app, "alice", "192.0.2.1")
    for _ in range(6):  # 30 s, 1 min ... 16 min: longer than the counter's two windows
        answer = await PASSWORDS[route](alice.client, "alice")
        while answer.status_code != 429:
            answer = await PASSWORDS[route](alice.client, "alice")
        wait = int(answer.headers["retry-after"])
        clock.move(timedelta(seconds=wait))
        assert (await PASSWORDS[route](alice.client, "alice")).status_code in {400, 401}
    while (await PASSWORDS[route](alice.client, "alice")).status_code != 429:
        pass
    clock.move(timedelta(minutes=11))

    for other, attempt in PASSWORDS.items():
        assert (await attempt(alice.client, "alice")).status_code == 429, other


@pytest.mark.parametrize("route", PASSWORDS)
async def test_wrong_passwords_are_counted_on_the_address(app: FastAPI, route: str) -> None:
    """LCK-1, LCK-7: twenty over many accounts; then every route is closed to that address, and to no other."""
    people = [await signed_in(app, f"user{n}", "192.0.2.1") for n in range(8)]

    answers = [await PASSWORDS[route](one.client, one.name) for one in people for _ in range(3)]

    assert [answer.status_code for answer in answers[20:]] == [429] * 4
    assert all(answer.status_code in {400, 401} for answer in answers[:20])
    fresh = await signed_in(app, "fresh", "203.0.113.1")
    for other, attempt in PASSWORDS.items():
        here = move(fresh, app, "192.0.2.1")
        assert (await attempt(here.client, "fresh")).status_code == 429, other
    assert (await PASSWORDS[route](fresh.client, "fresh")).status_code in {400, 401}


async def enrolled(app: FastAPI, name: str, clock: FrozenClock) -> Person:
    """A person with an authenticator app, signed in with it, and a second one that waits for its first code."""
    person = await signed_in(app, name, "203.0.113.1")
    await enrol(person.client, clock)
    waiting = await begin(person.client, name="Tablet")
    return Person(name, person.client, waiting["id"])


@pytest.mark.parametrize("route", CODES)
async def test_wrong_codes_are_counted_on_person_and_address(
    app: FastAPI, clock: FrozenClock, route: str
) -> None:
    """LCK-1, LCK-7: ten for a person, wherever; twenty from an address, whoever; no password is locked by them."""
    people = [await enrolled(app, f"user{n}", clock) for n in range(4)]
    wrong = {400, 401}

    found = [
        (await CODES[route](move(people[0], app, f"198.51.100.{n}"))).status_code for n in range(12)
    ]
    assert found[10:] == [429, 429]
    assert set(found[:10]) <= wrong
    here = [move(one, app, "192.0.2.1") for one in people[1:]]
    found = [(await CODES[route](one)).status_code for one in here for _ in range(8)]
    assert found[20:] == [429] * 4
    assert set(found[:20]) <= wrong
    login = {"username": "user0", "password": PASSWORD}
    challenge = await at(app, "203.0.113.9").post("/auth/login", json=login)
    assert challenge.json()["detail"]["code"] == "mfa_required"

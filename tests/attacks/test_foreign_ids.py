"""AUZ-2: what belongs to somebody else does not exist: requests generated from the document, for two people.

Whoever adds a parameter says below whose things it names; one that nobody knows is refused.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from piccolo.engine.base import Engine
from piccolo.table import Table

from piccolo_fastapi_auth import Auth, AuthSettings, EmailCode, RecoveryCodes, Totp, User
from piccolo_fastapi_auth.mail import MemoryMailer
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from piccolo_fastapi_auth.users.scopes import ADMIN, IMPERSONATE
from tests.fixtures import ORIGIN, SCOPES, SECRET, Browsers, People, Person, bearer
from tests.generated import AnyCase, Operation, cases_of, operations_of, send
from tests.mfa.helpers import STEP, Phone, begin, challenge, enrol

Ids = dict[str, list[str]]

NOBODYS: Final = {"user_id": "99999", "role": "nobodys"}  # the others are UUIDs
# Parameters of a query that name nothing which belongs to somebody; ``before`` is called with a real id below.
NO_IDS: Final = {"after", "search", "limit", "action"}
OF_ADMINISTRATORS: Final = "/auth/admin/"
FEW: Final = 3


@pytest.fixture
def settings() -> AuthSettings:
    """Everything switched on that has a route or makes a row."""
    return AuthSettings(
        secret_keys=[SECRET], hash_concurrency=2, public_origin=ORIGIN, magic_links=True,
        trusted_device_lifetime=30 * 24 * 3600, login_limit_per_ip="", login_limit_per_account="",
        mail_limit_per_address="",
    )  # fmt: skip


@pytest.fixture
def mailer() -> MemoryMailer:
    """Where mails go."""
    return MemoryMailer()


@pytest.fixture
def auth(
    database: Engine[Any], settings: AuthSettings, clock: FrozenClock, mailer: MemoryMailer
) -> Auth[User]:
    """An ``Auth`` with every method."""
    del database
    return Auth(
        settings, user_table=User, mfa=[Totp(), EmailCode(), RecoveryCodes()], mailer=mailer, clock=clock,
        hasher=fast_hasher(), scopes=SCOPES,
    )  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """Alice owns one of each thing; Bob is signed in with two factors, by cookie and by token."""

    alice: Person
    ids: Ids
    bob: Person
    ways: Mapping[str, tuple[AsyncClient, dict[str, str]]]
    tables: list[type[Table]]

    async def hers(self) -> dict[str, list[str]]:
        """Every row of Alice's in every table."""
        kept = dict[str, list[str]]()
        for table in self.tables:
            owner = "id" if table is User else "user"
            rows = await table.select()
            mine = [row for row in rows if str(row.get(owner)) == str(self.alice.id)]
            kept[table._meta.tablename] = sorted(json.dumps(row, default=str) for row in mine)
        return kept


async def signed_in_strongly(
    client: AsyncClient, person: Person, clock: FrozenClock
) -> tuple[Phone, dict[str, str]]:
    """Give a person a phone, and sign in by cookie and by token, each fresh and with both factors."""
    body = {"username": person.username, "password": person.password}
    assert (await client.post("/auth/login", json=body)).status_code == 200
    phone = await enrol(client, clock)
    client.cookies.clear()
    form = {
        **body,
        "grant_type": "password",
        "mfa_code": phone.code(),
        "scope": f"{ADMIN} {IMPERSONATE}",
    }
    tokens = (await client.post("/auth/token", data=form)).json()
    clock.move(STEP)
    token = await challenge(client, person.username)
    sent = {"mfa_token": token, "method": "totp", "code": phone.code(), "trust_device": True}
    assert (await client.post("/auth/mfa/verify", json=sent)).status_code == 200
    return phone, bearer(tokens)


@pytest.fixture
async def scene(
    auth: Auth[User],
    new_browser: Browsers,
    sign_up: People,
    clock: FrozenClock,
    tables: list[type[Table]],
) -> Scene:
    """Alice's session, devices (one not confirmed), keys (one revoked), role and trusted browser."""
    alice, bob = await sign_up("alice"), await sign_up("bob")
    await auth.roles.define("reader", ["posts:read"])
    await auth.roles.grant(alice.id, await auth.roles.named("reader"))
    hers, his = new_browser(), new_browser()
    await signed_in_strongly(hers, alice, clock)
    waiting = await begin(hers, name="Waiting")
    keys = [(await hers.post("/auth/api-keys", json={"name": name})).json()["id"] for name in "ab"]
    assert (await hers.delete(f"/auth/api-keys/{keys[1]}")).status_code == 204
    sessions = (await hers.get("/auth/sessions")).json()
    devices = (await hers.get("/auth/mfa")).json()["methods"]
    events = (await hers.get("/auth/events")).json()
    ids = {
        "user_id": [str(alice.id)],
        "session_id": [one["id"] for one in sessions],
        "method_id": [one["id"] for one in devices] + [waiting["id"]],
        "key_id": keys,
        "role": ["reader"],
        "id": [waiting["id"]],
        "before": [str(events[0]["id"] + 1)],
        "user": [str(alice.id)],
    }
    assert len(sessions) > 1
    assert len(devices) == 1
    _, headers = await signed_in_strongly(his, bob, clock)
    return Scene(alice, ids, bob, {"cookie": (his, {}), "token": (new_browser(), headers)}, tables)


def named_by(operation: Operation) -> tuple[list[str], list[str]]:
    """The parameters of the path, and the members of the body, that name a thing; all of them known."""
    in_path = [one.name for one in operation.path_parameters]
    in_body = list[str]()
    for body in operation.body:
        fields = body.optimized_schema.get("properties", {})
        in_body += [name for name, shape in fields.items() if shape.get("format") == "uuid"]
    return in_path, in_body


def with_ids(case: AnyCase, values: Mapping[str, str]) -> AnyCase:
    """A generated request about certain things."""
    for name in case.path_parameters:
        case.path_parameters[name] = values[name]
    if isinstance(case.body, dict) and "id" in values:
        case.body["id"] = values["id"]
    return case


def combinations(names: list[str], ids: Ids) -> Iterator[dict[str, str]]:
    """Every choice of one thing for each name."""
    for chosen in itertools.product(*(ids[name] for name in names)):
        yield dict(zip(names, chosen, strict=True))


def seen(answer: Response) -> tuple[int, object]:
    """What an answer tells."""
    return answer.status_code, answer.json()


async def test_what_belongs_to_somebody_else_is_not_found(app: FastAPI, scene: Scene) -> None:
    """AUZ-2: on every operation that names a thing: 404 as for what nobody has, or 403 without a look; nothing is touched."""
    before, walked = await scene.hers(), 0
    for operation in operations_of(app.openapi()):
        in_path, in_body = named_by(operation)
        if not in_path and not in_body:
            continue
        cases = cases_of(operation, FEW)
        for values in combinations([*in_path, *in_body], scene.ids):
            nobodys = {name: NOBODYS.get(name, str(uuid4())) for name in values}
            for client, headers in scene.ways.values():
                told = set[int]()
                for case in cases:
                    answer = await send(client, with_ids(case, values), headers)
                    as_if = await send(client, with_ids(case, nobodys), headers)
                    assert seen(answer) == seen(as_if), (operation.label, values)
                    told.add(answer.status_code)
                refusal = 403 if operation.path.startswith(OF_ADMINISTRATORS) else 404
                assert refusal in told, (operation.label, values, told)
                assert told <= {refusal, 422}, (operation.label, values, told)
            walked += 1
    assert walked > 20
    assert await scene.hers() == before


async def test_an_administrator_reaches_a_thing_under_its_owner_only(
    auth: Auth[User], app: FastAPI, scene: Scene, sign_up: People
) -> None:
    """AUZ-2: what an administrator may do to anybody's thing is 404 where the thing is not that person's."""
    await auth.roles.define("staff", [ADMIN, IMPERSONATE])
    await auth.roles.grant(scene.bob.id, await auth.roles.named("staff"))
    before, (client, _), walked = await scene.hers(), scene.ways["cookie"], 0
    ids = {**scene.ids, "user_id": [str((await sign_up("carol")).id)]}
    for operation in operations_of(app.openapi()):
        in_path, _ = named_by(operation)
        if "user_id" not in in_path:
            continue
        for case in cases_of(operation, FEW):  # as they come: about nobody
            assert (await send(client, case)).status_code in {404, 422}, case.path_parameters
        if set(in_path) - {"user_id", "role"}:  # a role is nobody's
            for values in combinations(in_path, ids):
                answer = await send(client, with_ids(cases_of(operation, 1)[0], values))
                assert answer.status_code == 404, (operation.label, values)
                walked += 1
    assert walked
    assert await scene.hers() == before


async def test_what_is_listed_is_ones_own(app: FastAPI, scene: Scene) -> None:
    """AUZ-2: no list and no view shows anything of somebody else, whatever is asked for; its parameters are all known."""
    hers = [one for name in ("session_id", "method_id", "key_id") for one in scene.ids[name]]
    walked = 0
    for operation in operations_of(app.openapi()):
        asked = [one.name for one in operation.query if one.name not in NO_IDS]
        if operation.method != "get" or operation.path_parameters:
            assert not asked, operation.label
            continue
        query = {name: scene.ids[name][0] for name in asked}
        for client, headers in scene.ways.values():
            answer = await client.get(operation.path, params=query, headers=headers)
            assert answer.status_code < 500
            told = [one for one in [*hers, scene.alice.email] if one in answer.text]
            assert told == [], operation.label
            walked += answer.status_code == 200
    assert walked > 10


async def test_made_up_ids_are_not_found(app: FastAPI, scene: Scene) -> None:
    """AUZ-2: whatever the document allows: refused, never a success and never an error of ours."""
    for operation in operations_of(app.openapi()):
        in_path, in_body = named_by(operation)
        if not in_path and not in_body:
            continue
        for case in cases_of(operation, FEW):
            for client, headers in scene.ways.values():
                answer = await send(client, case, headers)
                expected = {403, 404, 422}
                assert answer.status_code in expected, (operation.label, case.path_parameters)

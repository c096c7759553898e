"""People whom Piccolo's own ``BaseUser`` made, and ``AuthUser`` where Piccolo's code expects a ``BaseUser``."""

import asyncio
import functools
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI
from httpx import AsyncClient
from piccolo.apps.user.tables import BaseUser
from piccolo.columns import UUID
from piccolo.engine.base import Engine
from piccolo.table import Table, create_db_tables

from piccolo_fastapi_auth import Auth, AuthUser, User
from tests.conftest import bind
from tests.fixtures import PASSWORD, Browsers, Person, code_of, log_in

PICCOLOS_COUNT: Final = 600_000
OLDER_COUNT: Final = 260_000


class Member(AuthUser, tablename="member_with_uuid"):
    """A user table whose key is a UUID."""

    id = UUID(primary_key=True)  # type: ignore[assignment] # Piccolo declares the key a Serial


@functools.cache
def piccolos_hash(iterations: int) -> str:
    """A hash as ``BaseUser`` makes it. Slow, so each is made once."""
    return BaseUser.hash_password(PASSWORD, iterations=iterations)


@pytest.fixture
async def database(
    engine: Engine[Any], tables: Sequence[type[Table]]
) -> AsyncIterator[Engine[Any]]:
    """A database in which Piccolo's own user table was there before the library."""
    everything: list[type[Table]] = [BaseUser, Member, *tables]
    with bind(engine, everything):
        await create_db_tables(BaseUser)
        await create_db_tables(Member, *tables, if_not_exists=True)
        yield engine


async def old_person(username: str = "mira", iterations: int = PICCOLOS_COUNT) -> Person:
    """Somebody who signed up with Piccolo alone, long ago."""
    email = f"{username}@example.com"
    user = BaseUser(username=username, email=email, password=piccolos_hash(iterations), active=True)
    await user.save()
    return Person(user.id, username, email)


async def stored_password(username: str, table: type[BaseUser] = User) -> str:
    """What the database holds, past every object."""
    row = await table.select(table.password).where(table.username == username).first()
    assert row is not None
    return str(row["password"])


# Existing rows


async def test_an_existing_person_logs_in_and_the_hash_is_upgraded(
    client: AsyncClient, new_browser: Browsers
) -> None:
    """PBKDF2 becomes Argon2id with the first log-in; the next one goes by the new hash."""
    await BaseUser.create_user("mira", PASSWORD, email="mira@example.com", active=True)
    before = await stored_password("mira")
    assert before.startswith(f"pbkdf2_sha256${PICCOLOS_COUNT}$")
    row = await BaseUser.select(BaseUser.id).first()
    assert row is not None
    mira = Person(row["id"], "mira", "mira@example.com")

    first = await log_in(client, mira)

    upgraded = await stored_password("mira")
    assert upgraded.startswith("$argon2id$")
    assert first.json()["user"]["id"] == mira.id
    await log_in(new_browser(), mira)
    assert await stored_password("mira") == upgraded


async def test_a_hash_of_an_older_piccolo_is_upgraded_too(client: AsyncClient) -> None:
    """The number of iterations is the row's, not today's."""
    person = await old_person(iterations=OLDER_COUNT)

    await log_in(client, person)

    assert (await stored_password("mira")).startswith("$argon2id$")


async def test_a_wrong_password_upgrades_nothing(client: AsyncClient) -> None:
    """A refusal leaves the row as it was."""
    await old_person()
    before = await BaseUser.select().first()

    answer = await client.post("/auth/login", json={"username": "mira", "password": PASSWORD + "!"})

    assert (answer.status_code, code_of(answer)) == (401, "invalid_credentials")
    assert await BaseUser.select().first() == before


async def test_an_inactive_person_is_neither_let_in_nor_upgraded(client: AsyncClient) -> None:
    """Piccolo makes people inactive by default, and its log-in never looked."""
    person = await old_person(iterations=OLDER_COUNT)
    await BaseUser.update({BaseUser.active: False}).where(BaseUser.username == "mira")

    answer = await client.post("/auth/login", json={"username": "mira", "password": PASSWORD})

    assert (answer.status_code, code_of(answer)) == (401, "invalid_credentials")
    assert await stored_password(person.username) == piccolos_hash(OLDER_COUNT)


async def test_ten_first_log_ins_at_once_all_succeed(new_browser: Browsers) -> None:
    """One of them upgrades the hash; the others find another hash than they checked, and check again."""
    person = await old_person(iterations=OLDER_COUNT)

    answers = await asyncio.gather(*(log_in(new_browser(), person) for _ in range(10)))

    assert len({answer.json()["session"]["id"] for answer in answers}) == 10
    assert (await stored_password("mira")).startswith("$argon2id$")
    await log_in(new_browser(), person)


async def test_piccolos_own_class_still_reads_an_upgraded_row(client: AsyncClient) -> None:
    """Piccolo Admin and older code go on seeing the person."""
    person = await old_person(iterations=OLDER_COUNT)
    await log_in(client, person)

    row = await BaseUser.select().where(BaseUser.username == "mira").first()
    user = await BaseUser.objects().get(BaseUser.email == person.email)

    assert row is not None
    assert (row["id"], row["active"]) == (person.id, True)
    assert row["last_login"] is not None
    assert user is not None
    assert user.username == "mira"


# AuthUser in BaseUser's place


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("table", [User, Member], ids=["integer", "uuid"])
async def test_piccolos_calls_work_with_argon2id(table: type[AuthUser]) -> None:
    """``create_user``, ``login`` and ``update_password``, for either kind of key."""
    made = await table.create_user("mira", PASSWORD, email="mira@example.com", active=True)
    key = getattr(made, "id")  # noqa: B009 - its type differs between the two
    assert isinstance(key, uuid.UUID if table is Member else int)
    assert (await stored_password("mira", table)).startswith("$argon2id$")
    assert await table.login("mira", PASSWORD) == key
    assert await table.login("mira", PASSWORD + "!") is None

    await table.update_password("mira", "another horse in the pantry")

    assert await table.login("mira", PASSWORD) is None
    assert await table.login("mira", "another horse in the pantry") == key


@pytest.mark.usefixtures("database")
async def test_piccolos_log_in_upgrades_the_hash_and_refuses_inactive_people() -> None:
    """Whichever door a person takes, the old hash goes; and nobody inactive comes in."""
    person = await old_person(iterations=OLDER_COUNT)
    await User.update({User.active: False}).where(User.id == person.id)
    assert await User.login("mira", PASSWORD) is None
    assert await stored_password("mira") == piccolos_hash(OLDER_COUNT)

    await User.update({User.active: True}).where(User.id == person.id)

    assert await User.login("mira", PASSWORD) == person.id
    assert (await stored_password("mira")).startswith("$argon2id$")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("count", [None, OLDER_COUNT], ids=["argon2id", "pbkdf2"])
async def test_a_stored_hash_is_never_hashed_again(count: int | None) -> None:
    """Loading, refreshing and saving an object keep the hash of the row."""
    if count is None:
        await User.create_user("mira", PASSWORD, email="mira@example.com", active=True)
    else:
        await old_person(iterations=count)
    stored = await stored_password("mira")

    user = await User.objects().get(User.username == "mira")
    assert user is not None
    assert user.password == stored
    await user.refresh()
    assert user.password == stored
    user.first_name = "Mira"
    await user.save()

    assert await stored_password("mira") == stored
    assert await User.exists().where(User.first_name == "Mira")


@pytest.mark.usefixtures("database")
async def test_what_is_stored_and_is_no_hash_never_becomes_one() -> None:
    """A row locked with ``!`` stays locked when its object is loaded and saved."""
    await User.create_user("mira", PASSWORD, email="mira@example.com", active=True)
    await User.update({User.password: "!"}).where(User.username == "mira")

    user = await User.objects().get(User.username == "mira")
    assert user is not None
    await user.save()

    assert await stored_password("mira") == "!"
    assert await User.login("mira", "!") is None


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "password",
    ["pbkdf2_sha256 is my favourite", "pbkdf2_sha256$1$a$b", "$argon2id$ is my favourite"],
)
async def test_a_password_that_begins_like_a_hash_is_hashed(password: str) -> None:
    """``BaseUser`` would store it as it is."""
    user = User(username="mira", email="mira@example.com", password=password, active=True)
    await user.save()
    assert (await stored_password("mira")).startswith("$argon2id$v=19$m=")
    assert await User.login("mira", password) == user.id

    user.password = password + "!"
    await user.save()

    assert password not in await stored_password("mira")
    assert await User.login("mira", password + "!") == user.id


async def test_saving_the_current_user_changes_what_was_assigned_and_nothing_else(
    auth: Auth[User], app: FastAPI, client: AsyncClient, alice: Person
) -> None:
    """The row that a route is given holds no hash, and saving it must not blank the stored one."""

    @app.post("/rename")
    async def rename(user: Annotated[User, Depends(auth.current_user)], password: str = "") -> str:
        user.first_name = "Alice"
        if password:
            user.password = password
        await user.save()
        return user.username

    await log_in(client, alice)
    await User.update({User.last_name: "Liddell", User.admin: True}).where(User.id == alice.id)
    before = await User.select().first()
    assert before is not None

    assert (await client.post("/rename")).status_code == 200

    assert await User.select().first() == before | {"first_name": "Alice"}
    await log_in(client, alice)
    changed = Person(alice.id, alice.username, alice.email, "another horse in the pantry")
    answer = await client.post("/rename", params={"password": changed.password})
    assert answer.status_code == 200
    assert (await stored_password("alice")).startswith("$argon2id$")
    await log_in(client, changed)

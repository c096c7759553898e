"""One canonical spelling of each username and address: nobody else's, and good for logging in."""

import asyncio
import importlib
import unicodedata

import pytest
from httpx import AsyncClient
from hypothesis import example, given
from hypothesis import strategies as st
from piccolo.apps.user.tables import BaseUser

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.primitives.canonical import canonical
from piccolo_fastapi_auth.testing import fast_hasher
from piccolo_fastapi_auth.users.names import checked_address, checked_username
from piccolo_fastapi_auth.users.tables import AuthIdentifier
from tests.fixtures import PASSWORD, Browsers, code_of

ODD = st.text(
    alphabet=st.one_of(
        st.sampled_from("aAzß@.＠﹫İıаﬁK\u0301\u200b\r\n\x00\"'(),:;<> "), st.characters()
    ),
    max_size=20,
)


@given(ODD, st.sampled_from(["example.com", "exämple.com", "EXAMPLE.com", "ехample.com", "ﬁ.com"]))
@example("straße", "example.com")
@example("mira", "straße.de")
@example("mira", "exampleς.com")
def test_an_accepted_address_is_plain(local: str, domain: str) -> None:
    """EML-6, property: one ``@``, no control characters, NFKC-stable, and folding it again changes nothing."""
    try:
        address = checked_address(f"{local}@{domain}")
    except ValueError:
        return
    assert address.count("@") == 1
    assert address.isprintable()
    assert unicodedata.normalize("NFKC", address) == address
    assert canonical(address) == address
    assert len(address) <= 254


@given(ODD)
def test_an_accepted_username_is_plain(text: str) -> None:
    """Property: printable, without blanks around it, NFKC-stable, with one canonical spelling."""
    try:
        name = checked_username(text)
    except ValueError:
        return
    assert name == name.strip()
    assert name.isprintable()
    assert unicodedata.normalize("NFKC", name) == name
    assert canonical(canonical(name)) == canonical(name)


@pytest.mark.parametrize(
    "address",
    [
        "mira＠example.com",
        "mira﹫example.com",
        "mİra@example.com",
        "mirа@example.com",  # the last letter is Cyrillic
        "mira@exаmple.com",  # so is the third
        "mira@straße.de",  # folded, it is somebody else's domain
        '"mira"@example.com',
        "mira,bob@example.com",
        "mira@example.com\r\nBcc: bob@example.com",
        "mira@bob@example.com",
        f"{'m' * 250}@example.com",
    ],
)
async def test_a_look_alike_address_is_refused(address: str, client: AsyncClient) -> None:
    """EML-6: 422 at the door."""
    body = {"username": "mira", "email": address, "password": PASSWORD}

    assert (await client.post("/auth/register", json=body)).status_code == 422


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("mirа", 422),  # Cyrillic at the end
        ("ﬁona", 422),
        ("Ｍira", 422),
        ("İlker", 422),
        ("mi\u200bra", 422),
        ("mira\x07", 422),
        (" mira", 422),
        ("Straße", 201),
        ("Мира", 201),
        ("山田Taro", 201),
        ("zoë-2", 201),
        ("zoe\u0308-2", 201),
    ],
)
async def test_usernames_of_one_alphabet_are_welcome(
    name: str, status: int, client: AsyncClient
) -> None:
    """UTS 39: look-alikes, mixed alphabets and invisible characters are not; a decomposed ë is composed."""
    body = {"username": name, "email": "mira@example.com", "password": PASSWORD}
    answer = await client.post("/auth/register", json=body)

    assert answer.status_code == status, answer.text
    if status == 201:
        assert answer.json()["user"]["username"] == unicodedata.normalize("NFC", name)


async def test_people_log_in_with_any_spelling_of_either(client: AsyncClient) -> None:
    """And nobody else can take another spelling, as username or as address."""
    body = {"username": "Mira", "email": "Mira.B@Example.com", "password": PASSWORD}
    assert (await client.post("/auth/register", json=body)).status_code == 201

    for spelling in (
        "Mira",
        "mira",
        "MIRA",
        "Ｍｉｒａ",
        "mira.b@example.com",
        "MIRA.B@EXAMPLE.COM",
    ):
        answer = await client.post("/auth/login", json={"username": spelling, "password": PASSWORD})
        assert answer.status_code == 200, spelling
        assert answer.json()["user"]["username"] == "Mira"

    for name, email in (("mIRA", "other@example.com"), ("other", "MIRA.b@example.com")):
        answer = await client.post(
            "/auth/register", json={"username": name, "email": email, "password": PASSWORD}
        )
        assert (answer.status_code, code_of(answer)) == (409, "user_exists")


async def test_of_many_spellings_at_once_one_is_taken(new_browser: Browsers) -> None:
    """Race: every round one 201, the rest 409, and one row."""
    for round_ in range(3):
        stem = f"mira{round_}"
        names = [stem, stem.upper(), stem.title(), f"m{stem[1:].upper()}"] * 5
        answers = await asyncio.gather(
            *(
                new_browser().post(
                    "/auth/register",
                    json={
                        "username": name,
                        "email": f"{stem}.{i}@example.com",
                        "password": PASSWORD,
                    },
                )
                for i, name in enumerate(names)
            )
        )

        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
        assert await User.count() == round_ + 1
        assert await AuthIdentifier.count() == 2 * (round_ + 1)


async def old_person(username: str, email: str) -> BaseUser:
    """Somebody whom other code made: no canonical name is stored."""
    user = User(username=username, email=email, password=fast_hasher().hash(PASSWORD), active=True)
    await user.save()
    return user


async def test_a_person_of_other_code_gets_canonical_names_with_the_first_log_in(
    client: AsyncClient, auth: Auth[User]
) -> None:
    """The exact spelling works from the start, the others from then on, and only then are they taken."""
    await old_person("Mira", "Mira.B@Example.com")
    lower = {"username": "mira", "password": PASSWORD}
    assert (await client.post("/auth/login", json=lower)).status_code == 401
    assert await AuthIdentifier.count() == 0

    exact = {"username": "Mira", "password": PASSWORD}
    assert (await client.post("/auth/login", json=exact)).status_code == 200

    assert (await client.post("/auth/login", json=lower)).status_code == 200
    assert await auth.users.candidate("mira.b@example.com") is not None
    taken = {"username": "MIRA", "email": "other@example.com", "password": PASSWORD}
    assert (await client.post("/auth/register", json=taken)).status_code == 409


async def test_two_old_people_with_one_canonical_name_both_log_in(client: AsyncClient) -> None:
    """Rows that were there before keep working by their exact spelling, whoever comes first."""
    first, second = (
        await old_person("Mira", "a@example.com"),
        await old_person("mira", "b@example.com"),
    )
    for _ in range(2):
        for person in (first, second):
            answer = await client.post(
                "/auth/login", json={"username": person.username, "password": PASSWORD}
            )
            assert answer.json()["user"]["id"] == person.id


async def test_the_migration_names_everybody(client: AsyncClient) -> None:
    """Over several batches; of two with one canonical name the older has it."""
    stored = fast_hasher().hash(PASSWORD)
    people = [
        User(username=f"P{i}", email=f"P{i}@Example.com", password=stored) for i in range(1001)
    ]
    await User.insert(*people[:501])
    await User.insert(*people[501:])
    first, second = (
        await old_person("Mira", "a@example.com"),
        await old_person("mira", "b@example.com"),
    )
    package = "piccolo_fastapi_auth.piccolo_migrations"
    migration = importlib.import_module(f"{package}.fastapi_auth_2026_11_24t15_20_00_000000")

    await migration.fill()
    await migration.fill()

    assert await AuthIdentifier.count() == 2 * 1001 + 3
    row = await AuthIdentifier.objects().where(AuthIdentifier.canonical == "mira").first()
    assert row is not None
    assert row.user == first.id
    for spelling, who in (("MIRA", first), ("B@example.com", second), ("mira", second)):
        answer = await client.post("/auth/login", json={"username": spelling, "password": PASSWORD})
        assert answer.json()["user"]["id"] == who.id


@pytest.mark.usefixtures("database")
async def test_an_address_is_replaced_and_a_username_that_equals_it_stays(auth: Auth[User]) -> None:
    """What the change of an address builds on: the old name is free, the new one taken."""
    key = await auth.users.create(username="mira", email="old@example.com", password_hash="!")
    await auth.users.identifiers.replace(key, old="old@example.com", new="new@example.com")
    names = await AuthIdentifier.select(AuthIdentifier.canonical).output(as_list=True)
    assert sorted(names) == ["mira", "new@example.com"]

    both = await auth.users.create(
        username="zoe@example.com", email="zoe@example.com", password_hash="!"
    )
    await auth.users.identifiers.replace(both, old="zoe@example.com", new="z@example.com")
    found = await auth.users.candidate("ZOE@example.com")
    assert found is not None
    assert found.user_id == both

"""The user table beside Piccolo: hashing, log-in, saving; and the resolver and commands in processes of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth import User
from piccolo_fastapi_auth.primitives.passwords import PasswordHasher
from tests.fixtures import PASSWORD, SECRET, Person, log_in

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("database")
async def test_objects_hash_what_is_given_and_keep_what_is_stored() -> None:
    """A password that looks like a hash is hashed; a loaded hash is never hashed again."""
    user = User(
        username="mira",
        email="mira@example.com",
        password="pbkdf2_sha256 is my favourite",
        active=True,
    )
    await user.save()
    loaded = await User.objects().get(User.username == "mira")
    assert loaded is not None
    assert loaded.password == user.password
    assert PasswordHasher.is_hash(loaded.password)
    assert await User.login("mira", "pbkdf2_sha256 is my favourite") == loaded.id
    assert await User.login("mira", "wrong") is None
    assert await User.login("mira", "x" * 2000) is None
    assert await User.login("nobody", "x") is None
    with pytest.raises(ValueError, match="too long"):
        User.hash_password("x" * 2000)
    assert User.hash_password("x", "salt", 1000).startswith("pbkdf2_sha256$1000$salt$")
    await User.update({User.password: User.hash_password(PASSWORD, "salt", 1000)}).where(
        User.id == loaded.id
    )
    assert await User.login("mira", PASSWORD) == loaded.id
    row = await User.select(User.password).first()
    assert row is not None
    assert row["password"].startswith("$argon2id$")


@pytest.mark.usefixtures("database")
async def test_a_refresh_keeps_what_is_stored() -> None:
    """An unusable password stays unusable through refresh and save; printing a person shows no hash."""
    await User(username="mira", email="mira@example.com", password=PASSWORD, active=True).save()
    user = await User.objects().get(User.username == "mira")
    assert user is not None
    assert user.password not in str(user)
    await User.update({User.password: "!"}).where(User.username == "mira")

    await user.refresh()
    await user.save()

    assert await User.select(User.password).first() == {"password": "!"}
    await User.update_password(user.id, "a mule in the larder")
    assert await User.login("mira", "a mule in the larder") == user.id
    for refused in ("short", user.hash_password("x")):
        with pytest.raises(ValueError, match="password"):
            await User.update_password("mira", refused)


async def test_saving_the_current_user_keeps_the_password(
    client: AsyncClient, alice: Person
) -> None:
    """``current_user`` carries no hash; ``save()`` must not write the blank."""
    await log_in(client, alice)
    user = User(
        _exists_in_db=True,
        id=alice.id,
        username="alice",
        email=alice.email,
        active=True,
        first_name="A",
    )
    await user.save()

    await log_in(client, alice)
    row = await User.select(User.first_name).first()
    assert row == {"first_name": "A"}


PROGRAM = """
import asyncio, os, sys
from piccolo.columns import UUID, Varchar
from piccolo_fastapi_auth import AuthUser
class User(AuthUser, tablename="member"):
    {key}
    nickname = Varchar(null=True, default=None)
"""
TRIP = """
import asyncio
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient
from piccolo_fastapi_auth import Auth
from piccolo_fastapi_auth.testing import fast_hasher
async def main():
    auth = Auth(hasher=fast_hasher())
    app = FastAPI()
    app.include_router(auth.router)
    async with auth.lifespan(), AsyncClient(transport=ASGITransport(app), base_url="https://t") as client:
        body = {"username": "mira", "email": "m@example.com", "password": "a horse in the pantry"}
        made = await client.post("/auth/register", json=body)
        assert made.status_code == 201, made.text
        form = {"grant_type": "password", **body}
        tokens = (await client.post("/auth/token", data=form)).json()
        headers = {"Authorization": "Bearer " + tokens["access_token"]}
        me = await client.get("/auth/me", headers=headers)
        assert me.json()["id"] == made.json()["user"]["id"], me.text
        print(type(auth.user_table._meta.primary_key).__name__)
asyncio.run(main())
"""


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # tests/migrations has both
@pytest.mark.parametrize("key", ["id = UUID(primary_key=True)"], ids=["uuid"])
def test_migrations_and_commands_follow_the_user_table(
    database_url: str, tmp_path: Path, key: str
) -> None:
    """Forwards on a custom user table; then a real round trip and two commands, each in a process of its own."""
    engine = (
        f'SQLiteEngine(path="{database_url.removeprefix("sqlite:///")}")'
        if database_url.startswith("sqlite")
        else f'PostgresEngine({{"dsn": "{database_url}"}})'
    )
    files = {
        "members/__init__.py": "",
        "members/tables.py": PROGRAM.replace("{key}", key or "pass"),
        "members/piccolo_app.py": textwrap.dedent("""
            import os
            from piccolo.conf.apps import AppConfig
            from members.tables import User
            folder = os.path.join(os.path.dirname(__file__), "piccolo_migrations")
            APP_CONFIG = AppConfig("members", folder, table_classes=[User])
        """),
        "members/piccolo_migrations/__init__.py": "",
        "piccolo_conf.py": textwrap.dedent(f"""
            from piccolo.conf.apps import AppRegistry
            from piccolo.engine import PostgresEngine, SQLiteEngine
            DB = {engine}
            APP_REGISTRY = AppRegistry(apps=["members.piccolo_app", "piccolo_fastapi_auth.piccolo_app"])
        """),
        "trip.py": TRIP,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def run(*words: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own interpreter and words
            [sys.executable, *words],
            cwd=tmp_path,
            env={
                **os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "PICCOLO_CONF": "piccolo_conf",
                "PICCOLO_AUTH_USER_TABLE": "members.tables:User", "PICCOLO_AUTH_SECRET_KEYS": SECRET,
            },
            capture_output=True, text=True, check=False, timeout=50,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    piccolo = ("-m", "piccolo.main")
    run(*piccolo, "migrations", "new", "members", "--auto")
    run(*piccolo, "migrations", "forwards", "all")  # and back: tests/migrations
    assert run("trip.py").strip().endswith("UUID" if key else "Serial")
    assert "no second factor" in run(*piccolo, "fastapi_auth", "mfa_reset", "mira")
    assert "0 rows" in run(*piccolo, "fastapi_auth", "rotate_encryption")


def test_a_row_read_by_a_guard_is_what_the_constructor_would_make() -> None:
    """The quick way to an object skips work, not attributes; a table's own constructor is still called."""
    columns = [
        column._meta.name for column in User._meta.columns if column._meta.name != "password"
    ]
    row: dict[str, object] = {name: f"the {name}" for name in columns}

    quick, slow = User.from_row(row), User(_exists_in_db=True, **row)

    assert vars(quick) == {
        name: value for name, value in vars(slow).items() if name != "_is_loading"
    }
    assert quick.to_dict() == slow.to_dict()
    made: list[str] = []
    user_init = User.__init__

    def remember(self: User, **values: object) -> None:
        made.append(str(values["username"]))
        user_init(self, **values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(User, "__init__", remember)
        User.from_row(row)
    assert made == ["the username"]

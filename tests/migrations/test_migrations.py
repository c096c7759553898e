"""The shipped migrations, on both databases, for each kind of user table. See `tests.migrations.journey`."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from tests.processes import ROOT

OWN_TABLES: Final = {
    "auth_account",
    "auth_event",
    "auth_api_key",
    "auth_identifier",
    "auth_import",
    "auth_mfa_method",
    "auth_one_time_token",
    "auth_recovery_code",
    "auth_role",
    "auth_role_scope",
    "auth_session",
    "auth_user_role",
    "auth_trusted_device",
}
# Foreign keys beside that to the person.
OTHER_KEYS: Final = {
    "auth_trusted_device": [["session", "auth_session", "id", "CASCADE"]],
    "auth_user_role": [["role", "auth_role", "id", "CASCADE"]],
}
CONFIGURATION: Final = """
    import os
    from piccolo.conf.apps import AppRegistry
    from piccolo.engine import PostgresEngine, SQLiteEngine
    URL = os.environ["DATABASE_URL"]
    DB = (
        SQLiteEngine(path=URL.removeprefix("sqlite:///"), timeout=30)
        if URL.startswith("sqlite:///")
        else PostgresEngine({"dsn": URL})
    )
    APP_REGISTRY = AppRegistry(apps=["%s", "piccolo_fastapi_auth.piccolo_app"])
"""
TABLES_OF_MEMBERS: Final = """
    from piccolo.columns import UUID, Varchar
    from piccolo_fastapi_auth import AuthUser
    class Member(AuthUser, tablename="member"):
        %s
        nickname = Varchar(null=True, default=None)
"""
APP_OF_MEMBERS: Final = """
    from pathlib import Path
    from piccolo.conf.apps import AppConfig
    from members.tables import Member
    folder = Path(__file__).parent / "piccolo_migrations"
    APP_CONFIG = AppConfig("members", str(folder), table_classes=[Member])
"""


def write_project(folder: Path, *, columns: str | None) -> None:
    """Write a project around the shipped user table, or around a table of its own with these columns."""
    app = "piccolo.apps.user.piccolo_app" if columns is None else "members.piccolo_app"
    files = {"piccolo_conf.py": CONFIGURATION % app}
    if columns is not None:
        files |= {
            "members/__init__.py": "",
            "members/tables.py": TABLES_OF_MEMBERS % columns,
            "members/piccolo_app.py": APP_OF_MEMBERS,
            "members/piccolo_migrations/__init__.py": "",
        }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def run_in(folder: Path, *, url: str, user_table: str | None) -> dict[str, Any]:
    """Live through the journey in the project of ``folder``; return what it saw."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PICCOLO_")}
    environment |= {
        "DATABASE_URL": url,
        "PICCOLO_CONF": "piccolo_conf",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
    }
    if user_table is not None:
        environment["PICCOLO_AUTH_USER_TABLE"] = user_table
    done = subprocess.run(
        [sys.executable, "-m", "tests.migrations.journey"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=55,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.mark.parametrize(
    ("columns", "table", "key_types"),
    [
        pytest.param(None, "piccolo_user", {"INTEGER", "integer"}, id="shipped"),
        pytest.param("pass", "member", {"INTEGER", "integer"}, id="integer"),
        pytest.param("id = UUID(primary_key=True)", "member", {"UUID", "uuid"}, id="uuid"),
    ],
)
def test_migrations_go_there_and_back_and_people_live_on_them(
    database_url: str, tmp_path: Path, columns: str | None, table: str, key_types: set[str]
) -> None:
    """Forwards, backwards, forwards; a person's whole life on it; and ``create_tables`` makes the same."""
    write_project(tmp_path, columns=columns)

    seen = run_in(
        tmp_path,
        url=database_url,
        user_table=None if columns is None else "members.tables:Member",
    )

    forwards = seen["forwards"]
    assert set(forwards) == OWN_TABLES | {table}
    for name in OWN_TABLES - {"auth_event", "auth_import", "auth_role", "auth_role_scope"}:
        keys = [*OTHER_KEYS.get(name, []), ["user", table, "id", "CASCADE"]]
        keys += [["actor", table, "id", "CASCADE"]] if name == "auth_session" else []
        assert sorted(forwards[name]["keys"]) == sorted(keys), name
        types = {column[0]: column[1] for column in forwards[name]["columns"]}
        assert types["user"] in key_types, name
    assert forwards["auth_event"]["keys"] == [  # what happened outlives its person
        ["actor", table, "id", "SET NULL"],
        ["user", table, "id", "SET NULL"],
    ]

    assert seen["backwards"] == {table: forwards[table]}
    assert seen["again"] == forwards
    assert "No changes detected" in seen["changes"]
    assert seen["migrations"] == sorted(
        path.name for path in (ROOT / "piccolo_fastapi_auth/piccolo_migrations").glob("*_20*.py")
    )

    if "uuid" in key_types:
        assert str(UUID(seen["key"])) == seen["key"]
    else:
        assert seen["key"] == "1"
    nobody = dict.fromkeys(OWN_TABLES - {"auth_event"}, 0)
    left = seen["trip"].pop("left")
    assert left == {**nobody, "auth_event": left["auth_event"]}  # what happened outlives its person
    assert seen["trip"] == {"hello": f"mira {seen['key']}", "refused": 401}
    assert seen["before_deletion"]["auth_session"] == 1
    stayed = seen["after_deletion"]["auth_event"]
    assert (stayed > 0, seen["after_deletion"]) == (True, {**nobody, "auth_event": stayed})

    created = seen["created"]
    assert {name: created[name] for name in OWN_TABLES} == {
        name: forwards[name] for name in OWN_TABLES
    }
    if columns is not None:  # Piccolo's own migrations of piccolo_user are not ours to compare
        assert created[table] == forwards[table]

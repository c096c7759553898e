"""What is published: the wheel alone, in an environment without any extra."""

import json
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import ROOT, Folder
from tests.docs.wheel import NAME, lend
from tests.fixtures import SECRET

pytestmark = pytest.mark.timeout(180)  # an environment is made

TRIED: Final = {
    "email": "from piccolo_fastapi_auth.mail import SmtpMailer\n"
    "SmtpMailer('localhost', sender='a@x.test')",
    "redis": "Auth(AuthSettings(rate_limit_storage='redis://127.0.0.1:1'))",
    "valkey": "Auth(AuthSettings(rate_limit_storage='valkey://127.0.0.1:1'))",
    "admin": "import piccolo_fastapi_auth.piccolo_admin",
    "moving": "from piccolo_fastapi_auth.moving.decryption import decryption\n"
    "decryption('xchacha20', '00' * 32)",
    # Piccolo's own extras, and its words: ours of the same name bring them.
    "sqlite": "from piccolo.engine.sqlite import SQLiteEngine\n"
    "asyncio.run(SQLiteEngine().get_connection())",
    "postgres": "from piccolo.engine.postgres import PostgresEngine\n"
    "asyncio.run(PostgresEngine({}).start_connection_pool())",
}
PROGRAM: Final = """
import asyncio
import json

import piccolo_fastapi_auth
from piccolo_fastapi_auth import Auth, AuthSettings

said = {{"place": piccolo_fastapi_auth.__file__}}
for extra, tried in {tried!r}.items():
    try:
        exec(tried)
    except (ImportError, ValueError) as error:
        said[extra] = str(error)
print(json.dumps(said))
"""


def test_it_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    """Migrations, templates, word lists and ``py.typed`` are in it; tests and the example are not."""
    package = ROOT / "piccolo_fastapi_auth"
    written = {
        str(file.relative_to(ROOT))
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert shipped == written
    assert "piccolo_fastapi_auth/py.typed" in shipped
    assert any("/piccolo_migrations/" in name for name in shipped)
    assert any(name.endswith(".html") for name in shipped)


def test_without_extras_it_imports_and_says_what_an_extra_brings(
    folder: Folder, wheel: Path
) -> None:
    """Whatever needs an extra names it, for those who read the error and nothing else."""
    folder.typed("python3 -m venv .venv")
    lend(folder.path / ".venv", NAME)
    alone = Folder(folder.path, folder.path / ".venv" / "bin")
    alone.write(".env", f"PICCOLO_AUTH_SECRET_KEYS={SECRET}\n")
    alone.typed(f"pip install --no-index {wheel}")

    said = json.loads(alone.python(PROGRAM.format(tried=TRIED)))

    assert Path(said.pop("place")).is_relative_to(folder.path)
    ours = {"email", "redis", "valkey", "admin", "moving"}
    named = {extra: f"{NAME if extra in ours else 'piccolo'}[{extra}]" for extra in TRIED}
    assert {extra: named[extra] in text for extra, text in said.items()} == dict.fromkeys(
        TRIED, True
    ), said

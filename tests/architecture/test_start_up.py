"""What an import loads: nothing that an application may not need."""

import subprocess
import sys
from typing import Final

import pytest

from tests.fixtures import SECRET

# Extras, drivers of databases and stores, and what is only needed in rare requests.
NOT_LOADED: Final = {
    "aiosmtplib",
    "aiosqlite",
    "coredis",
    "dns",
    "ecdsa",
    "httpx",
    "redis",
    "uvicorn",
    "valkey",
    "zxcvbn",
}
# segno and jinja2 stay: a plain `Auth()` offers authenticator apps, whose codes segno draws, and reads its mail
# templates when it is made; loading either in the first request that needs it would hold up the event loop.


def _loaded(program: str) -> set[str]:
    """Run a program in a fresh interpreter and name the packages that it loads."""
    command = [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return {name.partition(".")[0] for name in done.stdout.split()}


MAKE: Final = (
    "from piccolo_fastapi_auth import Auth, AuthSettings\n"
    f"Auth(AuthSettings(secret_keys=[{SECRET!r}]))"
)


@pytest.mark.parametrize("program", ["import piccolo_fastapi_auth", MAKE], ids=["import", "Auth"])
def test_nothing_is_loaded_that_may_not_be_used(program: str) -> None:
    """Neither by the import nor by an ``Auth`` with counters in memory."""
    assert _loaded(program) & NOT_LOADED == set()


def test_piccolo_loads_asyncpg_by_itself() -> None:
    """Wherever it is installed, whatever the database; when that changes, the name moves up to the others."""
    assert "asyncpg" in _loaded("import piccolo.table")

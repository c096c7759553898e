"""A client in TypeScript, made from the OpenAPI document of the example; where Node is found."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.example_app.test_story import PASSWORD
from tests.processes import uvicorn_server

SOURCE: Final = Path(__file__).with_name("typescript")
CACHE: Final = (
    Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "piccolo-fastapi-auth"
)


def run(*command: str, folder: Path) -> str:
    """Run a program; what it says against us is the failure."""
    done = subprocess.run(  # noqa: S603 - pinned programs
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def modules() -> Path:
    """Install what package-lock.json names once for all runs, outside the repository."""
    locked = (SOURCE / "package-lock.json").read_bytes()
    folder = CACHE / f"typescript-{hashlib.sha256(locked).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCE / name, folder)
            run(
                "npm",
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--silent",
                folder=folder,
            )
            (folder / "done").touch()
    return folder / "node_modules"


@pytest.mark.timeout(300)  # the first run installs the packages
@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # types know no database
def test_a_generated_client_compiles_and_logs_in(database_url: str, tmp_path: Path) -> None:
    """Under ``strict``, without a cast: sign-up, a refusal with its code, log-in, and what the routes answer."""
    for name in ("client.ts", "tsconfig.json", "package.json"):
        shutil.copy(SOURCE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(modules())
    environment = {
        "DATABASE_URL": database_url,
        "READING_LIST_SECRETS": str(tmp_path / "secrets.env"),
    }
    with uvicorn_server("example_app.main:app", env=environment) as url:
        document = httpx.get(f"{url}/openapi.json", trust_env=False).text
        (tmp_path / "openapi.json").write_text(document)
        programs = tmp_path / "node_modules" / ".bin"
        run(
            str(programs / "openapi-typescript"),
            *("openapi.json", "-o", "schema.d.ts", "--default-non-nullable=false"),
            folder=tmp_path,
        )
        run(str(programs / "tsc"), folder=tmp_path)
        said = json.loads(run("node", "client.js", url, PASSWORD, folder=tmp_path))

    assert said == {
        "person": "mira",
        "refusal": {"code": "not_authenticated", "message": said["refusal"]["message"]},
        "saved": "Piccolo",
        "listed": [True],
    }

"""The README's program runs as written."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.fixtures import PASSWORD, SECRET
from tests.processes import uvicorn_server

README = Path(__file__).parents[2] / "README.md"
PACKAGE = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty folder with the two files of the README."""
    conf, main = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "piccolo_conf.py").write_text(
        conf.replace('"app.sqlite"', f'"{tmp_path / "app.sqlite"}"')
    )
    (tmp_path / "main.py").write_text(main)
    return tmp_path


def test_the_program_protects_limits_and_knows_the_person(project: Path) -> None:
    """Migrations, sign-up, log-in, a protected route, and 429 after thirty calls in a minute."""
    environment = {
        "PYTHONPATH": f"{project}:{PACKAGE}", "PICCOLO_CONF": "piccolo_conf", "PICCOLO_AUTH_SECRET_KEYS": SECRET,
    }  # fmt: skip
    command = [sys.executable, "-m", "piccolo.main", "migrations", "forwards", "all"]
    subprocess.run(  # noqa: S603 - our own words
        command, cwd=project, env=environment, check=True, capture_output=True, timeout=50
    )
    with uvicorn_server("main:app", env=environment) as url, httpx.Client(base_url=url) as client:
        assert client.get("/me").status_code == 401
        account = {"username": "mira", "email": "mira@example.com", "password": PASSWORD}
        assert client.post("/auth/register", json=account).status_code == 201
        form = {"grant_type": "password", "username": "mira", "password": PASSWORD}
        tokens = client.post("/auth/token", data=form).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        answers = [client.get("/me", headers=headers) for _ in range(35)]

    assert answers[0].json() == {"username": "mira"}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_every_endpoint_of_the_table_exists_and_none_is_missing() -> None:
    """The table is held against the routes."""
    from piccolo_fastapi_auth import Auth, AuthSettings  # noqa: PLC0415 - here only

    table = re.findall(
        r"`(GET|POST|PATCH|DELETE) (/[^`]*)`",
        README.read_text().split("## Endpoints")[1].split("## What")[0],
    )
    from fastapi import FastAPI  # noqa: PLC0415 - here only

    app = FastAPI()
    app.include_router(Auth(AuthSettings(secret_keys=[SECRET])).router)
    paths = app.openapi()["paths"]
    real = {
        (method.upper(), re.sub(r"\{\w+\}", "{id}", path))
        for path, item in paths.items()
        for method in item
    }

    assert set(table) == real


def test_the_way_of_a_log_in_names_files_that_exist() -> None:
    """The architecture page is held against the tree; the changelog against the package's version."""
    page = (PACKAGE / "docs" / "architecture.md").read_text()
    trace = re.findall(r"^\| `([\w/]+\.py)` \|", page, re.MULTILINE)
    version = re.search(
        r'^version = "(.+)"$', (PACKAGE / "pyproject.toml").read_text(), re.MULTILINE
    )
    newest = re.search(r"^## (\S+)", (PACKAGE / "docs" / "changelog.md").read_text(), re.MULTILINE)

    assert len(trace) == 8
    assert all((PACKAGE / "piccolo_fastapi_auth" / name).is_file() for name in trace)
    assert version is not None
    assert newest is not None
    assert newest[1] == version[1]

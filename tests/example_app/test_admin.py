"""Piccolo Admin in the example: there when it is installed, and not missed when it is not."""

import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.example_app.test_story import APP, PASSWORD, browser_at, sign_up
from tests.processes import ROOT, uvicorn_server

WITHOUT = """
import sys
sys.modules["piccolo_admin"] = None  # as if it were not installed
from example_app.main import app
from example_app.piccolo_conf import APP_REGISTRY
assert "/admin" not in [getattr(route, "path", "") for route in app.routes]
assert "piccolo_api.session_auth.piccolo_app" not in APP_REGISTRY.apps
assert not {"piccolo_api", "piccolo_admin.endpoints"} & set(sys.modules)
"""


def test_an_admin_logs_in_beside_the_example(database_url: str, tmp_path: Path) -> None:
    """By the page's own way; somebody without ``admin`` does not get in, and ours goes on beside it."""
    environment = {"DATABASE_URL": database_url, "READING_LIST_SECRETS": str(tmp_path / "secrets")}
    with uvicorn_server(APP, env=environment) as url, browser_at(url) as client:
        sign_up(client, "root")
        command = [sys.executable, "-m", "piccolo.main", "fastapi_auth", "create_user"]
        made = subprocess.run(  # noqa: S603 - ours
            [*command, "boss", "boss@example.com", "--admin", "--superuser"],
            cwd=ROOT, input=PASSWORD, capture_output=True, text=True, check=False, timeout=50,
            env={
                **os.environ,
                **environment,
                "PICCOLO_CONF": "example_app.piccolo_conf",
                "PICCOLO_AUTH_USER_TABLE": "example_app.tables:User",
                "PICCOLO_AUTH_SECRET_KEYS": "k7Jf2pQx9wLmZr4TbVn8sYc1hGd6uEa3oPiXtRyUqWs",
            },
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        page = client.get("/admin/")
        statuses = [(_log_in(client, name), _tables(client)) for name in ("root", "boss")]

    assert "<html" in page.text
    assert [status for status, _ in statuses] == [200, 200]  # Piccolo Admin judges after the log-in
    assert [("auth_session" in tables, "link" in tables) for _, tables in statuses] == [
        (False, False),
        (True, True),
    ]


def _log_in(client: httpx.Client, name: str) -> int:
    client.get("/admin/public/meta/")
    headers = {"X-CSRFToken": client.cookies["csrftoken"]}
    body = {"username": name, "password": PASSWORD}
    return client.post("/admin/public/login/", json=body, headers=headers).status_code


def _tables(client: httpx.Client) -> str:
    return client.get("/admin/api/tables/").text


def test_the_example_runs_without_piccolo_admin(tmp_path: Path) -> None:
    """It is not mounted, its table is not made, and nothing of it is imported."""
    environment = {**os.environ, "READING_LIST_SECRETS": str(tmp_path / "secrets.env")}
    done = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", WITHOUT],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr

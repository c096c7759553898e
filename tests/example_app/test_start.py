"""The first page of the example, what its start prints, and the command that makes administrators."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx

from tests.example_app.test_story import APP, PASSWORD, authorize, bearer, browser_at, sign_up
from tests.processes import ROOT, uvicorn_server

STARTED = """
import asyncio
from example_app.main import app, lifespan
async def start():
    async with lifespan(app):
        pass
asyncio.run(start())
"""


def python(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run our interpreter as somebody in the checkout does."""
    return subprocess.run(  # noqa: S603 - ours
        [sys.executable, *arguments],
        cwd=ROOT, env={**os.environ, **changes}, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip


def test_the_page_and_the_administrator(database_url: str, tmp_path: Path) -> None:
    """Every link leads somewhere, nothing comes from elsewhere, a name is text only; then ``make admin`` gives the rights."""
    environment = {"DATABASE_URL": database_url, "READING_LIST_SECRETS": str(tmp_path / "secrets")}
    with uvicorn_server(APP, env=environment) as url, browser_at(url) as client:
        page = client.get("/")
        _every_link_leads_somewhere(client, page.text)
        nonces = re.findall(r"'nonce-([\w-]+)'", page.headers["content-security-policy"])
        assert re.findall(r'<style nonce="([\w-]+)">', page.text) == nonces[:1]
        assert not re.search("//|<script|style=| on[a-z]+=", page.text.partition("<body>")[2])
        assert "You are not signed in." in page.text
        inline = (
            "style-src 'self' 'unsafe-inline'"  # which Piccolo Admin's pages need, and ours do not
        )
        policies = [
            client.get(path).headers["content-security-policy"] for path in ("/", "/admin/")
        ]
        assert [inline in policy for policy in policies] == [False, True]

        sign_up(client, "mira")
        client.post("/auth/login", json={"username": "mira", "password": PASSWORD})
        hostile = {"display_name": "<script>alert('1')</script>"}
        assert client.patch("/auth/me", json=hostile).status_code == 200
        assert "<strong>&lt;script&gt;alert(" in client.get("/").text

        made = python("-m", "example_app.make_admin", "mira", **environment)
        nobody = python("-m", "example_app.make_admin", "otto", **environment)
        client.cookies.clear()
        headers = bearer(authorize(client, "mira", "links:remove"))
        removed = client.delete("/links/1/by-admin", headers=headers)

    assert made.stdout.startswith("mira is an administrator."), made.stderr
    assert (nobody.returncode, "Nobody signed up as 'otto'" in nobody.stderr) == (1, True)
    assert removed.status_code == 404  # there is no link; without the right it is 403


def _every_link_leads_somewhere(client: httpx.Client, page: str) -> None:
    document = client.get("/openapi.json").json()
    operations = {
        f"docs#/{operation['tags'][0]}/{operation['operationId']}": f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    links = dict(re.findall(r'<a href="([^"]+)">(?:<code>)?([^<]+)<', page))
    others = links.keys() - operations.keys()
    assert others == {"docs", "openapi.json", "admin/"}
    assert {client.get(f"/{link}").status_code for link in others} == {200}
    assert len(links) > 12
    assert {link: links[link] for link in links.keys() - others}.items() <= operations.items()


def test_the_start_says_where_to_look(tmp_path: Path) -> None:
    """Its address, the documentation, and a command for administrators that the Makefile knows."""
    said = python(
        "-c", STARTED, PORT="9000", DATABASE_URL=f"sqlite:///{tmp_path}/x.sqlite",
        READING_LIST_SECRETS=str(tmp_path / "secrets"),
    )  # fmt: skip
    command = ["make", "--dry-run", "admin", "NAME=mira"]
    typed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - ours

    assert said.returncode == 0, said.stderr
    assert re.findall(r"http://\S+", said.stdout) == [
        "http://127.0.0.1:9000",
        "http://127.0.0.1:9000/docs",
    ]
    assert "make admin NAME=" in said.stdout
    assert "example_app.make_admin 'mira'" in typed.stdout

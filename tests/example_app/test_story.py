"""The example application over real HTTP: from signing up to being refused."""

import asyncio
import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped] # it ships no types
import httpx
import mintotp  # type: ignore[import-untyped] # it ships no types
import pytest

from piccolo_fastapi_auth.primitives.clock import utc_now
from tests.processes import ROOT, uvicorn_server

PASSWORD = "a horse in the pantry"
APP = "example_app.main:app"
# What example_app says of itself on import, said beforehand: the piccolo command starts elsewhere.
PICCOLO = {
    "PICCOLO_CONF": "example_app.piccolo_conf",
    "PICCOLO_AUTH_USER_TABLE": "example_app.tables:User",
}
Json = dict[str, Any]


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    """Where this run of the example keeps its data and its secret."""
    return {"DATABASE_URL": database_url, "READING_LIST_SECRETS": str(tmp_path / "secrets.env")}


@pytest.fixture
def url(environment: dict[str, str], engine_kind: str) -> Iterator[str]:
    """The example, running: one worker on SQLite, two on PostgreSQL."""
    workers = 1 if engine_kind == "sqlite" else 2
    with uvicorn_server(APP, workers=workers, env=environment) as address:
        yield address


@contextlib.contextmanager
def browser_at(url: str) -> Iterator[httpx.Client]:
    """A client with cookies of its own."""
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client


def sign_up(client: httpx.Client, name: str) -> None:
    """Make an account."""
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    answer = client.post("/auth/register", json=body)
    assert answer.status_code == 201, answer.text


def authorize(client: httpx.Client, name: str, scope: str = "links:write") -> Json:
    """Do what Swagger UI's *Authorize* does."""
    form = {
        "grant_type": "password", "username": name, "password": PASSWORD,
        "scope": scope, "client_id": "", "client_secret": "",
    }  # fmt: skip
    answer = client.post("/auth/token", data=form)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def bearer(tokens: Json) -> dict[str, str]:
    """The header that carries an access token."""
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def confirm(client: httpx.Client, begun: Json, tries: int = 2) -> tuple[httpx.Response, str]:
    """Confirm a device with the code of the step before this one; return the answer and this step's code."""
    step = int(utc_now().timestamp()) // 30
    before, current = (str(mintotp.hotp(begun["secret"], step - age)) for age in (1, 0))
    answer = client.post("/auth/mfa/totp/confirm", json={"id": begun["id"], "code": before})
    if answer.is_success or tries == 1:
        return answer, current
    return confirm(client, begun, tries - 1)  # a step ended just now


def make_admin(database_url: str, name: str, column: str = "admin") -> None:
    """Do by hand what an owner of the site does."""
    statement = f"UPDATE reader SET {column} = true WHERE username = '{name}'"  # noqa: S608 - a name of this file
    if database_url.startswith("sqlite:///"):
        with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as file:
            file.execute(statement)
            file.commit()
        return

    async def execute() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())


def test_from_signing_up_to_being_refused(url: str) -> None:
    """The whole story: sign up, Authorize, save, refresh, list both sign-ins, end one, be refused with it."""
    with browser_at(url) as phone, browser_at(url) as laptop:
        sign_up(phone, "mira")
        tokens = authorize(phone, "mira")
        assert tokens["scope"] == "links:write"
        assert phone.get("/links").status_code == 401
        link = {"url": "https://piccolo-orm.com/", "title": "Piccolo", "tags": ["orm", "python"]}
        saved = phone.post("/links", json=link, headers=bearer(tokens))
        assert saved.status_code == 201, saved.text
        refreshed = phone.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert refreshed.status_code == 200, refreshed.text
        tokens = refreshed.json()
        assert phone.get("/links?tag=orm", headers=bearer(tokens)).json() == [saved.json()]
        assert phone.get("/links?tag=cooking", headers=bearer(tokens)).json() == []

        log_in = laptop.post("/auth/login", json={"username": "mira", "password": PASSWORD})
        assert log_in.status_code == 200, log_in.text
        sessions = laptop.get("/auth/sessions").json()
        assert [(one["transport"], one["current"]) for one in sessions] == [
            ("cookie", True),
            ("bearer", False),
        ]
        other = sessions[1]["id"]
        assert laptop.delete(f"/auth/sessions/{other}").status_code == 204

        refused = phone.get("/links", headers=bearer(tokens))
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        again = phone.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert again.status_code == 401
        assert laptop.get("/links").status_code == 200


def test_a_second_factor_from_setting_it_up_to_logging_in_on_paper(url: str) -> None:  # noqa: PLR0915 - one story
    """Enrol, log in with a code by cookie and by the form, be refused without one, log in on paper, remove it."""
    with browser_at(url) as laptop, browser_at(url) as phone:
        sign_up(laptop, "mira")
        password = {"username": "mira", "password": PASSWORD}
        assert laptop.post("/auth/login", json=password).status_code == 200
        begun = laptop.post("/auth/mfa/totp", json={"name": "Phone"}).json()
        assert begun["otpauth_uri"].startswith("otpauth://totp/Reading%20list:mira?")
        confirmed, second = confirm(laptop, begun)
        assert confirmed.status_code == 200, confirmed.text
        paper = confirmed.json()["recovery_codes"]
        assert laptop.get("/links").status_code == 200

        refused = phone.post("/auth/login", json=password)
        assert refused.status_code == 401
        challenge = refused.json()["detail"]
        assert (challenge["code"], challenge["methods"]) == (
            "mfa_required", ["totp", "recovery_code"],
        )  # fmt: skip
        answer = {"mfa_token": challenge["mfa_token"], "method": "totp", "code": second}
        logged_in = phone.post("/auth/mfa/verify", json=answer)
        assert logged_in.status_code == 200, logged_in.text
        assert logged_in.json()["session"]["methods"] == ["password", "totp"]
        assert phone.get("/links").status_code == 200

        form = {"grant_type": "password", **password, "scope": "links:write"}
        assert laptop.post("/auth/token", data=form).json()["error"] == "mfa_required"
        replayed = laptop.post("/auth/token", data={**form, "mfa_code": second})
        assert replayed.json()["error"] == "invalid_grant"
        tokens = laptop.post("/auth/token", data={**form, "mfa_code": paper[0]})
        assert tokens.status_code == 200, tokens.text
        laptop.cookies.clear()
        link = {"url": "https://piccolo-orm.com/", "title": "Piccolo"}
        saved = laptop.post("/links", json=link, headers=bearer(tokens.json()))
        assert saved.status_code == 201, saved.text

        assert phone.delete(f"/auth/mfa/{begun['id']}").status_code == 204
        assert phone.get("/auth/mfa").json()["recovery_codes_left"] == 0
        assert laptop.get("/links", headers=bearer(tokens.json())).status_code == 401
        assert phone.post("/auth/login", json=password).status_code == 200


def test_people_remove_their_own_links_and_an_admin_anybodys(url: str, database_url: str) -> None:
    """A scope that a person lacks is refused, and somebody else's link is not found."""
    with browser_at(url) as client:
        for name in ("mira", "noor", "ada"):
            sign_up(client, name)
        make_admin(database_url, "ada")
        wanted = "links:write links:remove"
        mira, noor, ada = (authorize(client, name, wanted) for name in ("mira", "noor", "ada"))
        assert (mira["scope"], ada["scope"]) == ("links:write", wanted)
        link = {"url": "https://example.com/", "title": "Example"}
        first, second = (
            client.post("/links", json=link, headers=bearer(mira)).json()["id"] for _ in range(2)
        )

        def remove(path: str, tokens: Json) -> int:
            return client.delete(f"/links/{path}", headers=bearer(tokens)).status_code

        assert remove(f"{first}", noor) == 404
        assert remove(f"{first}/by-admin", noor) == 403
        assert remove(f"{first}", mira) == 204
        assert remove(f"{second}/by-admin", ada) == 204
        assert client.get("/links", headers=bearer(mira)).json() == []


@pytest.mark.parametrize("engine_kind", ["postgres"], indirect=True)
def test_what_the_columns_cannot_hold_is_refused(url: str) -> None:
    """Bad input is 422, not a database error: PostgreSQL is the stricter of the two."""
    link = {"url": "https://example.com/", "title": "Example"}
    with browser_at(url) as client:
        sign_up(client, "mira")
        headers = bearer(authorize(client, "mira"))

        for bad in (
            {"title": "a\x00b"},
            {"title": "x" * 201},
            {"url": "javascript:alert(1)"},
            {"tags": ["two words"]},
            {"tags": ["x\x00"]},
        ):
            assert client.post("/links", json=link | bad, headers=headers).status_code == 422, bad
        lone = b'{"url": "https://example.com/", "title": "\\ud800"}'
        typed = headers | {"Content-Type": "application/json"}
        assert client.post("/links", content=lone, headers=typed).status_code == 422
        assert client.get("/links?tag=%00", headers=headers).status_code == 422
        assert client.delete(f"/links/{10**20}", headers=headers).status_code == 422
        body = {"display_name": "Mi\x00ra"}
        assert client.patch("/auth/me", json=body, headers=headers).status_code == 422
        long = link | {"url": "https://example.com/" + "ü" * 1000}
        assert client.post("/links", json=long, headers=headers).status_code == 201
        body = {"display_name": "Míra"}
        assert client.patch("/auth/me", json=body, headers=headers).status_code == 200


@pytest.mark.parametrize("engine_kind", ["postgres"], indirect=True)
def test_its_migrations_make_the_tables_that_it_needs(environment: dict[str, str]) -> None:
    """In production they take the place of making tables at start, which then finds nothing to do."""
    subprocess.run(
        [sys.executable, "-m", "piccolo.main", "migrations", "forwards", "all"],
        cwd=ROOT, check=True, timeout=50, stdout=subprocess.DEVNULL,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT), **PICCOLO},
    )  # fmt: skip

    with uvicorn_server(APP, env=environment) as url, browser_at(url) as client:
        sign_up(client, "mira")
        headers = bearer(authorize(client, "mira"))
        link = {"url": "https://piccolo-orm.com/", "title": "Piccolo", "tags": ["orm"]}
        saved = client.post("/links", json=link, headers=headers)
        assert saved.status_code == 201, saved.text
        assert client.get("/links", headers=headers).json() == [saved.json()]
        body = {"display_name": "Míra"}
        assert client.patch("/auth/me", json=body, headers=headers).status_code == 200


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
def test_a_newcomer_is_led_to_documentation_with_every_way_to_authorize(url: str) -> None:
    """Swagger UI is there, and OpenAPI names the schemes."""
    with browser_at(url) as client:
        page = client.get("/docs")
        document = client.get("/openapi.json").json()

    assert "swagger-ui" in page.text
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {
        "auth_password": "oauth2",
        "auth_bearer": "http",
        "auth_cookie": "apiKey",
        "auth_api_key": "apiKey",
    }
    assert {next(iter(way)) for way in document["paths"]["/links"]["get"]["security"]} == set(
        schemes
    )


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
def test_the_secret_is_made_once_and_only_its_owner_reads_it(environment: dict[str, str]) -> None:
    """No secret is shipped; tokens survive a restart because the first run's secret stays."""
    with uvicorn_server(APP, env=environment) as url, browser_at(url) as client:
        sign_up(client, "mira")
        tokens = authorize(client, "mira")

    secret_file = Path(environment["READING_LIST_SECRETS"])
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    with uvicorn_server(APP, env=environment) as url, browser_at(url) as client:
        assert client.get("/links", headers=bearer(tokens)).status_code == 200


def test_workers_that_start_at_once_agree_on_the_secret(tmp_path: Path) -> None:
    """Whoever is first makes it, the others read it, and no draft is left behind."""
    program = "from example_app.first_run import secrets_file; print(secrets_file().read_text())"
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "READING_LIST_SECRETS": str(tmp_path / "secrets.env"),
    }  # fmt: skip
    workers = [
        subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]

    said = {worker.communicate(timeout=30)[0] for worker in workers}

    assert len(said) == 1
    assert len(said.pop().strip()) > 40
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.env"]

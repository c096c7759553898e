"""The example application over real HTTP: from signing up to being refused."""

import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.processes import uvicorn_server

PASSWORD = "a horse in the pantry"
Json = dict[str, str]


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> Json:
    """Where this run of the example keeps its data and its secret."""
    return {"DATABASE_URL": database_url, "READING_LIST_SECRETS": str(tmp_path / "secrets")}


@pytest.fixture
def url(environment: Json, engine_kind: str) -> Iterator[str]:
    """The example, running: one worker on SQLite, two on PostgreSQL."""
    workers = 1 if engine_kind == "sqlite" else 2
    with uvicorn_server("example_app.main:app", workers=workers, env=environment) as address:
        yield address


def sign_up(client: httpx.Client, name: str) -> None:
    """Make an account."""
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    assert client.post("/auth/register", json=body).status_code == 201


def authorize(client: httpx.Client, name: str) -> Json:
    """Do what Swagger UI's *Authorize* does."""
    form = {
        "grant_type": "password", "username": name, "password": PASSWORD,
        "scope": "links:write", "client_id": "", "client_secret": "",
    }  # fmt: skip
    answer = client.post("/auth/token", data=form)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def bearer(tokens: Json) -> Json:
    """The header that carries an access token."""
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def test_from_signing_up_to_being_refused(url: str) -> None:
    """The whole story: sign up, Authorize, save, refresh, list both sign-ins, end one, be refused with it."""
    with httpx.Client(base_url=url) as phone, httpx.Client(base_url=url) as browser:
        sign_up(phone, "mira")
        tokens = authorize(phone, "mira")
        assert tokens["scope"] == "links:write"
        link = {"url": "https://piccolo-orm.com/", "title": "Piccolo", "tags": ["orm", "python"]}
        saved = phone.post("/links", json=link, headers=bearer(tokens))
        assert saved.status_code == 201, saved.text
        refreshed = phone.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        tokens = refreshed.json()
        assert phone.get("/links?tag=orm", headers=bearer(tokens)).json() == [saved.json()]

        log_in = browser.post("/auth/login", json={"username": "mira", "password": PASSWORD})
        assert log_in.status_code == 200, log_in.text
        sessions = browser.get("/auth/sessions").json()
        assert {one["transport"]: one["current"] for one in sessions} == {
            "cookie": True,
            "bearer": False,
        }
        other = next(one["id"] for one in sessions if not one["current"])
        assert browser.delete(f"/auth/sessions/{other}").status_code == 204

        assert phone.get("/links", headers=bearer(tokens)).status_code == 401
        again = phone.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert again.status_code == 401
        assert browser.get("/links").status_code == 200


def test_people_remove_their_own_links_and_nobody_elses(url: str) -> None:
    """A scope that a person lacks is refused, and somebody else's link is not found."""
    with httpx.Client(base_url=url) as one, httpx.Client(base_url=url) as other:
        for client, name in ((one, "mira"), (other, "noor")):
            sign_up(client, name)
        mira, noor = bearer(authorize(one, "mira")), bearer(authorize(other, "noor"))
        link = {"url": "https://example.com/", "title": "Example"}
        link_id = one.post("/links", json=link, headers=mira).json()["id"]

        assert other.delete(f"/links/{link_id}", headers=noor).status_code == 404
        assert other.delete(f"/links/{link_id}/by-admin", headers=noor).status_code == 403
        assert one.delete(f"/links/{link_id}", headers=mira).status_code == 204


def test_a_newcomer_is_led_to_documentation_with_three_ways_to_authorize(url: str) -> None:
    """``/`` leads to Swagger UI, and OpenAPI names the schemes."""
    with httpx.Client(base_url=url, follow_redirects=True) as client:
        page = client.get("/")
        schemes = client.get("/openapi.json").json()["components"]["securitySchemes"]

    assert page.url.path == "/docs"
    assert "swagger-ui" in page.text
    assert set(schemes) == {"auth_password", "auth_bearer", "auth_cookie"}


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
def test_the_secret_is_made_once_and_only_its_owner_reads_it(environment: Json) -> None:
    """No secret is shipped; tokens survive a restart because the first run's secret stays."""
    with (
        uvicorn_server("example_app.main:app", env=environment) as url,
        httpx.Client(base_url=url) as client,
    ):
        sign_up(client, "mira")
        tokens = authorize(client, "mira")

    secret_file = Path(environment["READING_LIST_SECRETS"])
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    with (
        uvicorn_server("example_app.main:app", env=environment) as url,
        httpx.Client(base_url=url) as client,
    ):
        assert client.get("/links", headers=bearer(tokens)).status_code == 200

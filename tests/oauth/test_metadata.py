"""RFC 8414: what the server says about itself, and where."""

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from piccolo_fastapi_auth import Auth, AuthSettings
from piccolo_fastapi_auth.oauth import metadata
from piccolo_fastapi_auth.primitives.jwt_keys import new_pem
from tests.fixtures import ORIGIN, SCOPES, SECRET

WELL_KNOWN = "/.well-known/oauth-authorization-server"


def app_for(**changes: object) -> FastAPI:
    """An application; it needs no database."""
    app = FastAPI()
    settings = AuthSettings.model_validate({"secret_keys": [SECRET], **changes})
    app.include_router(Auth(settings, scopes=SCOPES).router)
    return app


@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        ("https://app.test", WELL_KNOWN),
        ("https://app.test/", WELL_KNOWN),
        ("https://app.test/tenant/one", f"{WELL_KNOWN}/tenant/one"),
        ("http://localhost:8000/auth", f"{WELL_KNOWN}/auth"),
        ("piccolo-fastapi-auth", None),
        ("http://app.test", None),
        ("https://app.test?x", None),
        ("https://app.test/{x}", None),
    ],
)
def test_it_stands_before_the_path_of_the_issuer(issuer: str, path: str | None) -> None:
    """REV-3: the path-insertion form; only an issuer that is an https URL has one."""
    assert metadata.path_of(issuer) == path


async def test_it_names_the_endpoints_that_are_there() -> None:
    """REV-3: ``issuer`` to the letter; every endpoint is a route of this application; asymmetric keys have a URL."""
    issuer = "https://app.test/tenant/"
    pem = new_pem("ES256").decode()
    app = app_for(issuer=issuer, prefix="/api/auth", algorithm="ES256", signing_keys=[pem])
    async with AsyncClient(transport=ASGITransport(app), base_url=ORIGIN) as client:
        answer = await client.get(f"{WELL_KNOWN}/tenant")
    found, paths = answer.json(), app.openapi()["paths"]

    assert answer.headers["cache-control"] == "public, max-age=300"
    assert found["issuer"] == issuer
    assert found["token_endpoint"] == "https://app.test/api/auth/token"
    for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint", "jwks_uri"):
        assert found[name].removeprefix("https://app.test") in paths, name
    assert found["grant_types_supported"] == ["password", "refresh_token"]
    assert found["scopes_supported"] == [*SCOPES, "auth:admin", "auth:impersonate"]


async def test_without_a_url_there_is_none() -> None:
    """REV-3: 404; and under HS256 no ``jwks_uri``; ``public_origin`` is where the endpoints are."""
    async with AsyncClient(transport=ASGITransport(app_for()), base_url=ORIGIN) as client:
        assert (await client.get(WELL_KNOWN)).status_code == 404
    settings = AuthSettings(
        secret_keys=[SECRET], issuer="https://id.test", public_origin="https://app.test"
    )
    found = metadata.describe(settings, scopes=())
    assert "jwks_uri" not in found
    assert found["token_endpoint"] == "https://app.test/auth/token"

"""Two ``Auth`` objects in one application, and an application mounted in another."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.testing import fast_hasher
from tests.fixtures import ORIGIN, PASSWORD, SECRET, make_app

ACCOUNT = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
LOGIN = {"username": "alice", "password": PASSWORD}


@pytest.mark.usefixtures("database")
async def test_two_in_one_application_keep_apart() -> None:
    """Own routes, own cookies, own schemes, own tokens."""
    one = Auth(AuthSettings(secret_keys=[SECRET]), hasher=fast_hasher())
    settings = AuthSettings(
        secret_keys=[SECRET],
        prefix="/staff/auth",
        cookie_name="staff",
        issuer="staff",
        audience="staff",
    )
    other = Auth(settings, hasher=fast_hasher())
    app = make_app(one)
    app.include_router(other.router)
    other.install(app)
    async with AsyncClient(transport=ASGITransport(app), base_url=ORIGIN) as client:
        await client.post("/auth/register", json=ACCOUNT)
        first = await client.post("/auth/login", json=LOGIN)
        second = await client.post("/staff/auth/login", json=LOGIN)
        assert len((await client.get("/staff/auth/sessions")).json()) == 2
        client.cookies.clear()
        tokens = (
            await client.post("/staff/auth/token", data={"grant_type": "password", **LOGIN})
        ).json()
        foreign = await client.get(
            "/user", headers={"Authorization": f"Bearer {tokens['access_token']}"}
        )

    assert [next(iter(one.cookies)) for one in (first, second)] == [
        "__Host-session",
        "__Host-staff",
    ]
    assert foreign.status_code == 401
    schemes = app.openapi()["components"]["securitySchemes"]
    assert {"auth_cookie", "staff_auth_cookie"} <= set(schemes)


@pytest.mark.usefixtures("database")
async def test_a_mounted_application_protects_its_routes() -> None:
    """Below another path, with the routes that belong to it."""
    outer = FastAPI()
    outer.mount("/inner", make_app(Auth(AuthSettings(secret_keys=[SECRET]), hasher=fast_hasher())))
    async with AsyncClient(transport=ASGITransport(outer), base_url=ORIGIN) as client:
        assert (await client.get("/inner/user")).status_code == 401
        await client.post("/inner/auth/register", json=ACCOUNT)
        assert (await client.post("/inner/auth/login", json=LOGIN)).status_code == 200
        assert (await client.get("/inner/user")).json() == {"username": "alice"}


@pytest.mark.parametrize("install", [True, False], ids=["installed", "bare"])
@pytest.mark.usefixtures("database")
async def test_an_application_below_is_guarded_by_the_one_above(*, install: bool) -> None:
    """The routes that sign in are above, the guards below; refusals keep their shape with no middleware at all."""
    auth = Auth(AuthSettings(secret_keys=[SECRET]), hasher=fast_hasher())
    outer, inner = FastAPI(), FastAPI()
    outer.include_router(auth.router)
    if install:
        auth.install(outer)
    outer.mount("/inner", inner)

    @inner.get("/who")
    @inner.post("/who")
    async def who(user: Annotated[User, Depends(auth.current_user)]) -> str:
        return user.username

    async with AsyncClient(transport=ASGITransport(outer), base_url=ORIGIN) as client:
        nobody = await client.get("/inner/who")
        await client.post("/auth/register", json=ACCOUNT)
        await client.post("/auth/login", json=LOGIN)
        known = await client.get("/inner/who")
        foreign = await client.post("/inner/who", headers={"origin": "https://evil.test"})

    assert (nobody.status_code, nobody.json()["detail"]["code"]) == (401, "not_authenticated")
    assert set(nobody.json()["detail"]) == {"code", "message"}
    assert nobody.headers["www-authenticate"].startswith("Bearer ")
    assert nobody.headers["cache-control"] == "no-store"
    assert known.json() == "alice"
    assert (foreign.status_code, foreign.json()["detail"]["code"]) == (403, "csrf_failed")

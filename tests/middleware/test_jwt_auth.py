"""``JWTAuth``: the program that Piccolo API's quickstart promised, for Starlette and FastAPI."""

from collections.abc import Callable
from typing import Final

import pytest
from fastapi import FastAPI, Request
from httpx import ASGITransport, AsyncClient
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from piccolo_fastapi_auth import Auth, AuthSettings, JWTAuth, User
from piccolo_fastapi_auth.login.jwt_router import shaped
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import ORIGIN, SECRET, Person, bearer, code_of, log_in
from tests.mfa.helpers import STEP, enrol

OPEN: Final = ["/", "/docs"]
TOKENS: Final = {"access_token", "token_type", "expires_in", "refresh_token", "scope"}


async def homepage(_: Request) -> JSONResponse:
    return JSONResponse({"hello": "world"})


async def protected(request: Request) -> JSONResponse:
    return JSONResponse({"for": request.user.username})


def starlette_app(jwt: JWTAuth) -> ASGIApp:
    """The promised program: an object in a list of middleware."""
    routes = [Route("/", homepage), Route("/protected", protected)]
    return Starlette(routes=routes, middleware=[jwt])


def fastapi_app(jwt: JWTAuth) -> ASGIApp:
    """The same for FastAPI."""
    app = FastAPI(middleware=[jwt])
    app.add_api_route("/", homepage)
    app.add_api_route("/protected", protected)
    return app


def added_app(jwt: JWTAuth) -> ASGIApp:
    """Added later, with its options."""
    app = FastAPI()
    app.add_middleware(
        JWTAuth, secret_key=SECRET, excluded_paths=OPEN, get_token_response=named
    )  # fmt: skip
    app.add_api_route("/", homepage)
    app.add_api_route("/protected", protected)
    del jwt
    return app


async def named(user_id: object) -> JSONResponse:
    """Members of one's own, a status and a header."""
    return JSONResponse({"person": user_id, "access_token": "fake"}, 201, headers={"x-mine": "yes"})


def browser(app: ASGIApp) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url=ORIGIN)


def credentials(person: Person) -> dict[str, str]:
    return {"username": person.username, "password": person.password}


@pytest.mark.parametrize("make", [starlette_app, fastapi_app, added_app])
async def test_the_promised_program(make: Callable[[JWTAuth], ASGIApp], alice: Person) -> None:
    """Open paths are open, all else wants a token, which the log-in gives in the shape that was asked for."""
    jwt = JWTAuth(secret_key=SECRET, excluded_paths=OPEN, get_token_response=named)
    async with browser(make(jwt)) as client:
        assert (await client.get("/")).json() == {"hello": "world"}
        for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic YTpi"}):
            for path in ("/protected", "/nowhere", "/login"):
                refused = await client.get(path, headers=headers)
                assert (refused.status_code, set(refused.json())) == (401, {"detail"})
                assert refused.headers["www-authenticate"].startswith("Bearer ")
        wrong = await client.post("/login", json={**credentials(alice), "password": "wrong"})
        assert (wrong.status_code, code_of(wrong)) == (401, "invalid_credentials")

        answer = await client.post("/login", json=credentials(alice))

        assert (answer.status_code, answer.headers["x-mine"]) == (201, "yes")
        assert "no-store" in answer.headers["cache-control"]
        assert set(answer.json()) == {"person", *TOKENS}
        assert answer.json()["person"] == alice.id
        mine = await client.get("/protected", headers=bearer(answer.json()))
        assert mine.json() == {"for": "alice"}
        renewed = await client.post(
            "/login", json={"refresh_token": answer.json()["refresh_token"]}
        )
        assert (await client.get("/protected", headers=bearer(renewed.json()))).status_code == 200


async def test_its_log_in_is_the_one_there_is(
    auth: Auth[User], client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """MFA-1: mounted, with an ``Auth`` of one's own: the second factor stands before it, inactive people do not enter."""
    await log_in(client, alice)
    phone = await enrol(client, clock)
    inner = Starlette(routes=[Route("/who", protected)])
    app = Starlette(routes=[Mount("/sub", JWTAuth(inner, auth=auth, login_path="/enter"))])
    async with browser(app) as page:
        first = await page.post("/sub/enter", json=credentials(alice))
        assert (first.status_code, code_of(first)) == (401, "mfa_required")
        clock.move(STEP)
        given = {**credentials(alice), "mfa_code": phone.code()}
        tokens = (await page.post("/sub/enter", json=given)).json()
        assert set(tokens) == TOKENS
        assert (await page.get("/sub/who", headers=bearer(tokens))).json() == {"for": "alice"}
        await User.update({User.active: False}).where(User.id == alice.id)
        assert (await page.get("/sub/who", headers=bearer(tokens))).status_code == 401
        refused = await page.post("/sub/enter", json=given)
        assert (refused.status_code, code_of(refused)) == (401, "invalid_credentials")


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # refused before any query
async def test_what_is_not_a_log_in_is_refused(auth: Auth[User]) -> None:
    """CSR-1, ERR-1: malformed bodies are 422 without an echo; a foreign page's is no log-in; ``None`` is nowhere."""
    del auth
    jwt = JWTAuth(secret_key=SECRET)
    both = {"username": "a", "password": "b", "refresh_token": "c"}
    bodies: list[object] = [{}, [], {"username": "a"}, both, "x"]
    async with browser(starlette_app(jwt)) as page:
        for body in bodies:
            refused = await page.post("/login", json=body)
            assert (refused.status_code, '"input"' in refused.text) == (422, False)
        headers = {"cookie": f"__Host-session={'A' * 43}", "origin": "https://evil.test"}
        foreign = await page.post(
            "/login", json={"username": "a", "password": "b"}, headers=headers
        )
        assert code_of(foreign) == "csrf_failed"
        for path in ("/login/", "/LOGIN", "/login;x", "/%6cogin/"):
            assert code_of(await page.post(path, json={})) == "not_authenticated"
    async with browser(starlette_app(JWTAuth(secret_key=SECRET, login_path=None))) as page:
        assert code_of(await page.post("/login", json={})) == "not_authenticated"


def test_a_weak_key_does_not_start() -> None:
    """CFG-1: the quickstart's own placeholder; nor two sources of keys, nor a missing application."""
    with pytest.raises(ValidationError, match="token_urlsafe"):
        JWTAuth(secret_key="your_super_secret_key_here")
    with pytest.raises(ValueError, match="secret_key or auth"):
        JWTAuth(secret_key=SECRET, auth=Auth(AuthSettings(secret_keys=[SECRET])))


async def test_it_wraps_an_application_or_stands_in_a_list() -> None:
    """Called without one, it says where it belongs."""
    with pytest.raises(TypeError, match="middleware="):
        await browser(JWTAuth(secret_key=[SECRET])).get("/")


@pytest.mark.parametrize(
    "made", [PlainTextResponse("x"), JSONResponse([1]), StreamingResponse("x")]
)
def test_an_answer_without_room_for_a_token_is_a_bug(made: Response) -> None:
    """Said plainly, before anybody wonders where the token is."""
    with pytest.raises(TypeError, match="JSON object"):
        shaped(JSONResponse({"access_token": "x"}), made)

"""The dependencies on HTTP and WebSocket routes, and CSRF with and without the middleware."""

from datetime import timedelta

import pytest
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.testing import log_in_as
from tests.fixtures import ORIGIN, PASSWORD, Person, bearer, code_of, get_tokens, log_in


async def test_no_credential_is_refused_without_an_error_code_in_the_challenge(
    client: AsyncClient,
) -> None:
    """ERR-1: RFC 6750 section 3.1."""
    answer = await client.get("/user")

    assert code_of(answer) == "not_authenticated"
    assert answer.headers["www-authenticate"] == 'Bearer realm="piccolo-fastapi-auth"'
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "é", "." * 3000, "A" * 9000, "eyJhbGciOiJub25lIn0.e30.", "x y"]
)
async def test_a_bad_token_is_refused_everywhere(client: AsyncClient, token: str) -> None:
    """ERR-2, JWT-1: 401 invalid_token, also where being signed in is optional."""
    headers = {b"Authorization": f"Bearer {token}".encode()}
    for path in ("/user", "/optional", "/whose-session", "/principal"):
        answer = await client.get(path, headers=headers)
        assert (answer.status_code, code_of(answer)) == (401, "invalid_token")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("value", ["x", "A" * 43, "A" * 44, "é" * 43, "A" * 42 + "B"])
async def test_a_bad_cookie_is_refused_everywhere(client: AsyncClient, value: str) -> None:
    """ERR-2: malformed, unknown or not canonical."""
    headers = {b"Cookie": b"__Host-session=" + value.encode()}
    for path in ("/user", "/optional", "/whose-session", "/principal"):
        answer = await client.get(path, headers=headers)
        assert code_of(answer) in {"invalid_token", "session_expired"}


async def test_every_guard_knows_the_person(client: AsyncClient, alice: Person) -> None:
    """Cookie and token alike; the absence of both is nobody where that is allowed."""
    tokens = await get_tokens(client, alice)
    assert (await client.get("/optional")).json() is None
    for headers in (bearer(tokens), {}):
        if not headers:
            await log_in(client, alice)
        assert (await client.get("/user", headers=headers)).json() == {"username": "alice"}
        assert (await client.get("/optional", headers=headers)).json() == "alice"
        principal = (await client.get("/principal", headers=headers)).json()
        assert principal == {"user_id": alice.id, "scopes": ["posts:read"]}
        shown = (await client.get("/auth/session", headers=headers)).json()
        assert (await client.get("/whose-session", headers=headers)).json() == shown["session"][
            "id"
        ]


async def test_two_credentials_at_once_are_refused(client: AsyncClient, alice: Person) -> None:
    """ERR-1: a cookie beside a token, or two tokens."""
    tokens = await get_tokens(client, alice)
    header = ("Authorization", bearer(tokens)["Authorization"])
    twice = await client.get("/user", headers=[header, header])
    await log_in(client, alice)
    both = await client.get("/user", headers=bearer(tokens))

    assert [code_of(answer) for answer in (twice, both)] == ["invalid_request", "invalid_request"]


async def test_scopes_are_required_and_named(client: AsyncClient, alice: Person) -> None:
    """403 insufficient_scope with the scope in the challenge (RFC 6750 section 3.1)."""
    tokens = await get_tokens(client, alice, scope="posts:read posts:write")
    assert tokens["scope"] == "posts:read"  # what she lacks is dropped, and the answer says so

    allowed = await client.get("/posts", headers=bearer(tokens))
    refused = await client.post("/posts", headers=bearer(tokens))

    assert allowed.status_code == 200
    assert code_of(refused) == "insufficient_scope"
    assert 'scope="posts:write"' in refused.headers["www-authenticate"]


async def test_a_superuser_has_every_scope_until_the_next_request(
    client: AsyncClient, alice: Person
) -> None:
    """A demotion holds on the next request for the user, and at the next refresh for the principal."""
    await User.update({User.superuser: True}).where(User.id == alice.id)
    tokens = await get_tokens(client, alice)
    assert (await client.post("/posts", headers=bearer(tokens))).status_code == 200

    await User.update({User.superuser: False}).where(User.id == alice.id)

    assert code_of(await client.post("/posts", headers=bearer(tokens))) == "insufficient_scope"


async def test_requirements_are_told_apart(client: AsyncClient, alice: Person) -> None:
    """Not verified and no second factor: 403, with what is missing."""
    await log_in(client, alice)

    assert code_of(await client.get("/verified")) == "email_not_verified"
    assert code_of(await client.get("/mfa")) == "mfa_enrolment_required"


async def test_equal_requirements_are_one_dependency(
    auth: Auth[User], app: FastAPI, client: AsyncClient
) -> None:
    """A frozen value: overriding an equal one reaches the route."""
    ten = timedelta(minutes=10)
    assert auth.require(fresh=ten) == auth.require(fresh=ten)
    assert auth.require(fresh=ten) != auth.require(mfa=True)
    app.dependency_overrides[auth.require(fresh=ten)] = lambda: None
    app.dependency_overrides[auth.current_user] = lambda: User(username="somebody")

    assert (await client.get("/fresh")).status_code == 200
    assert (await client.get("/user")).json() == {"username": "somebody"}


SITES = [
    ({"sec-fetch-site": "cross-site"}, 403), ({"sec-fetch-site": "same-site"}, 403), ({"sec-fetch-site": "x"}, 403),
    ({"sec-fetch-site": "same-origin"}, 200), ({"sec-fetch-site": "none"}, 200), ({"origin": ORIGIN}, 200), ({}, 200),
    ({"origin": "null"}, 403), ({"origin": "https://evil.app.test"}, 403), ({"origin": "http://["}, 403),
    ({"origin": "https://trusted.test"}, 200),
    ({"sec-fetch-site": "cross-site", "origin": "https://trusted.test"}, 200),
]  # fmt: skip


@pytest.mark.parametrize(
    "settings_changes", [{"trusted_origins": ["https://trusted.test"]}], ids=["trusting"]
)
async def test_an_unsafe_request_with_a_cookie_must_come_from_us(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """CSR-1, CSR-6: on the application's own routes, guarded or not, with the middleware and without."""
    cookie = (await log_in(client, alice)).cookies["__Host-session"]
    tokens_only = AsyncClient(transport=client._transport, base_url=ORIGIN)
    tokens = await get_tokens(tokens_only, alice)
    bare = FastAPI()
    bare.include_router(auth.router)
    bare.add_api_route(
        "/user", lambda: None, methods=["POST"], dependencies=[Depends(auth.current_user)]
    )
    without_middleware = AsyncClient(
        transport=ASGITransport(bare), base_url=ORIGIN, cookies={"__Host-session": cookie}
    )

    for headers, expected in SITES:
        for one, path in ((client, "/user"), (client, "/public"), (without_middleware, "/user")):
            answer = await one.post(path, headers=headers)
            assert answer.status_code == expected, (headers, path, answer.text)
            if expected == 403:
                assert code_of(answer) == "csrf_failed"
        by_token = await tokens_only.post("/user", headers={**headers, **bearer(tokens)})
        assert by_token.status_code == 200


@pytest.mark.parametrize("settings_changes", [{"csrf_strict": True}], ids=["strict"])
async def test_strict_mode_wants_the_browser_to_say_where_from(
    client: AsyncClient, alice: Person
) -> None:
    """A request with a cookie and neither header comes from no current browser."""
    answer = await client.post(
        "/auth/login",
        json={"username": alice.username, "password": PASSWORD},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert answer.status_code == 200

    assert code_of(await client.post("/user")) == "csrf_failed"
    assert (await client.get("/user")).status_code == 200


async def test_a_foreign_page_cannot_log_somebody_in(client: AsyncClient, alice: Person) -> None:
    """CSR-4: also without any cookie."""
    body = {"username": alice.username, "password": PASSWORD}

    answer = await client.post("/auth/login", json=body, headers={"sec-fetch-site": "cross-site"})

    assert code_of(answer) == "csrf_failed"
    assert "set-cookie" not in answer.headers


async def test_the_cookie_is_as_strict_as_a_cookie_can_be(
    client: AsyncClient, alice: Person
) -> None:
    """CKE-1, CKE-2, CCH-1: host-bound, secure, out of reach of scripts, not cached, not in the body."""
    answer = await log_in(client, alice)

    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-session=")
    for attribute in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"):
        assert attribute in cookie
    assert "Domain" not in cookie
    assert answer.cookies["__Host-session"] not in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_a_log_in_ends_the_session_that_the_browser_had(
    client: AsyncClient, alice: Person
) -> None:
    """SES-3: no fixation; a token log-in takes the cookie back, so the token stands alone."""
    old = (await log_in(client, alice)).cookies["__Host-session"]
    new = (await log_in(client, alice)).cookies["__Host-session"]
    client.cookies.clear()
    client.cookies.set("__Host-session", old)
    assert (await client.get("/user")).status_code == 401
    client.cookies.clear()
    client.cookies.set("__Host-session", new)

    form = {"grant_type": "password", "username": alice.username, "password": PASSWORD}
    answer = await client.post("/auth/token", data=form)

    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert len((await client.get("/auth/sessions", headers=bearer(answer.json()))).json()) == 1


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
async def test_a_websocket_wants_a_credential_and_our_origin(
    app: FastAPI, auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """WebSocket: cookie with our Origin, or a token; everything else closes with 1008."""
    cookie = (await log_in(client, alice)).cookies["__Host-session"]
    tokens = await get_tokens(AsyncClient(transport=client._transport, base_url=ORIGIN), alice)
    good = [{"cookie": f"__Host-session={cookie}", "origin": ORIGIN}, bearer(tokens)]
    bad = [
        {},
        {"cookie": f"__Host-session={cookie}"},
        {"cookie": f"__Host-session={cookie}", "origin": "https://evil"},
    ]
    del auth
    browser = TestClient(app, base_url=ORIGIN)

    for headers in good:
        with browser.websocket_connect("/ws", headers={**headers, "host": "app.test"}) as socket:
            assert socket.receive_text() == "alice"
    for headers in bad:
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            browser.websocket_connect("/ws", headers=headers),
        ):
            pass
        assert refused.value.code == 1008


async def test_tests_of_applications_log_in_without_a_password(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """``log_in_as`` finds the installed ``Auth`` behind a client, and says so when there is none."""
    user = await User.objects().get(User.id == alice.id)
    assert user is not None

    session = await log_in_as(client, user)

    assert (await client.get("/whose-session")).json() == str(session.id)
    with pytest.raises(LookupError):
        await log_in_as(AsyncClient(), user)
    await log_in_as(AsyncClient(), user, auth=auth)


async def test_openapi_offers_three_ways_and_documents_refusals(app: FastAPI) -> None:
    """Every protected operation lists password flow, bearer and cookie; refusals have bodies."""
    document = app.openapi()
    assert app.openapi() is document
    public = {
        "/auth/login", "/auth/mfa/verify", "/auth/token", "/auth/refresh", "/auth/token/revoke", "/auth/logout",
        "/auth/register", "/.well-known/jwks.json", "/public",
    }  # fmt: skip
    names: list[str] = []
    for path, item in document["paths"].items():
        for operation in item.values():
            names.append(operation["operationId"])
            offered = [next(iter(entry)) for entry in operation.get("security", [])]
            assert offered == (
                [] if path in public else ["auth_password", "auth_bearer", "auth_cookie"]
            )
            if path.startswith("/auth"):
                assert {"401", "403", "409", "422", "429", "503"} <= set(operation["responses"])
    assert len(set(names)) == len(names)

"""What stands beside cookie, token and API key: static tokens, and backends of the application."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.security import APIKeyHeader
from fastapi.security.base import SecurityBase
from httpx import AsyncClient
from piccolo.engine.base import Engine
from pydantic import ValidationError
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from piccolo_fastapi_auth import Auth, Authenticated, AuthSettings, Principal, User
from piccolo_fastapi_auth.errors import InvalidTokenError
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from piccolo_fastapi_auth.transport import bearer_token
from tests.api_keys.helpers import by_header, key_of
from tests.fixtures import (
    SCOPES,
    SECRET,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    make_app,
)

TOKEN: Final = "a-static-token-of-good-length-0123456789"
DIGESTED: Final = "only-the-digest-of-this-one-is-configured"
TICKET: Final = "X-Ticket"


@dataclass
class Tickets:
    """A ticket names somebody; it comes in a header of its own, or as a bearer token with a mark."""

    transport: str = "ticket"
    scheme: SecurityBase | None = None
    seen: list[str] = field(default_factory=list)

    def credential(self, connection: HTTPConnection) -> str | None:
        """Find it."""
        token = bearer_token(connection) or ""
        by_itself = connection.headers.get(TICKET)
        return by_itself or (token if token.startswith("ticket.") else None)

    async def authenticate(
        self, credential: str, connection: HTTPConnection
    ) -> Authenticated[User]:
        """Believe it."""
        self.seen.append(connection.scope["type"])
        user = (
            await User.objects().where(User.username == credential.removeprefix("ticket.")).first()
        )
        if user is None:
            raise InvalidTokenError
        return Authenticated(transport=self.transport, user=user, scopes=["posts:read"])


@pytest.fixture
def settings_changes() -> dict[str, Any]:
    """Two static tokens."""
    digest = sha256(DIGESTED.encode()).hexdigest()
    scoped = {"token": TOKEN, "scopes": ["posts:read"]}
    return {"static_tokens": {"billing": scoped, "mail": f"sha256:{digest}"}}


@pytest.fixture
def auth(database: Engine[Any], settings: AuthSettings, clock: FrozenClock) -> Auth[User]:
    """With two backends, of which the first answers."""
    del database
    first = Tickets(scheme=APIKeyHeader(name=TICKET, scheme_name="ticket"))
    return Auth(
        settings,
        clock=clock,
        hasher=fast_hasher(),
        scopes=SCOPES,
        scopes_of=lambda _: list(SCOPES),
        backends=[first, Tickets(transport="second")],
    )


@pytest.fixture
def app(auth: Auth[User]) -> FastAPI:
    """With a route that shows who a principal is."""
    app = make_app(auth)

    @app.get("/who")
    async def who(
        principal: Annotated[Principal, Depends(auth.principal)],
    ) -> tuple[str, str | None, int | None]:
        assert principal.session_id is None
        return principal.transport, principal.credential_id, principal.user_id  # type: ignore[return-value] # an integer key here

    @app.get("/scoped")
    async def scoped(
        principal: Annotated[Principal, Security(auth.principal, scopes=["posts:read"])],
    ) -> str:
        return principal.transport

    return app


async def test_a_static_token_is_a_principal_without_a_person(client: AsyncClient) -> None:
    """In both headers, by text and by digest; 403 where a person must be; scopes are those of the setting."""
    for headers in (by_header(TOKEN), bearer({"access_token": TOKEN})):
        assert (await client.get("/who", headers=headers)).json() == [
            "static_token",
            "billing",
            None,
        ]
        assert (await client.get("/scoped", headers=headers)).json() == "static_token"
        for path in ("/user", "/optional", "/posts", "/whose-session", "/fresh", "/auth/me"):
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, code_of(answer)) == (403, "credential_not_accepted"), path
    other = by_header(DIGESTED)
    assert (await client.get("/who", headers=other)).json() == ["static_token", "mail", None]
    assert code_of(await client.get("/scoped", headers=other)) == "insufficient_scope"


async def test_another_token_is_none_of_them(client: AsyncClient) -> None:
    """The digest itself, a start, an end: 401."""
    digest = sha256(DIGESTED.encode()).hexdigest()
    for text in (digest, f"sha256:{digest}".replace(":", "-"), TOKEN[:-1], f"{TOKEN}x"):
        for headers in (by_header(text), bearer({"access_token": text})):
            assert code_of(await client.get("/who", headers=headers)) == "invalid_token", text


@pytest.mark.parametrize("token", ["short", "é" * 40, f"pfa_{'x' * 40}", "sha256:abc", "x y" * 20])
def test_a_weak_static_token_stops_the_start(token: str) -> None:
    """And the message does not repeat it."""
    with pytest.raises(ValidationError) as refused:
        AuthSettings.model_validate({"secret_keys": [SECRET], "static_tokens": {"x": token}})
    assert token not in str(refused.value)


async def test_a_backend_answers_at_every_guard(client: AsyncClient, alice: Person) -> None:
    """First match wins; scopes are the person's within the ticket's; what needs a session refuses."""
    for headers in ({TICKET: "alice"}, bearer({"access_token": "ticket.alice"})):
        assert (await client.get("/user", headers=headers)).json() == {"username": "alice"}
        assert (await client.get("/optional", headers=headers)).json() == "alice"
        assert (await client.get("/posts", headers=headers)).status_code == 200
        assert code_of(await client.post("/posts", headers=headers)) == "insufficient_scope"
        assert (await client.get("/who", headers=headers)).json() == ["ticket", None, alice.id]
        for path in ("/whose-session", "/fresh", "/auth/me", "/auth/api-keys"):
            assert code_of(await client.get(path, headers=headers)) == "credential_not_accepted"
    for path in ("/user", "/optional", "/who"):
        assert code_of(await client.get(path, headers={TICKET: "nobody"})) == "invalid_token"


async def test_an_inactive_person_is_refused_whatever_a_backend_says(
    client: AsyncClient, alice: Person
) -> None:
    """XPT-1: the check is not the backend's to forget."""
    await User.update({User.active: False}).where(User.id == alice.id)
    for path in ("/user", "/optional", "/who"):
        assert code_of(await client.get(path, headers={TICKET: "alice"})) == "invalid_token"


async def test_a_backend_beside_another_credential_is_two(
    client: AsyncClient, alice: Person
) -> None:
    """ERR-1: 400 with a cookie, a token, an API key, a static token or another ticket; ours still work alone."""
    tokens, key = await get_tokens(client, alice), await key_of(client, alice)
    cookie = {"cookie": f"__Host-session={(await log_in(client, alice)).cookies['__Host-session']}"}
    client.cookies.clear()
    others = [
        cookie,
        bearer(tokens),
        by_header(key),
        by_header(TOKEN),
        bearer({"access_token": "ticket.bob"}),
    ]

    for other in others:
        for path in ("/user", "/optional", "/principal"):
            answer = await client.get(path, headers={TICKET: "alice", **other})
            assert (answer.status_code, code_of(answer)) == (400, "invalid_request"), other
    for other in others[:3]:
        assert (await client.get("/user", headers=other)).json() == {"username": "alice"}


@pytest.mark.parametrize(
    "engine_kind", ["sqlite"], indirect=True
)  # TestClient brings its own event loop
async def test_a_backend_works_on_a_websocket(
    client: AsyncClient, app: FastAPI, alice: Person
) -> None:
    """The same class, told that it is a WebSocket."""
    del client
    with TestClient(app).websocket_connect("/ws", headers={TICKET: alice.username}) as socket:
        assert socket.receive_text() == "alice"


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # it needs no database
async def test_a_backend_with_a_scheme_is_in_the_document(app: FastAPI) -> None:
    """On the application's routes, as one more alternative; not on ours, which need a session."""
    document = app.openapi()
    scheme = {"type": "apiKey", "in": "header", "name": TICKET}
    assert document["components"]["securitySchemes"]["ticket"] == scheme
    assert {"ticket": ["posts:read"]} in document["paths"]["/posts"]["get"]["security"]
    assert {"ticket": []} not in document["paths"]["/auth/me"]["get"]["security"]

"""A small application with every guard on it, people in its database, and browsers to call it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from httpx import ASGITransport, AsyncClient, Response
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, Principal, Session, User
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher

SECRET = "k7Jf2pQx9wLmZr4TbVn8sYc1hGd6uEa3oPiXtRyUqWs"
ORIGIN = "https://app.test"
PASSWORD = "a horse in the pantry"
SCOPES = {"posts:read": "Read posts", "posts:write": "Write posts"}

Browsers = Callable[[], AsyncClient]
People = Callable[[str], Awaitable["Person"]]


@dataclass(frozen=True)
class Person:
    """Somebody who signed up."""

    id: int
    username: str
    email: str
    password: str = PASSWORD


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that the test moves."""
    return FrozenClock()


@pytest.fixture
def settings_changes() -> dict[str, Any]:
    """What a test wants other than the defaults: parametrise it."""
    return {}


@pytest.fixture
def settings(settings_changes: dict[str, Any]) -> AuthSettings:
    """The defaults, with a good secret and what the test changes."""
    off = {"login_limit_per_ip": "", "login_limit_per_account": ""}  # tests/attacks turns them on
    return AuthSettings(
        **{"secret_keys": [SECRET], "hash_concurrency": 2, **off, **settings_changes}
    )


@pytest.fixture
def auth(database: Engine[Any], settings: AuthSettings, clock: FrozenClock) -> Auth[User]:
    """An ``Auth`` over an empty database; everybody has the scope ``posts:read``."""
    del database
    return Auth(
        settings,
        user_table=User,
        clock=clock,
        hasher=fast_hasher(),
        scopes=SCOPES,
        scopes_of=lambda _: ["posts:read"],
    )


@pytest.fixture
def app(auth: Auth[User]) -> FastAPI:
    """An application with the library's routes and one route for each guard."""
    return make_app(auth)


def make_app(auth: Auth[User]) -> FastAPI:  # noqa: C901 - one small route after another
    """Build an application around an ``Auth``."""
    app = FastAPI()
    app.include_router(auth.router)
    auth.install(app)
    fresh, verified = auth.require(fresh=timedelta(minutes=10)), auth.require(verified=True)

    @app.get("/user")
    @app.post("/user")
    async def user(user: Annotated[User, Depends(auth.current_user)]) -> dict[str, str]:
        return {"username": user.username}

    @app.get("/optional")
    async def optional(user: Annotated[User | None, Depends(auth.optional_user)]) -> str | None:
        return user.username if user else None

    @app.get("/whose-session")
    async def session(session: Annotated[Session, Depends(auth.current_session)]) -> str:
        return str(session.id)

    @app.get("/principal")
    async def principal(
        principal: Annotated[Principal, Depends(auth.principal)],
    ) -> dict[str, object]:
        return {"user_id": principal.user_id, "scopes": principal.scopes}

    @app.get("/posts")
    async def read(
        user: Annotated[User, Security(auth.current_user, scopes=["posts:read"])],
    ) -> str:
        return user.username

    @app.post("/posts")
    async def write(
        user: Annotated[User, Security(auth.current_user, scopes=["posts:write"])],
    ) -> str:
        return user.username

    @app.get("/fresh", dependencies=[Depends(fresh)])
    @app.get("/verified", dependencies=[Depends(verified)])
    @app.get("/mfa", dependencies=[Depends(auth.require(mfa=True))])
    @app.get("/public")
    @app.post("/public")
    async def nothing() -> None:
        return None

    @app.websocket("/ws")
    async def socket(
        websocket: WebSocket, user: Annotated[User, Depends(auth.current_user)]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(user.username)
        await websocket.close()

    return app


@pytest.fixture
async def new_browser(app: FastAPI, auth: Auth[User]) -> AsyncIterator[Browsers]:
    """Make clients that share nothing, like browsers of different people."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(auth.lifespan())
        made: list[AsyncClient] = []

        def make() -> AsyncClient:
            client = AsyncClient(transport=ASGITransport(app), base_url=ORIGIN)
            made.append(client)
            stack.push_async_callback(client.aclose)
            return client

        yield make


@pytest.fixture
async def client(new_browser: Browsers) -> AsyncClient:
    """One browser."""
    return new_browser()


@pytest.fixture
async def sign_up(new_browser: Browsers) -> People:
    """People on demand, by name."""

    async def make(username: str) -> Person:
        email = f"{username}@example.com"
        answer = await new_browser().post(
            "/auth/register", json={"username": username, "email": email, "password": PASSWORD}
        )
        assert answer.status_code == 201, answer.text
        return Person(answer.json()["user"]["id"], username, email)

    return make


@pytest.fixture
async def alice(sign_up: People) -> Person:
    """Somebody who signed up."""
    return await sign_up("alice")


async def log_in(client: AsyncClient, person: Person) -> Response:
    """Log in with a cookie."""
    answer = await client.post(
        "/auth/login", json={"username": person.username, "password": person.password}
    )
    assert answer.status_code == 200, answer.text
    return answer


async def get_tokens(client: AsyncClient, person: Person, scope: str = "") -> dict[str, str]:
    """Log in with tokens."""
    form = {"grant_type": "password", "username": person.username, "password": person.password}
    answer = await client.post("/auth/token", data={**form, "scope": scope})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def bearer(tokens: dict[str, str]) -> dict[str, str]:
    """The header that carries an access token."""
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def refresh(client: AsyncClient, token: str) -> Response:
    """Present a refresh token."""
    return await client.post("/auth/refresh", json={"refresh_token": token})


def code_of(answer: Response) -> str:
    """The stable code of a refusal."""
    return str(answer.json()["detail"]["code"])

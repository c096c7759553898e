"""fastapi-login: ``LoginManager`` as the dependency, with a user loader. It has no password code of its own."""

import contextlib
from collections.abc import AsyncIterator

from fastapi_login import LoginManager

from benchmarks.asgi import Call, bearer
from benchmarks.peer import JWT, JWT_USER, SECRET, Argon2, Peer, protected_by
from benchmarks.peers.members import Member, find, members
from benchmarks.places import Place

NAME = "fastapi-login"
REFRESHES = False
LOGS_IN = False


@contextlib.asynccontextmanager
async def running(place: Place, argon2: Argon2) -> AsyncIterator[Peer]:
    """Run it with one person signed in."""
    async with members("login", place, argon2) as table:
        without = LoginManager(SECRET, token_url="/token")
        manager = LoginManager(SECRET, token_url="/token")

        @without.user_loader()
        async def name(username: str) -> str:
            return username

        @manager.user_loader()
        async def user(username: str) -> Member | None:
            return await find(table, username)

        token = bearer(manager.create_access_token(data={"sub": "alice"}))
        yield Peer(
            NAME,
            ways={
                JWT: Call(protected_by(without), headers=token),
                JWT_USER: Call(protected_by(manager), headers=token),
            },
        )

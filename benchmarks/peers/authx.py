"""authx: ``access_token_required`` and ``get_current_subject``. It has no password code of its own."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from authx import AuthX, AuthXConfig, TokenPayload
from fastapi import Depends, FastAPI

from benchmarks.asgi import Call, bearer, expect
from benchmarks.peer import JWT, JWT_USER, SECRET, Argon2, Peer, protected_by
from benchmarks.peers.members import Member, find, members
from benchmarks.places import Place

NAME = "authx"
REFRESHES = True
LOGS_IN = False


@contextlib.asynccontextmanager
async def running(place: Place, argon2: Argon2) -> AsyncIterator[Peer]:
    """Run it with one person signed in."""
    async with members("authx", place, argon2) as table:
        config = AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["headers"])
        auth: AuthX[Any] = AuthX(config=config)

        @auth.set_subject_getter
        async def subject(uid: str) -> Member | None:
            return await find(table, uid)

        protected = {
            JWT: protected_by(auth.access_token_required),
            JWT_USER: protected_by(auth.get_current_subject),
        }
        app = FastAPI(openapi_url=None)

        @app.post("/refresh")
        async def refresh(
            payload: TokenPayload = Depends(auth.refresh_token_required),  # noqa: B008, FAST002 - as its documentation has it
        ) -> dict[str, str]:
            return {"access_token": auth.create_access_token(payload.sub)}

        for each in (app, *protected.values()):
            auth.handle_errors(each)
        token = bearer(auth.create_access_token("alice"))
        exchange = Call(app, "/refresh", "POST", headers=bearer(auth.create_refresh_token("alice")))

        async def exchange_once() -> None:
            await expect(exchange, 200)

        yield Peer(
            NAME,
            ways={way: Call(each, headers=token) for way, each in protected.items()},
            refresh=exchange_once,
        )

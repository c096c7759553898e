"""This library, at its production settings but for the limits on log-ins."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Depends, FastAPI

from benchmarks.asgi import Call, bearer, expect
from benchmarks.peer import (
    API_KEY,
    CHEAPEST,
    JWT,
    JWT_USER,
    OURS,
    PASSWORD,
    SECRET,
    SESSION,
    Argon2,
    Peer,
    ok,
    protected_by,
)
from benchmarks.places import Place, piccolo_engine
from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.primitives.passwords import Argon2Profile, PasswordHasher
from piccolo_fastapi_auth.tables import TABLES
from piccolo_fastapi_auth.testing import fast_hasher

NAME = OURS
REFRESHES = True
LOGS_IN = True
CHAINS = 16  # refresh tokens in use at once


@contextlib.asynccontextmanager
async def open_auth(
    place: Place, argon2: Argon2, *, changes: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Auth[User], FastAPI]]:
    """Run an ``Auth`` and an application with its routes over a place."""
    hasher = fast_hasher() if argon2 == CHEAPEST else PasswordHasher(_profile(argon2))
    off = {"login_limit_per_ip": "", "login_limit_per_account": ""}
    settings = AuthSettings(**{"secret_keys": [SECRET], **off, **(changes or {})})
    async with piccolo_engine(place, [User, *TABLES]):
        auth = Auth(settings, user_table=User, **{"hasher": hasher, **options})
        app = FastAPI(openapi_url=None)
        app.include_router(auth.router)
        async with auth.lifespan():
            yield auth, app


def _profile(argon2: Argon2) -> Argon2Profile:
    return Argon2Profile(argon2.memory_kib, argon2.passes, argon2.lanes)


async def sign_up(app: FastAPI, username: str) -> None:
    """Make a person, unless another process did."""
    body = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
    await expect(Call.posting(app, "/auth/register", data=body), 201, 409)


@contextlib.asynccontextmanager
async def running(place: Place, argon2: Argon2) -> AsyncIterator[Peer]:
    """Run it with one person signed in."""
    async with open_auth(place, argon2) as (auth, app):
        await sign_up(app, "alice")
        form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
        get_tokens = Call.posting(app, "/auth/token", form=form)
        log_in = Call.posting(app, "/auth/login", data={"username": "alice", "password": PASSWORD})
        tokens = (await expect(get_tokens, 200)).json()
        token = bearer(tokens["access_token"])
        session = (await expect(log_in, 200)).cookie(auth.settings.session_cookie)
        cookie = [(b"cookie", session)]
        make_key = Call.posting(app, "/auth/api-keys", data={"name": "bench"})
        make_key.headers.extend(cookie)
        key = (await expect(make_key, 201)).json()["key"].encode()
        refresh = _Refresh(app, get_tokens)
        if argon2 == CHEAPEST:  # where passwords cost what they should, only log-ins are measured
            await refresh.fill()
        installed = protected_by(auth.current_user)
        auth.install(installed)
        yield Peer(
            NAME,
            ways={
                JWT: Call(protected_by(auth.principal), headers=token),
                JWT_USER: Call(protected_by(auth.current_user), headers=token),
                SESSION: Call(protected_by(auth.current_user), headers=cookie),
                API_KEY: Call(protected_by(auth.current_user), headers=[(b"x-api-key", key)]),
            },
            more={
                f"{NAME}, with install()": {
                    JWT_USER: Call(installed, headers=token),
                    SESSION: Call(installed, headers=cookie),
                }
            },
            log_in=log_in,
            refresh=refresh,
        )


class _Refresh:
    """Exchanges refresh tokens, each for the next one of its chain."""

    def __init__(self, app: FastAPI, get_tokens: Call) -> None:
        self._app = app
        self._get_tokens = get_tokens
        self._idle: list[str] = []

    async def fill(self) -> None:
        """Log in as often as there are to be chains."""
        for _ in range(CHAINS):
            self._idle.append((await expect(self._get_tokens, 200)).json()["refresh_token"])

    async def __call__(self) -> None:
        token = self._idle.pop()
        call = Call.posting(self._app, "/auth/refresh", data={"refresh_token": token})
        self._idle.append((await expect(call, 200)).json()["refresh_token"])


def limited(auth: Auth[User], rate: str) -> FastAPI:
    """Make an application whose endpoint has a rate limit and no guard."""
    app = FastAPI(openapi_url=None)
    app.get("/", dependencies=[Depends(auth.rate_limit(rate))])(ok)
    return app

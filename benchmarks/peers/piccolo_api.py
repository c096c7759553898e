"""piccolo-api: ``JWTMiddleware``, ``SessionsAuthBackend`` and ``TokenAuthBackend`` around an open endpoint."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from piccolo.apps.user.tables import BaseUser
from piccolo_api.jwt_auth.endpoints import jwt_login
from piccolo_api.jwt_auth.middleware import JWTMiddleware
from piccolo_api.session_auth.middleware import SessionsAuthBackend
from piccolo_api.session_auth.tables import SessionsBase
from piccolo_api.token_auth.middleware import TokenAuthBackend
from piccolo_api.token_auth.tables import TokenAuth
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware

from benchmarks.asgi import Call, bearer, expect
from benchmarks.peer import (
    API_KEY,
    JWT,
    JWT_USER,
    PASSWORD,
    SECRET,
    SESSION,
    Argon2,
    Peer,
    protected_by,
)
from benchmarks.places import Place, piccolo_engine

NAME = "piccolo-api"
REFRESHES = False
LOGS_IN = True
TABLES = (BaseUser, SessionsBase, TokenAuth)


class WithoutUser(JWTMiddleware):
    """Its user query left out, to see what the token alone costs."""

    async def get_user(self, token_dict: dict[str, Any]) -> BaseUser | None:
        return _SOMEBODY if token_dict.get("user_id") else None


_SOMEBODY = BaseUser(id=1, username="somebody", password="")


@contextlib.asynccontextmanager
async def running(place: Place, argon2: Argon2) -> AsyncIterator[Peer]:  # noqa: ARG001 - it has PBKDF2 only
    """Run it with one person signed in."""
    async with piccolo_engine(place, TABLES):
        user = await BaseUser.objects().get(BaseUser.username == "piccolo")
        if user is None:
            user = await BaseUser.create_user(
                "piccolo", PASSWORD, email="piccolo@example.com", active=True
            )
        login_app = FastAPI(openapi_url=None)
        login_app.mount("/login", jwt_login(SECRET))
        body = {"username": "piccolo", "password": PASSWORD}
        log_in = Call.posting(login_app, "/login/", data=body)
        token = bearer((await expect(log_in, 200)).json()["token"])
        session = await SessionsBase.create_session(user_id=user.id)
        key = await TokenAuth.create_token(user.id, one_per_user=False)
        yield Peer(
            NAME,
            ways={
                JWT: Call(_behind(WithoutUser), headers=token),
                JWT_USER: Call(_behind(JWTMiddleware), headers=token),
                SESSION: Call(
                    AuthenticationMiddleware(
                        protected_by(), backend=SessionsAuthBackend(admin_only=False)
                    ),
                    headers=[(b"cookie", b"id=" + session.token.encode())],
                ),
                API_KEY: Call(
                    AuthenticationMiddleware(protected_by(), backend=TokenAuthBackend()),
                    headers=bearer(key),
                ),
            },
            log_in=log_in,
        )


def _behind(middleware: type[JWTMiddleware]) -> ExceptionMiddleware:
    return ExceptionMiddleware(middleware(protected_by(), secret=SECRET))

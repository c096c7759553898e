"""The shape that FastAPI's own tutorial teaches: four nested dependencies, ``jwt.decode``, pwdlib on the event loop."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pwdlib import PasswordHash
from pydantic import BaseModel

from benchmarks.asgi import Call, bearer, expect
from benchmarks.peer import JWT, JWT_USER, PASSWORD, SECRET, Argon2, Peer, protected_by
from benchmarks.peers.members import Member, find, members
from benchmarks.places import Place

NAME = "FastAPI tutorial"
REFRESHES = False
LOGS_IN = True


class TokenData(BaseModel):
    """What it reads from a token."""

    username: str


oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")


async def token_data(token: Annotated[str, Depends(oauth2_scheme)]) -> TokenData:
    try:
        payload = jwt.decode(token, SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None
    return TokenData(username=payload["sub"])


@contextlib.asynccontextmanager
async def running(place: Place, argon2: Argon2) -> AsyncIterator[Peer]:  # noqa: C901 - one program, as in the tutorial
    """Run it with one person signed in."""
    hasher = PasswordHash((argon2.hasher(),))
    app = FastAPI(openapi_url=None)
    async with members("tutorial", place, argon2) as table:

        async def somebody(data: Annotated[TokenData, Depends(token_data)]) -> TokenData:
            return data

        async def active(user: Annotated[TokenData, Depends(somebody)]) -> TokenData:
            return user

        async def current_user(data: Annotated[TokenData, Depends(token_data)]) -> Member:
            user = await find(table, data.username)
            if user is None:
                raise HTTPException(401)
            return user

        async def current_active_user(user: Annotated[Member, Depends(current_user)]) -> Member:
            if not user.active:
                raise HTTPException(400)
            return user

        @app.post("/token")
        async def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
            user = await find(table, form.username)
            if user is None or not hasher.verify(form.password, user.password):
                raise HTTPException(401)
            claims = {"sub": user.username, "exp": datetime.now(UTC) + timedelta(minutes=30)}  # noqa: TID251 - as it is taught
            return {"access_token": jwt.encode(claims, SECRET), "token_type": "bearer"}

        form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
        log_in = Call.posting(app, "/token", form=form)
        credential = bearer((await expect(log_in, 200)).json()["access_token"])
        yield Peer(
            NAME,
            ways={
                JWT: Call(protected_by(active), headers=credential),
                JWT_USER: Call(protected_by(current_active_user), headers=credential),
            },
            log_in=log_in,
        )

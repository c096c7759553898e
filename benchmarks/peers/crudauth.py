"""crudauth: bearer (it reads the user on every request) and sessions in its ``DatabaseStore``.

Its passwords are bcrypt, in FastAPI's thread pool; there is no Argon2 to choose.
"""

import contextlib
import logging
from collections.abc import AsyncIterator

from crudauth import AuthUserMixin, BearerTransport, CRUDAuth, DatabaseStore, SessionTransport
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.asgi import Call, bearer, expect
from benchmarks.peer import JWT_USER, PASSWORD, SECRET, SESSION, Argon2, Peer, protected_by
from benchmarks.places import POOL, Place

NAME = "crudauth"
REFRESHES = True
LOGS_IN = True


class Base(DeclarativeBase):
    """Its tables."""


class User(Base, AuthUserMixin):
    """Its user table."""

    __tablename__ = "crudauth_user"
    id: Mapped[int] = mapped_column(primary_key=True)


@contextlib.asynccontextmanager
async def running(place: Place, argon2: Argon2) -> AsyncIterator[Peer]:  # noqa: ARG001 - it has bcrypt only
    """Run it with one person signed in."""
    logging.getLogger("crudauth").setLevel(logging.ERROR)
    engine = create_async_engine(place.for_sqlalchemy, pool_size=POOL, max_overflow=POOL)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    store = DatabaseStore(engine)
    auth = CRUDAuth(
        session=get_session,
        user_model=User,
        SECRET_KEY=SECRET,
        transports=[SessionTransport(), BearerTransport(refresh="body")],
        database_store=store,
    )
    app = FastAPI(openapi_url=None)
    app.include_router(auth.router)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(store.metadata.create_all)
    await auth.initialize()

    body = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
    await expect(Call.posting(app, "/register", data=body), 200, 201, 400, 409, 422)
    form = {"username": "alice", "password": PASSWORD}
    get_tokens = Call.posting(app, "/token", form=form)
    tokens = (await expect(get_tokens, 200)).json()
    answer = await expect(Call.posting(app, "/login", form=form), 200)
    cookies = [value.split(b";")[0] for key, value in answer.headers if key == b"set-cookie"]
    guarded = protected_by(auth.current_user())
    refresh = Call.posting(app, "/refresh", data={"refresh_token": tokens.get("refresh_token")})

    async def exchange() -> None:
        await expect(refresh, 200)

    yield Peer(
        NAME,
        ways={
            JWT_USER: Call(guarded, headers=bearer(tokens["access_token"])),
            SESSION: Call(guarded, headers=[(b"cookie", b"; ".join(cookies))]),
        },
        log_in=get_tokens,
        refresh=exchange,
    )
    await auth.shutdown()
    await engine.dispose()

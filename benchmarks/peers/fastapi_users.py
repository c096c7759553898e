"""fastapi-users with its SQLAlchemy adapter: bearer with ``JWTStrategy``, cookie with ``DatabaseStrategy``.

As its documentation shows it: the strategy of the JWT backend is a synchronous function.
"""

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import (
    AuthenticationBackend,
    BearerTransport,
    CookieTransport,
    JWTStrategy,
)
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users.password import PasswordHelper
from fastapi_users_db_sqlalchemy.access_token import (
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyBaseAccessTokenTableUUID,
)
from pwdlib import PasswordHash
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from benchmarks.asgi import Call, bearer, expect
from benchmarks.peer import (
    JWT,
    JWT_USER,
    PASSWORD,
    SECRET,
    SESSION,
    Argon2,
    Peer,
    protected_by,
)
from benchmarks.places import POOL, Place

NAME = "fastapi-users"
REFRESHES = False
LOGS_IN = True
EMAIL = "alice@example.com"


class Base(DeclarativeBase):
    """Its tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """Its user table."""


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    """Its session table."""


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """Its user manager."""

    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


class InMemory:
    """One person and no database, to see what the token alone costs."""

    def __init__(self, user: User) -> None:
        self._user = user

    async def get(self, user_id: uuid.UUID) -> User | None:
        return self._user if user_id == self._user.id else None


def get_jwt_strategy() -> JWTStrategy[User, uuid.UUID]:
    return JWTStrategy(secret=SECRET, lifetime_seconds=3600)


@contextlib.asynccontextmanager
async def running(place: Place, argon2: Argon2) -> AsyncIterator[Peer]:  # noqa: PLR0915 - one program, as in its documentation
    """Run it with one person signed in."""
    engine = create_async_engine(place.for_sqlalchemy, pool_size=POOL, max_overflow=POOL)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    helper = PasswordHelper(PasswordHash((argon2.hasher(),)))

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    async def get_user_db(
        session: Annotated[AsyncSession, Depends(get_session)],
    ) -> AsyncIterator[SQLAlchemyUserDatabase[User, uuid.UUID]]:
        yield SQLAlchemyUserDatabase(session, User)

    async def get_manager(
        user_db: Annotated[Any, Depends(get_user_db)],
    ) -> AsyncIterator[UserManager]:
        yield UserManager(user_db, helper)

    async def get_access_token_db(
        session: Annotated[AsyncSession, Depends(get_session)],
    ) -> AsyncIterator[SQLAlchemyAccessTokenDatabase[AccessToken]]:
        yield SQLAlchemyAccessTokenDatabase(session, AccessToken)

    def get_database_strategy(
        database: Annotated[Any, Depends(get_access_token_db)],
    ) -> DatabaseStrategy[User, uuid.UUID, AccessToken]:
        return DatabaseStrategy(database, lifetime_seconds=3600)

    jwt = AuthenticationBackend("jwt", BearerTransport("login"), get_jwt_strategy)
    cookie = AuthenticationBackend("cookie", CookieTransport(), get_database_strategy)
    # Two, so that each endpoint knows one way only.
    by_token: FastAPIUsers[User, uuid.UUID] = FastAPIUsers(get_manager, [jwt])
    by_cookie: FastAPIUsers[User, uuid.UUID] = FastAPIUsers(get_manager, [cookie])
    app = FastAPI(openapi_url=None)
    app.include_router(by_token.get_auth_router(jwt), prefix="/jwt")
    app.include_router(by_cookie.get_auth_router(cookie), prefix="/cookie")

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    user = await _person(sessions, helper)
    form = {"username": EMAIL, "password": PASSWORD}
    log_in = Call.posting(app, "/jwt/login", form=form)
    token = bearer((await expect(log_in, 200)).json()["access_token"])
    answer = await expect(Call.posting(app, "/cookie/login", form=form), 204)
    session_cookie = [(b"cookie", answer.cookie("fastapiusersauth"))]
    yield Peer(
        NAME,
        ways={
            JWT: Call(protected_by(_in_memory(user, helper)), headers=token),
            JWT_USER: Call(protected_by(by_token.current_user(active=True)), headers=token),
            SESSION: Call(
                protected_by(by_cookie.current_user(active=True)), headers=session_cookie
            ),
        },
        log_in=log_in,
    )
    await engine.dispose()


async def _person(sessions: async_sessionmaker[AsyncSession], helper: PasswordHelper) -> User:
    async with sessions() as session:
        user = await session.scalar(select(User).where(User.email == EMAIL))  # type: ignore[arg-type]
        if user is None:
            user = User(email=EMAIL, hashed_password=helper.hash(PASSWORD))
            user.is_active, user.is_verified, user.is_superuser = True, True, False
            session.add(user)
            await session.commit()
        return user


def _in_memory(user: User, helper: PasswordHelper) -> Any:
    async def get_manager() -> AsyncIterator[UserManager]:
        yield UserManager(InMemory(user), helper)  # type: ignore[arg-type]

    jwt = AuthenticationBackend("jwt", BearerTransport("login"), get_jwt_strategy)
    users: FastAPIUsers[User, uuid.UUID] = FastAPIUsers(get_manager, [jwt])
    return users.current_user(active=True)

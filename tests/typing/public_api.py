"""Never run, only type-checked: what the public names mean to a type checker."""

from typing import assert_type

from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from piccolo_fastapi_auth import Auth, AuthUser, Principal, Session, User


class Member(AuthUser, tablename="member"):
    """An application's own user."""


async def inferred(connection: HTTPConnection, scopes: SecurityScopes) -> None:
    """The user type follows ``user_table``; without one it is the shipped ``User``."""
    shipped, own = Auth(), Auth(user_table=Member)
    assert_type(shipped, Auth[User])
    assert_type(own, Auth[Member])
    assert_type(await own.current_user(connection, scopes), Member)
    assert_type(await own.optional_user(connection, scopes), Member | None)
    assert_type(await own.require(mfa=True)(connection, scopes), Member)
    assert_type(await own.current_session(connection, scopes), Session)
    assert_type(await own.principal(connection, scopes), Principal)

"""Whom a rate limit counts: the person or the session behind a request. No second query beside a guard's."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, cast, get_args

from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.errors import AuthError
from piccolo_fastapi_auth.rate_limits.dependencies import KeyFunction
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
SignedInAs = Literal["user", "session"]
KeyName = Literal["address"] | SignedInAs


@dataclass(frozen=True, slots=True)
class SignedInKey(Generic[UserT]):
    """A key function; ``None``, and so the address, for whoever brings no credential or a bad one."""

    authenticator: Authenticator[UserT]
    what: SignedInAs

    async def __call__(self, connection: HTTPConnection) -> str | None:
        """Name the caller: from a token without the database, from a cookie or an API key with the query that guards share."""
        try:
            named = await self.authenticator.named(connection)
        except (
            AuthError
        ):  # the guard will refuse; until then it is a stranger, who counts by address
            return None
        if named is None:
            return None
        return named[0] if self.what == "user" else named[1]


def key_function(
    key: KeyName | KeyFunction, authenticator: Authenticator[UserT]
) -> KeyFunction | None:
    """Return the function that a name stands for; ``None`` is the address.

    Raises:
        ValueError: The name stands for nothing.
    """
    if not isinstance(key, str):
        return key
    if key in get_args(SignedInAs):
        return SignedInKey(authenticator, cast("SignedInAs", key))
    if key != "address":
        raise ValueError(f"the key {key!r} is none of 'address', 'user' and 'session'")
    return None

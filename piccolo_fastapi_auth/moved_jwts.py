"""JWTs that Piccolo API handed out before the move, good until they expire; the setting ``moved_jwt_secrets`` adds it."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Generic, TypeVar

from fastapi.security.base import SecurityBase
from jose import jwk
from jose.exceptions import JOSEError
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.errors import InvalidTokenError, TokenExpiredError
from piccolo_fastapi_auth.primitives import jws, jwt_claims
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.transport import bearer_token
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
Holder = Callable[[str], Awaitable[UserT | None]]

TRANSPORT: Final = "moved_jwt"
MAX_TOKEN_LENGTH: Final = 4096
_HEADER: Final = {"alg": "HS256", "typ": "JWT"}


class MovedJwts(Generic[UserT]):
    """Verifies Piccolo API's JWTs: HS256, ``user_id`` and ``exp``.

    They cannot be revoked one by one; ``holder`` says who may still use one, and returns that person.
    """

    scheme: SecurityBase | None = None  # the scheme of access tokens stands for these too

    def __init__(
        self,
        secrets: Sequence[SecretStr],
        *,
        holder: Holder[UserT],
        clock: Clock,
    ) -> None:
        self._keys = [jwk.construct(one.get_secret_value(), "HS256") for one in secrets]
        self._holder = holder
        self._clock = clock

    def credential(self, connection: HTTPConnection) -> str | None:
        """Return the bearer token, if its header is Piccolo API's: ours say that they are ``at+jwt``."""
        token = bearer_token(connection)
        if token is None or len(token) > MAX_TOKEN_LENGTH:
            return None
        try:
            header = jws.members(token.partition(".")[0])
        except (ValueError, RecursionError):
            return None
        return token if header == _HEADER else None

    async def authenticate(
        self, credential: str, connection: HTTPConnection
    ) -> Authenticated[UserT]:
        """Return whose token it is. An inactive person is refused by whoever asks this.

        Raises:
            TokenExpiredError: It is genuine and too old.
            InvalidTokenError: It is not good, or not good any more.
        """
        del connection
        name, expires_at = self._read(credential)
        if self._clock() >= expires_at:
            raise TokenExpiredError
        user = await self._holder(name)
        if user is None:
            raise InvalidTokenError
        return Authenticated(
            transport=TRANSPORT, user=user, methods=("password",), expires_at=expires_at
        )

    def _read(self, token: str) -> tuple[str, datetime]:
        try:
            claims = jws.verified(token, keys_for=self._keys_for, longest=MAX_TOKEN_LENGTH)
            return _name_of(claims.get("user_id")), jwt_claims.moment(claims.get("exp"))
        except (ValueError, RecursionError, JOSEError):
            raise InvalidTokenError from None

    def _keys_for(self, segment: str) -> Sequence[jws.Verifier]:
        if jws.members(segment) != _HEADER:
            raise ValueError("another algorithm or another kind of token")
        return self._keys


def _name_of(key: object) -> str:
    """Read a person's key as the text that ``sub`` would be: a number or a UUID."""
    if type(key) is int:  # the exact type: True is an int to isinstance
        return str(key)
    return jwt_claims.name(key)

"""The tokens of Piccolo API that were moved, as a credential of requests."""

from typing import Generic, TypeVar

from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.api_keys.keys import Presented
from piccolo_fastapi_auth.api_keys.moved import OLD_TOKEN, MovedKey
from piccolo_fastapi_auth.api_keys.service import ApiKeyService
from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.errors import InvalidTokenError
from piccolo_fastapi_auth.transport import bearer_token
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class MovedTokens(Generic[UserT]):
    """Knows the tokens that were moved, which come as ``Authorization: Bearer``; the setting ``moved_tokens`` adds it."""

    scheme: SecurityBase | None = None  # the scheme of API keys stands for these too

    def __init__(self, api_keys: ApiKeyService[UserT]) -> None:
        self._api_keys = api_keys

    def credential(self, connection: HTTPConnection) -> str | None:
        """Return the token that came, if it has their form, which nothing of ours has."""
        token = bearer_token(connection)
        return token if token and OLD_TOKEN.fullmatch(token) else None

    async def authenticate(
        self, credential: str, connection: HTTPConnection
    ) -> Authenticated[UserT]:
        """Return what a token proves.

        Raises:
            InvalidTokenError: Unknown, revoked or expired, or its owner is not active.
        """
        del connection
        if not OLD_TOKEN.fullmatch(credential):
            raise InvalidTokenError
        moved = MovedKey.of(credential)
        return await self._api_keys.prove(Presented(moved.id, moved.secret_hash))

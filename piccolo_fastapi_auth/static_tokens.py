"""Tokens between services, fixed in the settings: a ``Principal`` without a person."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Generic, TypeVar

from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.errors import InvalidTokenError
from piccolo_fastapi_auth.setting_types import StaticToken
from piccolo_fastapi_auth.transport import API_KEY_HEADER, bearer_token
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

TRANSPORT = "static_token"


class StaticTokens(Generic[UserT]):
    """Knows the static tokens, which come as ``Authorization: Bearer`` or ``X-API-Key`` like an API key."""

    scheme: SecurityBase | None = None  # the scheme of API keys stands for these too

    def __init__(self, tokens: Mapping[str, StaticToken]) -> None:
        self._tokens = [(name, token.digest, token.scopes) for name, token in tokens.items()]

    def credential(self, connection: HTTPConnection) -> str | None:
        """Return the token that came, if it is one of these."""
        token = connection.headers.get(API_KEY_HEADER) or bearer_token(connection)
        return token if token and self._find(token) else None

    async def authenticate(
        self, credential: str, connection: HTTPConnection
    ) -> Authenticated[UserT]:
        """Say which service it is."""
        del connection
        found = self._find(credential)
        if found is None:
            raise InvalidTokenError
        name, scopes = found
        return Authenticated(transport=TRANSPORT, user=None, scopes=scopes, credential_id=name)

    def _find(self, token: str) -> tuple[str, tuple[str, ...]] | None:
        """Compare with every token, to the last one, in time that says nothing about any."""
        digest, found = sha256(token.encode()).digest(), None
        for name, known, scopes in self._tokens:
            if hmac.compare_digest(digest, known):
                found = (name, scopes)
        return found

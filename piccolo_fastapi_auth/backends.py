"""Credentials that an application adds to ours, and which of them answers for a request."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.errors import InvalidRequestError, InvalidTokenError
from piccolo_fastapi_auth.transport import ApiKeyCredential, BearerCredential, Credential
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class AuthBackend(Protocol[UserT]):
    """A kind of credential that an application adds: ``Auth(backends=[...])``.

    Of the backends that see a credential the first one answers for it. An inactive person is refused whatever
    a backend says. Whoever reads a cookie must check ``Origin``: nobody else does it then.
    """

    @property
    def scheme(self) -> SecurityBase | None:
        """Its place in the OpenAPI document, such as ``APIKeyHeader(name=..., scheme_name=...)``."""
        ...

    def credential(self, connection: HTTPConnection) -> str | None:
        """Return its credential as it came, good or bad, without any I/O; ``None`` when there is none for it."""
        ...

    async def authenticate(
        self, credential: str, connection: HTTPConnection
    ) -> Authenticated[UserT]:
        """Return what the credential proves.

        Raises:
            AuthError: It is not good.
        """
        ...


class Backends(Generic[UserT]):
    """The added backends of one ``Auth``, in order."""

    def __init__(self, backends: Sequence[AuthBackend[UserT]]) -> None:
        self._backends = tuple(backends)

    def choose(
        self, connection: HTTPConnection, came: Credential | None
    ) -> tuple[AuthBackend[UserT], str] | None:
        """Return the backend that answers for the request, with its credential.

        ``came`` is what our own transports see; a backend may read the same header.

        Raises:
            InvalidRequestError: Two different credentials came.
        """
        if not self._backends:
            return None
        seen = [
            (one, text)
            for one in self._backends
            if (text := one.credential(connection)) is not None
        ]
        if not seen:
            return None
        texts = {text for _, text in seen}
        shared = isinstance(came, BearerCredential | ApiKeyCredential) and came.token in texts
        if len(texts) > 1 or (came is not None and not shared):
            raise InvalidRequestError
        return seen[0]

    async def authenticate(
        self, backend: AuthBackend[UserT], credential: str, connection: HTTPConnection
    ) -> Authenticated[UserT]:
        """Return what a credential proves.

        Raises:
            AuthError: It is not good, or its person is not active.
        """
        found = await backend.authenticate(credential, connection)
        if found.user is not None and not found.user.active:
            raise InvalidTokenError
        return found

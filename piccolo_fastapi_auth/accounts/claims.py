"""What a request brings along that shows whose account it is about, beside the link itself."""

from typing import Generic, TypeVar

from fastapi import Request
from pydantic import SecretStr

from piccolo_fastapi_auth.accounts.ownership import Claim
from piccolo_fastapi_auth.errors import AuthError
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class Claims(Generic[UserT]):
    """Reads claims from requests."""

    def __init__(self, *, transport: Transport, authenticator: Authenticator[UserT]) -> None:
        self._transport = transport
        self._authenticator = authenticator

    async def of(self, request: Request, password: SecretStr | None = None) -> Claim:
        """Return the claim that a request makes. A credential that is no good claims nothing."""
        try:
            user_id = (await self._authenticator.required(request)).session.user_id
        except AuthError:
            user_id = None
        return Claim(
            caller=self._transport.caller(request),
            user_id=user_id,
            signup_cookie=self._transport.signup_cookie(request),
            password=None if password is None else password.get_secret_value(),
        )

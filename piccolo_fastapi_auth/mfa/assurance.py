"""Who must use a second factor, and what to say to those who did not."""

from typing import Generic, TypeVar

from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.errors import (
    CredentialNotAcceptedError,
    MfaEnrolmentRequiredError,
    ReauthenticationRequiredError,
)
from piccolo_fastapi_auth.mfa.service import MfaService
from piccolo_fastapi_auth.sessions.records import Identity
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class Assurance(Generic[UserT]):
    """The setting ``require_mfa``, and ``auth.require(mfa=True)``."""

    def __init__(self, settings: AuthSettings, mfa: MfaService) -> None:
        self._policy = settings.require_mfa
        self._mfa = mfa

    async def check_policy(self, found: Identity[UserT] | Authenticated[UserT]) -> None:
        """Refuse somebody who must use a second factor and did not.

        An API key is as strong as the log-in that made it.

        Raises:
            ReauthenticationRequiredError: They have one.
            MfaEnrolmentRequiredError: They have none: only the enrolment routes are open to them.
            CredentialNotAcceptedError: The API key was made without one.
        """
        if found.user is None or not self.concerns(
            is_admin=bool(found.user.admin or found.user.superuser)
        ):
            return
        if not isinstance(found, Authenticated):
            await self.demand(found)
        elif not self._mfa.is_multi_factor(found.methods):
            raise CredentialNotAcceptedError(
                "A second factor is required, and this was made without one."
            )

    def concerns(self, *, is_admin: bool) -> bool:
        """Say whether the policy asks a second factor of somebody."""
        return self._policy == "everyone" or (self._policy == "admins" and is_admin)

    async def demand(self, identity: Identity[UserT]) -> None:
        """Refuse a log-in without a second factor that counts.

        Raises:
            ReauthenticationRequiredError: The person has one.
            MfaEnrolmentRequiredError: They have none.
        """
        session = identity.session
        if self._mfa.is_multi_factor(session.methods):
            return
        if await self._mfa.has_credited(session.user_id):
            methods = await self._mfa.strongest(session.user_id)
            raise ReauthenticationRequiredError(methods=methods)
        raise MfaEnrolmentRequiredError

    async def demand_strongest(self, identity: Identity[UserT]) -> None:
        """Refuse a log-in that is weaker than the person's second factors allow (ASVS 7.5.1).

        Raises:
            ReauthenticationRequiredError: It is.
        """
        session = identity.session
        if self._mfa.is_multi_factor(session.methods):
            return
        two_steps = bool(set(session.methods) - {"password"})
        if await (self._mfa.has_credited if two_steps else self._mfa.is_enrolled)(session.user_id):
            methods = await self._mfa.strongest(session.user_id)
            raise ReauthenticationRequiredError(methods=methods)

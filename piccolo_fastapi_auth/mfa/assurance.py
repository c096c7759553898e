"""Who must use a second factor, and what to say to those who did not."""

from typing import Generic, TypeVar

from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.errors import (
    CredentialNotAcceptedError,
    MfaEnrolmentRequiredError,
    ReauthenticationRequiredError,
)
from piccolo_fastapi_auth.mfa.service import MfaService
from piccolo_fastapi_auth.sessions.amr import is_multi_factor
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
        if found.user is None or not self._binds(found.user):
            return
        if not isinstance(found, Authenticated):
            await self.demand(found)
        elif not is_multi_factor(found.methods):
            raise CredentialNotAcceptedError(
                "A second factor is required, and this was made without one."
            )

    def _binds(self, user: UserT) -> bool:
        return self._policy == "everyone" or (
            self._policy == "admins" and (user.admin or user.superuser)
        )

    async def demand(self, identity: Identity[UserT]) -> None:
        """Refuse a log-in without a second factor.

        Raises:
            ReauthenticationRequiredError: The person has one.
            MfaEnrolmentRequiredError: They have none.
        """
        await self.demand_if_enrolled(identity)
        if not is_multi_factor(identity.session.methods):
            raise MfaEnrolmentRequiredError

    async def demand_if_enrolled(self, identity: Identity[UserT]) -> None:
        """Refuse a log-in without the second factor that the person has.

        Raises:
            ReauthenticationRequiredError: It was not used.
        """
        if is_multi_factor(identity.session.methods):
            return
        if await self._mfa.is_enrolled(identity.session.user_id):
            methods = await self._mfa.usable(identity.session.user_id)
            raise ReauthenticationRequiredError(methods=methods)

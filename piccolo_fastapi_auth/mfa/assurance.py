"""Who must use a second factor, and what to say to those who did not."""

from typing import Generic, TypeVar

from piccolo_fastapi_auth.errors import MfaEnrolmentRequiredError, ReauthenticationRequiredError
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

    async def check_policy(self, identity: Identity[UserT]) -> None:
        """Refuse somebody who must use a second factor and did not.

        Raises:
            ReauthenticationRequiredError: They have one.
            MfaEnrolmentRequiredError: They have none: only the enrolment routes are open to them.
        """
        user = identity.user
        if self._policy == "everyone" or (
            self._policy == "admins" and (user.admin or user.superuser)
        ):
            await self.demand(identity)

    async def demand(self, identity: Identity[UserT]) -> None:
        """Refuse a log-in without a second factor.

        Raises:
            ReauthenticationRequiredError: The person has one.
            MfaEnrolmentRequiredError: They have none.
        """
        if is_multi_factor(identity.session.methods):
            return
        if await self._mfa.is_enrolled(identity.session.user_id):
            methods = await self._mfa.usable(identity.session.user_id)
            raise ReauthenticationRequiredError(methods=methods)
        raise MfaEnrolmentRequiredError

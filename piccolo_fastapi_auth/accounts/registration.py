"""Signing up: openly, by invitation, or with an address that must be proven first."""

from typing import Generic, TypeVar

from piccolo_fastapi_auth.accounts.service import AccountService
from piccolo_fastapi_auth.accounts.signup_proof import SignupProof
from piccolo_fastapi_auth.accounts.verification import VerificationService
from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import UserExistsError
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class Registration(Generic[UserT]):
    """Sign-ups whose answer tells nobody whether a name or an address is known (ENU-2)."""

    def __init__(
        self,
        *,
        database: Database,
        users: UserService[UserT],
        accounts: AccountService[UserT],
        verification: VerificationService[UserT],
        signup_proof: SignupProof,
        events: Events,
    ) -> None:
        self._database = database
        self._users = users
        self._accounts = accounts
        self._verification = verification
        self._signup_proof = signup_proof
        self._events = events

    async def apply(
        self, *, username: str, email: str, password: str, caller: Caller, signup_cookie: str | None
    ) -> str:
        """Make an account that may log in once its address is proven, unless the name or the address is taken.

        Either way a mail says what to do next.

        Returns:
            The cookie by which this browser is known when the link is opened.

        Raises:
            PasswordRejectedError: The password is too short or too common.
        """
        await self._accounts.check_policy(password, context=[username, email])
        password_hash = await self._users.hash(password)
        try:
            async with self._database.atomic():
                user_id = await self._users.create(
                    username=username, email=email, password_hash=password_hash
                )
                await self._events.record("user.registered", user=user_id)
        except UserExistsError:
            # One row is written here too: a clock shall not tell the two cases apart.
            taken = await self._users.candidate(username) or await self._users.candidate(email)
            if taken is not None:
                await self._users.hold(taken.user_id)
        await self._verification.welcome(email, caller)
        return self._signup_proof.make(password_hash, before=signup_cookie)

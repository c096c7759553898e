"""What people do with their account: sign up, change the password, write the profile, leave."""

import functools
from collections.abc import Sequence
from typing import Generic, TypeVar
from uuid import UUID

from piccolo_fastapi_auth.accounts.credentials import EndOfAll
from piccolo_fastapi_auth.accounts.links import AccountLinks
from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.breaches import BreachCheck
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import InvalidCredentialsError, PasswordRejectedError
from piccolo_fastapi_auth.mail.outbox import Outbox
from piccolo_fastapi_auth.mfa.method import Proof
from piccolo_fastapi_auth.mfa.proof import Prover
from piccolo_fastapi_auth.password_gate import PasswordGate
from piccolo_fastapi_auth.primitives import password_policy
from piccolo_fastapi_auth.sessions.records import Identity
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class AccountService(Generic[UserT]):
    """Accounts of one ``Auth``."""

    def __init__(
        self,
        settings: AuthSettings,
        *,
        database: Database,
        users: UserService[UserT],
        sessions: SessionService[UserT],
        prover: Prover[UserT],
        gate: PasswordGate[UserT],
        links: AccountLinks[UserT],
        outbox: Outbox,
        events: Events,
        end_keys: EndOfAll,
        breaches: BreachCheck | None = None,
    ) -> None:
        self._events = events
        self._settings = settings
        self._database = database
        self._users = users
        self._sessions = sessions
        self._prover = prover
        self._gate = gate
        self._links = links
        self._outbox = outbox
        self._end_keys = end_keys
        self._breaches = breaches

    async def register(self, *, username: str, email: str, password: str) -> object:
        """Make an account that may log in; return its primary key.

        Raises:
            PasswordRejectedError: The password is too short or too common.
            UserExistsError: The username or the address is taken.
        """
        await self.check_policy(password, context=[username, email])
        password_hash = await self._users.hash(password)
        async with self._database.atomic():
            user_id = await self._users.create(
                username=username, email=email, password_hash=password_hash
            )
            await self._events.record("user.registered", user=user_id)
        return user_id

    async def change_password(
        self, identity: Identity[UserT], *, current: str, new: str, caller: Caller
    ) -> None:
        """Change a password; every other session, every open link and every API key ends (ASVS 6.2.3, 7.4.3).

        Raises:
            InvalidCredentialsError: The current password is wrong.
            PasswordRejectedError: The new one is too short or too common.
        """
        user, session = identity.user, identity.session
        candidate = await self._gate.prove(session.user_id, current, caller)
        await self.check_policy(new, context=[user.username, user.email])
        password_hash = await self._users.hash(new)
        async with self._database.atomic():
            if not await self._users.change_password(candidate, password_hash=password_hash):
                raise InvalidCredentialsError  # it was changed in this very moment
            ended = await self._sessions.end_all(session.user_id, but=session.id)
            await self._links.end_open(session.user_id)
            await self._end_keys(session.user_id)
            await self._events.record(
                "password.changed", user=session.user_id, detail={"sessions_ended": ended}
            )
        if user.email:
            self._outbox.post("password_changed", to=user.email, values={})

    async def delete(
        self,
        user_id: object,
        proof: Proof,
        *,
        email: str,
        caller: Caller,
        session_id: UUID | None = None,
    ) -> None:
        """Delete an account and everything that points at it.

        Raises:
            AuthError: The proof is not good enough; see `Prover.prove`.
        """
        candidate, _ = await self._prover.prove(user_id, proof, caller, session_id=session_id)
        async with self._database.atomic():
            await self._events.forget(user_id)
            # Before the deletion: hooks learn the key, and the database empties it in the row.
            await self._events.record("user.deleted", user=user_id, anonymous=True)
            if not await self._users.delete(candidate):
                raise InvalidCredentialsError  # the password was changed in this very moment
        if email:
            self._outbox.post("account_deleted", to=email, values={})

    async def check_policy(self, password: str, *, context: Sequence[str]) -> None:
        """Hold a new password against the policy (NIST SP 800-63B-4 section 3.1.1.2).

        Raises:
            PasswordRejectedError: With the reason.
            TemporarilyUnavailableError: The breach check does not answer, and is told to refuse then.
        """
        words = [*self._settings.password_words, *context]
        # Off the event loop: the first check loads the list of common passwords.
        against = await self._users.off_the_loop(
            functools.partial(
                password_policy.reason_against,
                password,
                min_length=self._settings.password_min_length,
                context=words,
            )
        )
        if against is not None:
            reason, message = against
            raise PasswordRejectedError(reason, message)
        if self._breaches is not None and await self._breaches.is_breached(password):
            raise PasswordRejectedError("breached", "The password is known from a data breach.")

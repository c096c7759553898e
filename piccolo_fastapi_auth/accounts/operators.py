"""What operators do to accounts, by command line: make, stop, let in again, set a password, clean up."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from piccolo_fastapi_auth.accounts.credentials import EndOfAll
from piccolo_fastapi_auth.accounts.service import AccountService
from piccolo_fastapi_auth.audit.event import Action
from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import NotFoundError
from piccolo_fastapi_auth.one_time_tokens.service import OneTimeTokens
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.users.names import checked_address, checked_username
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class Operators(Generic[UserT]):
    """Accounts, seen by those who run the application. The same rules hold for names and passwords as for everybody."""

    def __init__(
        self,
        *,
        database: Database,
        users: UserService[UserT],
        accounts: AccountService[UserT],
        sessions: SessionService[UserT],
        tokens: OneTimeTokens,
        events: Events,
        end_keys: EndOfAll,
    ) -> None:
        self._database = database
        self._users = users
        self._accounts = accounts
        self._sessions = sessions
        self._tokens = tokens
        self._events = events
        self._end_keys = end_keys

    async def create(
        self, *, username: str, email: str, password: str, more: Mapping[str, object]
    ) -> object:
        """Make an active person, with ``more`` columns of the user table; return the primary key.

        Raises:
            ValueError: The username or the address is no good.
            PasswordRejectedError: The password is too short or too common.
            UserExistsError: The username or the address is taken.
        """
        name, address = checked_username(username), checked_address(email)
        await self._accounts.check_policy(password, context=[name, address])
        password_hash = await self._users.hash(password)
        async with self._database.atomic():
            key = await self._users.create(
                username=name, email=address, password_hash=password_hash
            )
            await self._users.update_profile(key, more)
            await self._events.record("user.registered", user=key)
        return key

    async def set_active(self, identifier: str, *, active: bool) -> None:
        """Let a person in again, or stop them: then everything that they could present ends, too.

        Raises:
            NotFoundError: There is nobody of that name.
        """
        user_id = await self._user_id(identifier)
        async with self._database.atomic():
            changed = await self._users.set_active(user_id, active=active)
            if not active:
                await self._end_everything(user_id)
            if changed:
                action: Action = "user.activated" if active else "user.deactivated"
                await self._events.record(action, user=user_id)

    async def set_password(self, identifier: str, password: str) -> None:
        """Set a password and end what the person could present. Second factors stay.

        Raises:
            NotFoundError: There is nobody of that name.
            PasswordRejectedError: The password is too short or too common.
        """
        user_id = await self._user_id(identifier)
        names = await self._users.identifiers.shown(user_id)
        await self._accounts.check_policy(password, context=names)
        password_hash = await self._users.hash(password)
        async with self._database.atomic():
            await self._users.set_password(user_id, password_hash=password_hash)
            await self._end_everything(user_id)
            await self._end_keys(user_id)
            await self._events.record("password.reset", user=user_id)

    async def clean(self, *, batch: int) -> Mapping[str, int]:
        """Delete what has expired, a batch at a time; return how many rows of each kind.

        Every query looks at the expiry itself, so nothing depends on this: it keeps tables small. Several may run at once.
        """
        gone = dict.fromkeys(("sessions", "one-time tokens"), 0)
        for kind, clean in zip(gone, (self._sessions.clean, self._tokens.clean), strict=True):
            while count := await clean(most=batch):
                gone[kind] += count
        return gone

    async def _user_id(self, identifier: str) -> object:
        candidate = await self._users.candidate(identifier)
        if candidate is None:
            raise NotFoundError("There is nobody of that name.")
        return candidate.user_id

    async def _end_everything(self, user_id: object) -> None:
        await self._sessions.end_all(user_id)
        await self._tokens.end_all(user_id)

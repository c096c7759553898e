"""A new password by mail: asked for by anybody, chosen by whoever has the mailbox (OWASP Forgot Password)."""

import functools
from typing import Generic, TypeVar

from piccolo_fastapi_auth.accounts.credentials import EndOfAll
from piccolo_fastapi_auth.accounts.links import RESET, AccountLinks
from piccolo_fastapi_auth.accounts.mail_gate import MailGate
from piccolo_fastapi_auth.accounts.ownership import Ownership
from piccolo_fastapi_auth.accounts.service import AccountService
from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import InvalidLinkError, NotFoundError
from piccolo_fastapi_auth.mail.outbox import Outbox
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.users.address_book import AddressBook, Holder
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class PasswordRecovery(Generic[UserT]):
    """Forgotten passwords of one ``Auth``."""

    def __init__(
        self,
        *,
        database: Database,
        users: UserService[UserT],
        book: AddressBook[UserT],
        links: AccountLinks[UserT],
        gate: MailGate,
        ownership: Ownership[UserT],
        accounts: AccountService[UserT],
        sessions: SessionService[UserT],
        outbox: Outbox,
        events: Events,
        end_keys: EndOfAll,
    ) -> None:
        self._events = events
        self._database = database
        self._users = users
        self._book = book
        self._links = links
        self._gate = gate
        self._ownership = ownership
        self._accounts = accounts
        self._sessions = sessions
        self._outbox = outbox
        self._end_keys = end_keys

    async def forgot(self, address: str, caller: Caller) -> None:
        """Mail a link to choose a new password, if somebody has the address. The account stays as it is (RST-3)."""

        async def work() -> None:
            holder = await self._book.holder(address)
            if holder is not None:
                await self._start(holder, caller)

        await self._gate.ask(RESET, address, caller, work)

    async def start(self, user_id: object) -> None:
        """Mail a person the link, because an administrator wants it (ADM-1, ASVS 6.4.6).

        Raises:
            NotFoundError: There is no such person, or no address of theirs.
        """
        holder = await self._book.of_user(user_id)
        if holder is None or not holder.email:
            raise NotFoundError
        await self._start(holder, None)

    async def _start(self, holder: Holder, caller: Caller | None) -> None:
        record = functools.partial(
            self._events.record, "password.reset_requested", user=holder.user_id, caller=caller
        )
        await self._links.send(
            holder.user_id, RESET, to=holder.email, binding=holder.email, beside=record
        )

    async def reset(self, token: str, password: str) -> None:
        """Set a new password and end every session, family, challenge, link and API key (RST-4). It logs nobody in.

        Second factors stay, and are asked for at the next log-in (RST-5, ASVS 6.4.3); where the address was not
        proven before, they may be a stranger's and go.

        Raises:
            InvalidLinkError: The link is not good.
            PasswordRejectedError: The password is too short or too common; the link stays good.
        """
        holder = (await self._links.look_at(token, RESET)).holder
        await self._accounts.check_policy(password, context=[holder.username, holder.email])
        password_hash = await self._users.hash(password)
        async with self._database.atomic():
            holder = (await self._links.use_up(token, RESET)).holder
            if not holder.verified:
                await self._ownership.empty(holder, password_hash=password_hash)
            elif not await self._users.change_password(
                holder.candidate, password_hash=password_hash
            ):
                raise InvalidLinkError  # it was changed in this very moment
            await self._book.prove(holder.user_id, holder.email)
            await self._links.end_open(holder.user_id)
            await self._sessions.end_all(holder.user_id)
            await self._end_keys(holder.user_id)
            await self._events.record("password.reset", user=holder.user_id)
        self._outbox.post("password_changed", to=holder.email, values={})

"""Proving the address of an account, and moving an account to another one."""

from collections.abc import Mapping
from typing import Generic, TypeVar, cast

from piccolo_fastapi_auth.accounts.links import CHANGE, UNDO, VERIFY, AccountLinks, Redeemed
from piccolo_fastapi_auth.accounts.mail_gate import MailGate
from piccolo_fastapi_auth.accounts.ownership import Claim, Ownership
from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import InvalidLinkError
from piccolo_fastapi_auth.mail.outbox import Outbox
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.users.address_book import AddressBook, Holder
from piccolo_fastapi_auth.users.service import canonical_address
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class VerificationService(Generic[UserT]):
    """Addresses and their proofs, for one ``Auth``."""

    def __init__(
        self,
        *,
        database: Database,
        book: AddressBook[UserT],
        links: AccountLinks[UserT],
        gate: MailGate,
        ownership: Ownership[UserT],
        sessions: SessionService[UserT],
        outbox: Outbox,
        events: Events,
    ) -> None:
        self._events = events
        self._database = database
        self._book = book
        self._links = links
        self._gate = gate
        self._ownership = ownership
        self._sessions = sessions
        self._outbox = outbox

    async def request(self, address: str, caller: Caller) -> None:
        """Mail a link that proves an address, if somebody has it and has not proved it yet."""

        async def work() -> None:
            holder = await self._book.holder(address)
            if holder is not None and not holder.verified:
                await self._send(holder)

        await self._gate.ask(VERIFY, address, caller, work)

    async def welcome(self, address: str, caller: Caller) -> None:
        """Mail to an address with which somebody just signed up: the link, or that it has an account already (ENU-2)."""

        async def work() -> None:
            holder = await self._book.holder(address)
            if holder is not None and holder.verified:
                self._outbox.post("already_registered", to=holder.email, values={})
            elif holder is not None:
                await self._send(holder)
            elif not await self._book.is_taken(canonical_address(address)):
                self._outbox.post("username_taken", to=address, values={})

        await self._gate.ask("welcome", address, caller, work)

    async def _send(self, holder: Holder) -> None:
        await self._links.send(holder.user_id, VERIFY, to=holder.email, binding=holder.email)

    async def confirm(self, token: str, claim: Claim) -> None:
        """Use a link up that proves an address: the account's own, or the one that it moves to.

        Raises:
            InvalidLinkError: It is not good.
            UserExistsError: Somebody else has the new address by now.
            InvalidCredentialsError: A password came along and is wrong.
        """
        seen = await self._links.look_at(token, VERIFY, CHANGE)
        own = seen.purpose == CHANGE or await self._ownership.is_own(seen.holder, claim)
        async with self._database.atomic():
            link = await self._links.use_up(token, VERIFY, CHANGE)
            if link.purpose == VERIFY:
                await self._ownership.take(link.holder, own=own)
                await self._events.record("email.verified", user=link.holder.user_id)
                return
            await self._move(link, to=_text(link.pending.data, "email"))
            await self._links.end_open(link.holder.user_id)
            await self._events.record("email.changed", user=link.holder.user_id)
        self._tell_the_old(link)

    async def ask_to_change(self, user_id: object, address: str, caller: Caller) -> None:
        """Mail a link to a new address; nothing changes before it is used (EML-4). A taken one answers alike (ENU-5)."""

        async def work() -> None:
            holder = await self._book.of_user(user_id)
            new = canonical_address(address)
            if holder is None or await self._book.is_taken(new, but=user_id):
                return
            data = {"email": new}
            await self._links.send(user_id, CHANGE, to=new, binding=holder.email, data=data)

        await self._events.record("email.change_requested", user=user_id)
        await self._gate.ask(CHANGE, address, caller, work)

    async def undo_change(self, token: str) -> None:
        """Give an account its old address back; every session ends.

        Raises:
            InvalidLinkError: The link is not good.
            UserExistsError: Somebody else has the old address by now.
        """
        async with self._database.atomic():
            link = await self._links.use_up(token, UNDO)
            await self._move(link, to=_text(link.pending.data, "email"))
            await self._links.end_open(link.holder.user_id)
            await self._sessions.end_all(link.holder.user_id)
            await self._events.record(
                "email.changed", user=link.holder.user_id, detail={"undone": True}
            )

    async def _move(self, link: Redeemed, *, to: str) -> None:
        holder = link.holder
        if not await self._book.move(holder.user_id, old=holder.email, new=to):
            raise InvalidLinkError

    def _tell_the_old(self, link: Redeemed) -> None:
        """Mail the old address that it was replaced, with a link that takes it back."""
        holder = link.holder

        async def work() -> None:
            data = {"email": holder.email}
            await self._links.send(
                holder.user_id, UNDO, to=holder.email, binding=holder.email, data=data
            )

        self._outbox.defer(work)


def _text(data: Mapping[str, object], name: str) -> str:
    return cast("str", data[name])

"""Links in mails: issued, mailed, looked at, used up. Each is bound to a purpose, a person and an address."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Generic, TypeVar

from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import InvalidLinkError
from piccolo_fastapi_auth.mail.links import Links
from piccolo_fastapi_auth.mail.outbox import Outbox
from piccolo_fastapi_auth.one_time_tokens.service import OneTimeTokens, Pending, bound
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.users.address_book import AddressBook, Holder
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

VERIFY: Final = "verify_email"
CHANGE: Final = "change_email"
UNDO: Final = "undo_email_change"
RESET: Final = "reset_password"
MAGIC: Final = "magic_link"
INVITATION: Final = "invitation"
# What outlives a change of password or address: an undo link exists because of one.
LASTING: Final = (UNDO, INVITATION)
_TEMPLATES: Final[Mapping[str, str]] = {UNDO: "email_changed"}


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A link that is good: whose it is, and what it was issued with."""

    holder: Holder
    pending: Pending = field(repr=False)

    @property
    def purpose(self) -> str:
        """What it is for."""
        return self.pending.purpose


class AccountLinks(Generic[UserT]):
    """The links of one ``Auth``."""

    def __init__(
        self,
        settings: AuthSettings,
        *,
        database: Database,
        tokens: OneTimeTokens,
        users: UserService[UserT],
        book: AddressBook[UserT],
        links: Links,
        outbox: Outbox,
    ) -> None:
        self._lifetimes: Mapping[str, timedelta] = {
            VERIFY: settings.verification_token_lifetime,
            CHANGE: settings.verification_token_lifetime,
            UNDO: settings.verification_token_lifetime,
            RESET: settings.reset_token_lifetime,
            MAGIC: settings.magic_link_lifetime,
            INVITATION: settings.invitation_lifetime,
        }
        self._database = database
        self._tokens = tokens
        self._users = users
        self._book = book
        self._links = links
        self._outbox = outbox
        if settings.email_verification == "required":
            links.require("email_verification", VERIFY)
        if settings.magic_links:
            links.require("magic_links", MAGIC)

    async def send(
        self,
        user_id: object,
        purpose: str,
        *,
        to: str,
        binding: str,
        data: Mapping[str, object] | None = None,
        beside: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Issue a link and mail it; an older one of the same purpose dies (EML-1, RST-1).

        Args:
            user_id: Whose it is.
            purpose: What it is for.
            to: Where the mail goes.
            binding: The address with which the link lives and dies.
            data: What the purpose needs to go on.
            beside: What else is written in the transaction that issues the link; the mail goes after it.
        """
        self._links.require(f"the mail {purpose}", purpose)
        lifetime = self._lifetimes[purpose]
        async with self._database.atomic():
            await self._users.hold(
                user_id
            )  # of several requests at once the last one's link is good
            if purpose in LASTING:
                await self._tokens.end_bound(binding, purpose=purpose)
            else:
                await self._tokens.end_all(user_id, purpose=purpose)
            token = await self._tokens.issue(
                user_id, purpose=purpose, lifetime=lifetime, binding=binding, data=data or {}
            )
            if beside is not None:
                await beside()
        link = self._links.make(purpose, token)
        template = _TEMPLATES.get(purpose, purpose)
        self._outbox.post(template, to=to, values={"link": link, "lifetime": lifetime})

    async def look_at(self, token: str, *purposes: str) -> Redeemed:
        """Return whose link this is, without using it up.

        Raises:
            InvalidLinkError: It is not good.
        """
        return await self._redeemed(await self._tokens.peek(token, purposes=purposes))

    async def use_up(self, token: str, *purposes: str) -> Redeemed:
        """Use a link up, inside the transaction that does what it is for; of several at once one succeeds.

        Raises:
            InvalidLinkError: It is not good, or somebody else was first.
        """
        seen = await self._tokens.peek(token, purposes=purposes)
        if seen is None:
            raise InvalidLinkError
        await self._users.hold(
            seen.user_id
        )  # before the token: everybody takes the rows in this order
        return await self._redeemed(await self._tokens.redeem(token, purposes=purposes))

    async def _redeemed(self, pending: Pending | None) -> Redeemed:
        holder = None if pending is None else await self._book.of_user(pending.user_id)
        if pending is None or holder is None:
            raise InvalidLinkError
        if pending.purpose not in LASTING and pending.binding != bound(holder.email):
            raise InvalidLinkError  # the address changed since
        return Redeemed(holder, pending)

    async def end_open(self, user_id: object) -> None:
        """End a person's open links and challenges; what takes a change of address back stays."""
        await self._tokens.end_all(user_id, but=LASTING)

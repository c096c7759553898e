"""Log-in by a link in a mail, where the application wants it. The steps after the link are those of every log-in."""

from typing import Generic, TypeVar

from piccolo_fastapi_auth.accounts.links import MAGIC, AccountLinks
from piccolo_fastapi_auth.accounts.mail_gate import MailGate
from piccolo_fastapi_auth.accounts.ownership import Claim, Ownership
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.errors import InvalidLinkError
from piccolo_fastapi_auth.login.service import LoggedIn, LoginService
from piccolo_fastapi_auth.mfa.challenge import Wanted
from piccolo_fastapi_auth.sessions.records import TransportName
from piccolo_fastapi_auth.users.address_book import AddressBook
from piccolo_fastapi_auth.users.service import Candidate
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class MagicLinks(Generic[UserT]):
    """Links that log in, for one ``Auth``."""

    def __init__(
        self,
        *,
        book: AddressBook[UserT],
        links: AccountLinks[UserT],
        gate: MailGate,
        ownership: Ownership[UserT],
        login: LoginService[UserT],
    ) -> None:
        self._book = book
        self._links = links
        self._gate = gate
        self._ownership = ownership
        self._login = login

    async def request(self, address: str, caller: Caller) -> None:
        """Mail a link that logs in, if somebody has the address."""

        async def work() -> None:
            holder = await self._book.holder(address)
            if holder is not None:
                await self._links.send(holder.user_id, MAGIC, to=holder.email, binding=holder.email)

        await self._gate.ask(MAGIC, address, caller, work)

    async def log_in(
        self, token: str, claim: Claim, *, transport: TransportName
    ) -> LoggedIn[UserT]:
        """Use a link up and begin a session, or ask for the second factor.

        Raises:
            InvalidLinkError: It is not good.
            MfaRequiredError: A second factor must follow.
        """
        seen = (await self._links.look_at(token, MAGIC)).holder
        own = await self._ownership.is_own(seen, claim)

        async def use_up() -> Candidate:
            holder = (await self._links.use_up(token, MAGIC)).holder
            await self._ownership.take(holder, own=own)
            # Anew: the password may just have been taken away.
            now = await self._book.of_user(holder.user_id)
            if now is None:
                raise InvalidLinkError
            return now.candidate

        return await self._login.log_in_by_link(Wanted(seen.email, transport, claim.caller), use_up)

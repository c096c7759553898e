"""Invitations: an address that may sign up, also where nobody else may."""

from typing import Final, Generic, TypeVar

from piccolo_fastapi_auth.accounts.links import INVITATION, AccountLinks
from piccolo_fastapi_auth.accounts.service import AccountService
from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import InvalidLinkError, UserExistsError
from piccolo_fastapi_auth.mail.outbox import Outbox
from piccolo_fastapi_auth.one_time_tokens.service import bound
from piccolo_fastapi_auth.users.address_book import AddressBook
from piccolo_fastapi_auth.users.service import UserService, canonical_address
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

ADMIN_SCOPE: Final = "auth:admin"


class InvitationService(Generic[UserT]):
    """Invitations of one ``Auth``."""

    def __init__(
        self,
        *,
        database: Database,
        users: UserService[UserT],
        book: AddressBook[UserT],
        links: AccountLinks[UserT],
        accounts: AccountService[UserT],
        outbox: Outbox,
        events: Events,
    ) -> None:
        self._events = events
        self._database = database
        self._users = users
        self._book = book
        self._links = links
        self._accounts = accounts
        self._outbox = outbox

    async def invite(self, inviter_id: object, address: str) -> None:
        """Mail an invitation; an older one to the same address dies. It lives no longer than the inviter's account.

        Raises:
            UserExistsError: The address has an account.
        """
        email = canonical_address(address)
        if await self._book.is_taken(email):
            raise UserExistsError

        async def work() -> None:
            await self._links.send(inviter_id, INVITATION, to=email, binding=email)

        self._outbox.defer(work)

    async def accept(self, token: str, *, username: str, email: str, password: str) -> object:
        """Make an account with a proven address; return its primary key.

        Raises:
            InvalidLinkError: The invitation is not good, or for another address.
            PasswordRejectedError: The password is too short or too common; the invitation stays good.
            UserExistsError: The name or the address is taken; the invitation stays good.
        """
        seen = await self._links.look_at(token, INVITATION)
        if seen.pending.binding != bound(canonical_address(email)):
            raise InvalidLinkError
        await self._accounts.check_policy(password, context=[username, email])
        password_hash = await self._users.hash(password)
        async with self._database.atomic():
            await self._links.use_up(token, INVITATION)
            user_id = await self._users.create(
                username=username, email=email, password_hash=password_hash
            )
            await self._book.prove(user_id, canonical_address(email))
            await self._events.record("user.registered", user=user_id)
        return user_id

"""Who holds an e-mail address, and whether they proved it. Changes of an address are one conditional statement."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from piccolo.columns import Column

from piccolo_fastapi_auth.database import Database, is_unique_violation
from piccolo_fastapi_auth.errors import UserExistsError
from piccolo_fastapi_auth.users.service import Candidate, UserService, canonical_address
from piccolo_fastapi_auth.users.tables import AuthAccount
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


@dataclass(frozen=True, slots=True)
class Holder:
    """A person with an e-mail address, as it stands now."""

    candidate: Candidate
    username: str
    email: str
    verified: bool

    @property
    def user_id(self) -> object:
        """The primary key."""
        return self.candidate.user_id


class AddressBook(Generic[UserT]):
    """Addresses of the people of one ``Auth``."""

    def __init__(
        self, database: Database, user_table: type[UserT], users: UserService[UserT]
    ) -> None:
        self._database = database
        self._users = users
        self._identifiers = users.identifiers
        self._table = user_table
        self._key: Column = user_table._meta.primary_key

    async def holder(self, address: str) -> Holder | None:
        """Return the active person who has an address, proven or not."""
        wanted = canonical_address(address)
        if (found := await self._one(self._table.email, wanted)) is not None:
            return found
        # Rows that the library did not make may hold another spelling.
        row = await self._identifiers.find(wanted)
        other = None if row is None else await self.of_user(row["user_key"])
        return other if other and canonical_address(other.email) == wanted else None

    async def of_user(self, user_id: object) -> Holder | None:
        """Return an active person by primary key."""
        return await self._one(self._key, user_id)

    async def is_taken(self, address: str, *, but: object = None) -> bool:
        """Say whether anybody, active or not, has an address or logs in by it; ``but`` one person."""
        row = await self._identifiers.find(address)
        return row is not None and (but is None or str(row["user_key"]) != str(but))

    async def is_verified(self, user_id: object) -> bool:
        """Say whether a person proved the address that they have now."""
        holder = await self.of_user(user_id)
        return holder is not None and holder.verified

    async def _one(self, column: Column, value: object) -> Holder | None:
        table, key = self._table, self._key
        row = await table.select(key, table.username, table.email).where(column == value).first()
        candidate = None if row is None else await self._users.by_id(row[key._meta.name])
        if row is None or candidate is None or not candidate.active:
            return None
        proven = (
            await AuthAccount.select(AuthAccount.verified_email)
            .where(AuthAccount.user == candidate.user_id)
            .first()
        )
        email = str(row["email"] or "")
        verified = bool(email) and proven is not None and proven["verified_email"] == email
        return Holder(candidate, str(row["username"]), email, verified)

    async def prove(self, user_id: object, address: str) -> None:
        """Note that a person proved an address. Call it inside the transaction that used the proof up."""
        account = AuthAccount({AuthAccount.user: user_id, AuthAccount.verified_email: address})
        await AuthAccount.insert(account).on_conflict(
            action="DO UPDATE", target=AuthAccount.user, values=[AuthAccount.verified_email]
        )

    async def move(self, user_id: object, *, old: str, new: str) -> bool:
        """Give a person another address, which they just proved, if they still have the old one.

        Call it inside a transaction, and let it end with what this raises.

        Raises:
            UserExistsError: Somebody else has it.
        """
        table = self._table
        try:
            moved = await self._database.write(
                table.update({table.email: new})
                .where(self._key == user_id, table.email == old)
                .returning(self._key)
            )
            if moved:
                await self._identifiers.replace(user_id, old=old, new=new)
        except Exception as error:
            # Which class it is depends on the driver; see is_unique_violation.
            if is_unique_violation(error):
                raise UserExistsError from None
            raise
        if moved:
            await self.prove(user_id, new)
        return bool(moved)

"""Proving an address takes the account into possession: what a stranger left in it goes (EML-3, GHSA-qq9h-g4jm-xgf3).

Anybody can sign up with somebody else's address. As long as nobody proved it, the password, the sessions and the
factors may be a stranger's; whoever proves it keeps them only by showing that they are their own.
"""

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from piccolo_fastapi_auth.accounts.credentials import Credentials
from piccolo_fastapi_auth.accounts.signup_proof import SignupProof
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.errors import InvalidLinkError
from piccolo_fastapi_auth.password_gate import PasswordGate
from piccolo_fastapi_auth.primitives.opaque_tokens import new_token
from piccolo_fastapi_auth.users.address_book import AddressBook, Holder
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

NO_PASSWORD: Final = "!"  # noqa: S105 - the hash of no password


@dataclass(frozen=True, slots=True)
class Claim:
    """Why somebody who opens a link may keep what is in the account."""

    caller: Caller
    user_id: object = None
    """Who is signed in where the link was opened."""
    signup_cookie: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


class Ownership(Generic[UserT]):
    """Takes accounts into possession."""

    def __init__(
        self,
        *,
        users: UserService[UserT],
        book: AddressBook[UserT],
        credentials: Credentials,
        gate: PasswordGate[UserT],
        signup_proof: SignupProof,
    ) -> None:
        self._users = users
        self._book = book
        self._credentials = credentials
        self._gate = gate
        self._signup_proof = signup_proof

    async def is_own(self, holder: Holder, claim: Claim) -> bool:
        """Say whether what is in an account is that of the person who opened the link.

        Call it before the transaction: it may hash.

        Raises:
            InvalidCredentialsError: A password came along and is wrong.
            RateLimitedError: Too many attempts.
        """
        if holder.verified:
            return True
        if claim.password is not None:
            await self._gate.prove(holder.user_id, claim.password, claim.caller)
            return True
        return claim.user_id == holder.user_id or self._signup_proof.holds(
            claim.signup_cookie, holder.candidate.password_hash
        )

    async def take(self, holder: Holder, *, own: bool) -> None:
        """Note the address as proven; unless the account is the prover's own, empty it first.

        Call it inside the transaction that used the link up, with what `is_own` said.

        Raises:
            InvalidLinkError: The password was changed in this very moment.
        """
        if not own and not holder.verified:
            await self.empty(holder, password_hash=f"{NO_PASSWORD}{new_token()}")
        await self._book.prove(holder.user_id, holder.email)

    async def empty(self, holder: Holder, *, password_hash: str) -> None:
        """Replace the password and end every credential. Call it inside a transaction.

        Raises:
            InvalidLinkError: The password was changed in this very moment.
        """
        # The password first: a log-in with it then comes before, and its session ends, or after, and fails.
        if not await self._users.change_password(holder.candidate, password_hash=password_hash):
            raise InvalidLinkError
        await self._credentials.end_all_credentials(holder.user_id)

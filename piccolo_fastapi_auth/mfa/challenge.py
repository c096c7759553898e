"""The challenge between a right password and the session: a single-use token that opens nothing else."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar, cast

from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.errors import MfaRequiredError, MfaTokenExpiredError
from piccolo_fastapi_auth.mfa.service import MfaService
from piccolo_fastapi_auth.one_time_tokens.service import OneTimeTokens, Pending, bound
from piccolo_fastapi_auth.sessions.records import TransportName
from piccolo_fastapi_auth.users.service import Candidate, UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

PURPOSE = "mfa"
MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a log-in shall lead to: whose, by which transport, with which scopes (``None`` asks for all)."""

    username: str
    transport: TransportName
    caller: Caller
    scope: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """A challenge with a try left: the token, the person as they are now, and the log-in that was begun."""

    pending: Pending
    candidate: Candidate
    wanted: Wanted

    @property
    def flow(self) -> str:
        """The name under which codes are sent for this challenge."""
        return f"challenge {self.pending.id}"


class Challenges(Generic[UserT]):
    """Challenges of one ``Auth``."""

    def __init__(
        self,
        *,
        tokens: OneTimeTokens,
        mfa: MfaService,
        users: UserService[UserT],
        lifetime: timedelta,
    ) -> None:
        self._tokens = tokens
        self._mfa = mfa
        self._users = users
        self._lifetime = lifetime

    async def begin(self, candidate: Candidate, wanted: Wanted) -> str:
        """Open a challenge for somebody whose password was right; return its token."""
        return await self._tokens.issue(
            candidate.user_id,
            purpose=PURPOSE,
            lifetime=self._lifetime,
            binding=candidate.password_hash,
            data={
                "username": wanted.username,
                "transport": wanted.transport,
                "scope": wanted.scope,
            },
        )

    async def refusal(self, token: str, user_id: object) -> MfaRequiredError:
        """Return the refusal that carries a challenge."""
        return MfaRequiredError(
            extra={
                "mfa_token": token,
                "methods": await self._mfa.usable(user_id),
                "expires_in": int(self._lifetime.total_seconds()),
            }
        )

    async def attempt(self, token: str, caller: Caller) -> Open:
        """Count a try and return the challenge.

        Raises:
            MfaTokenExpiredError: Unknown, too late, answered, out of tries, or the person's password or state changed.
        """
        return await self._opened(
            await self._tokens.attempt(token, purpose=PURPOSE, most=MOST_TRIES), caller
        )

    async def look(self, token: str, caller: Caller) -> Open:
        """Return the challenge without counting a try: to have a code sent.

        Raises:
            MfaTokenExpiredError: As with `attempt`.
        """
        return await self._opened(
            await self._tokens.look(token, purpose=PURPOSE, most=MOST_TRIES), caller
        )

    async def _opened(self, pending: Pending | None, caller: Caller) -> Open:
        candidate = await self._users.by_id(pending.user_id) if pending else None
        if pending is None or candidate is None or not candidate.active:
            raise MfaTokenExpiredError
        if bound(candidate.password_hash) != pending.binding:
            raise MfaTokenExpiredError
        scope = cast("list[str] | None", pending.data["scope"])
        wanted = Wanted(
            username=str(pending.data["username"]),
            transport=cast("TransportName", pending.data["transport"]),
            caller=caller,
            scope=None if scope is None else tuple(scope),
        )
        return Open(pending, candidate, wanted)

    async def consume(self, challenge: Open) -> None:
        """Use the challenge up.

        Raises:
            MfaTokenExpiredError: Somebody else just did.
        """
        if not await self._tokens.consume(challenge.pending):
            raise MfaTokenExpiredError

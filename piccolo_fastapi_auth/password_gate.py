"""Every check of a password passes here: counted before the hash, given back when it was right (DESIGN rule 6)."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.errors import InvalidCredentialsError
from piccolo_fastapi_auth.primitives.canonical import canonical
from piccolo_fastapi_auth.primitives.passwords import PasswordVerdict
from piccolo_fastapi_auth.rate_limits.login_guard import Attempt, LoginGuard
from piccolo_fastapi_auth.users.service import Candidate, UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check, and its place in the counters."""

    verdict: PasswordVerdict
    counted: Attempt


class PasswordGate(Generic[UserT]):
    """Limits around `UserService.check`, for log-in and for every later proof of a password."""

    def __init__(
        self,
        *,
        users: UserService[UserT],
        passwords: LoginGuard,
        codes: LoginGuard,
        events: Events,
    ) -> None:
        self._events = events
        self._users = users
        self._passwords = passwords
        self._codes = codes

    async def check(
        self, password: str, candidate: Candidate | None, *, name: str | None, caller: Caller
    ) -> Checked:
        """Count an attempt and check the password.

        Args:
            password: What was typed.
            candidate: Whom it may mean, or nobody.
            name: What was typed as a name, if anything was; counts whether somebody is meant or nobody.
            caller: Where the attempt comes from.

        Raises:
            RateLimitedError: Too many attempts from there or on that account, known or not.
            TemporarilyUnavailableError: The hash queue is full or the counters cannot be reached.
        """
        counted = await self._passwords.reserve(
            account=_name(name) if candidate is None else _account(candidate.user_id),
            typed=None if candidate is None or name is None else _name(name),
            address=caller.address,
            device_cookie=caller.device_cookie,
        )
        try:
            verdict = await self._users.check(password, candidate)
        except BaseException:  # nobody guessed anything
            await self._passwords.give_back(counted)
            raise
        return Checked(verdict, counted)

    async def prove(self, user_id: object, password: str, caller: Caller) -> Candidate:
        """Check the password of somebody who is logged in already.

        Raises:
            InvalidCredentialsError: It is wrong.
            RateLimitedError: Too many attempts.
        """
        candidate = await self._users.by_id(user_id)
        checked = await self.check(password, candidate, name=None, caller=caller)
        if candidate is None or not candidate.active or not checked.verdict.matches:
            await self._events.record(
                "session.reauthenticated", outcome="failure", user=user_id, method="password"
            )
            await self.wrong(checked, user=user_id)
            raise InvalidCredentialsError
        await self.right(checked)
        return candidate

    async def wrong(self, checked: Checked, *, user: object = None) -> None:
        """Leave the attempt counted; the last one locks the account for a while, known or not."""
        if await self._passwords.failed(checked.counted):
            await self._events.record("login.locked", outcome="failure", user=user)

    async def right(self, checked: Checked) -> None:
        """Give the attempt back: the password was right, or was never decided on."""
        await self._passwords.give_back(checked.counted)

    async def logged_in(self, checked: Checked, *, user: object = None) -> str | None:
        """Note a full log-in; return the cookie by which this device is known next time, if that matters."""
        if await self._passwords.succeeded(checked.counted):
            await self._events.record("login.unlocked", user=user)
        return self._device_cookie(checked.counted)

    async def count_code(self, user_id: object, caller: Caller) -> Attempt:
        """Count a one-time code against the caller's address; wrong codes never lock passwords (MFA-5).

        Raises:
            RateLimitedError: Too many codes from there.
        """
        return await self._codes.reserve(account=_account(user_id), address=caller.address)

    async def code_was_right(self, counted: Attempt) -> str | None:
        """Give the code back; return the cookie by which this device is known next time, if that matters."""
        await self._codes.give_back(counted)
        return self._device_cookie(counted)

    def _device_cookie(self, counted: Attempt) -> str | None:
        """Return the cookie that spares a device the account's counter; nothing where there is no such counter."""
        return self._passwords.device_cookie(counted) if self._passwords.limits_accounts else None


def _name(name: str | None) -> str:
    """Name whom nobody knows."""
    return f"name {canonical(name or '')}"


def _account(user_id: object) -> str:
    """Name an account for the counters: the same whether its username or its address was typed."""
    return f"id {user_id}"

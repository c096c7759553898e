"""Log-in protection that cannot be turned against the owner (NIST SP 800-63B-4 section 3.2.2). No HTTP.

Three counters for a stranger: his address (spraying one password over many accounts), the account
(many addresses guessing at one), and the two together (guesses between the owner's own log-ins, which
reset the account's counter but not this one). A browser that was fully logged in before has a counter of
its own instead of the last two, so nobody else can use up its owner's attempts.

An account counts under what was typed, too. Else a spelling that means nobody would have a counter of its
own, and so tell that the other spelling, which is used up, means somebody.

An attempt is counted *before* the password is checked, all counters or none in one atomic step, and
given back when the password was right. So of 100 parallel guesses no more than the limit reach the hasher.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from piccolo_fastapi_auth.errors import RateLimitedError
from piccolo_fastapi_auth.primitives.canonical import canonical
from piccolo_fastapi_auth.primitives.client_address import address_bucket
from piccolo_fastapi_auth.primitives.clock import Clock, utc_now
from piccolo_fastapi_auth.rate_limits.device_cookie import known_device, make_device_cookie
from piccolo_fastapi_auth.rate_limits.headers import limit_headers, policy
from piccolo_fastapi_auth.rate_limits.limit import Limit, parse_limits
from piccolo_fastapi_auth.rate_limits.lock import LockRule
from piccolo_fastapi_auth.rate_limits.service import CounterService, Taken
from piccolo_fastapi_auth.rate_limits.store import Quota

_BUCKET: Final = "login"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted attempt. Give it back or report it failed; forgotten, it stays counted."""

    account: str
    device: str | None
    taken: Taken
    locks: tuple[str, ...]
    personal: tuple[Quota, ...]
    """The counters that this person's own success resets: never the address's (LCK-5)."""

    @property
    def is_last(self) -> bool:
        """Whether it used up a counter of the account (or of the device)."""
        readings = zip(self.taken.quotas, self.taken.readings, strict=True)
        return any(reading.wait for quota, reading in readings if quota in self.personal)


class LoginGuard:
    """Counts attempts at secrets: log-in, token, reauthentication, codes, password change, reset.

    Args:
        service: The counters, ``RateLimiter.service``.
        keys: At least one; the first hides account names and signs device cookies, all verify them.
        per_address: Attempts from one address (one /64 for IPv6); ``""`` is off.
        per_account: Attempts on one account, and on one account from one address or known device;
            ``""`` is off.
        lock: How long an account waits, beside the limit, after each time that it is used up.
        headers: Whether refusals carry ``RateLimit-Policy`` and ``RateLimit``.
        clock: Returns the present moment.

    Raises:
        ValueError: a limit is misspelt, or there is no key.
    """

    def __init__(
        self,
        service: CounterService,
        keys: Sequence[bytes],
        *,
        per_address: str = "20/minute",
        per_account: str = "5/5 minutes",
        lock: LockRule | None = None,
        headers: bool = True,
        clock: Clock = utc_now,
        namespace: str = "LOGIN",
    ) -> None:
        if not keys:
            raise ValueError("the guard needs a key")
        self._service = service
        self._keys = tuple(keys)
        self._per_address = parse_limits(per_address) if per_address else ()
        self._per_account = parse_limits(per_account) if per_account else ()
        self._lock = lock or LockRule()
        self._headers = headers
        self._clock = clock
        self._namespace = namespace

    @property
    def limits_accounts(self) -> bool:
        """Whether accounts have a counter of their own, which a known device is spared."""
        return bool(self._per_account)

    async def reserve(
        self,
        *,
        account: str,
        address: str,
        typed: str | None = None,
        device_cookie: str | None = None,
    ) -> Attempt:
        """Count an attempt, before the secret is looked at.

        Args:
            account: Whom the attempt is for: known accounts and unknown names alike.
            address: The caller's address, from ``client_address``.
            typed: What a known account was called, if somebody typed that: spelt differently it may mean nobody.
            device_cookie: The device cookie that came with the request.

        Raises:
            RateLimitedError: too many attempts, or the account is locked.
            TemporarilyUnavailableError: the store is down; nobody is let in uncounted.
        """
        name = canonical(account)
        device = known_device(device_cookie, self._keys, account=name, at=self._clock())
        who, place = self._hidden(name), address_bucket(address)
        names = [who] if typed is None else [who, self._hidden(canonical(typed))]
        own = [f"device/{who}/{device}"] if device else [f"account/{one}" for one in names]
        shared = [] if device else [f"pair/{who}/{place}"]
        locks = tuple(f"{self._namespace}/{one}" for one in own) if self._per_account else ()
        locked = max([await self._service.locked(lock) for lock in locks], default=0)
        personal = tuple(q for one in own + shared for q in self._quotas(one, self._per_account))
        quotas = (*self._quotas(f"address/{place}", self._per_address), *personal)
        taken = await self._service.take(quotas, commit=not locked, on_store_failure="deny")
        if locked or not taken.allowed:
            raise _refusal(taken, locked, headers=self._headers)
        return Attempt(name, device, taken, locks, personal)

    async def give_back(self, attempt: Attempt) -> None:
        """Undo the count: the secret was right, or was never looked at."""
        await self._service.give_back(attempt.taken)

    async def failed(self, attempt: Attempt) -> bool:
        """Note that the secret was wrong; the last attempt of an account locks it for a while. Say whether it did."""
        if attempt.is_last:
            for lock in attempt.locks:
                await self._service.strike(lock, self._lock)
        return attempt.is_last

    async def succeeded(self, attempt: Attempt) -> bool:
        """Note a full log-in: give back, and reset what is this person's own (LCK-6), not the address's.

        Returns:
            Whether a lock, over or not, is forgotten by it.
        """
        await self._service.give_back(attempt.taken)
        await self._service.clear(attempt.personal)
        return any([await self._service.unlock(lock) for lock in attempt.locks])

    def device_cookie(self, attempt: Attempt) -> str:
        """Return the device cookie to set after a full log-in."""
        return make_device_cookie(
            self._keys, account=attempt.account, at=self._clock(), device=attempt.device
        )

    def _quotas(self, name: str, limits: Sequence[Limit]) -> tuple[Quota, ...]:
        start = f"{self._namespace}/{name}/{_BUCKET}/"
        return tuple(Quota(start + limit.suffix, limit) for limit in limits)

    def _hidden(self, account: str) -> str:
        """Name an account without naming it: what people type as a name may be a password."""
        text = f"account name\0{account}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._keys[0], text, "sha256").hex()[:32]


def _refusal(taken: Taken, locked: int, *, headers: bool) -> RateLimitedError:
    """Refuse until the lock is over and every counter allows; never say which of them it was."""
    pairs = zip(taken.quotas, taken.readings, strict=True)
    quota, reading = max(pairs, key=lambda pair: (pair[1].wait, pair[0].limit.seconds))
    reading = reading._replace(used=quota.limit.amount, wait=max(reading.wait, locked))
    worst = Taken(False, (quota,), (reading,), taken.cost, taken.in_memory)  # noqa: FBT003 - refused
    shown = limit_headers(worst, policy([quota.limit], bucket=_BUCKET)) if headers else {}
    return RateLimitedError(retry_after=timedelta(seconds=worst.retry_after), headers=shown)

"""How many mails anybody may cause to one address (LCK-4)."""

import hashlib
import hmac
from datetime import timedelta

from piccolo_fastapi_auth.rate_limits.limit import parse_limits
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter


class MailLimit:
    """Counts the mails that strangers can cause, by address: known and unknown alike.

    Ask before a token is issued: a new token ends the old one, and must not when no mail brings it.

    Raises:
        ValueError: The rate is misspelt.
    """

    def __init__(self, limiter: RateLimiter, rate: str, *, key: bytes) -> None:
        if rate:
            parse_limits(rate)
        self._limiter = limiter
        self._rate = rate
        self._key = key

    async def allows(self, address: str) -> bool:
        """Count a mail to ``address`` (in its canonical spelling), if it is allowed."""
        return await self.wait(address) is None

    async def wait(self, address: str) -> timedelta | None:
        """Count a mail, as `allows`; return how long to wait when there were too many."""
        if not self._rate:
            return None
        hidden = hmac.new(self._key, address.encode(), hashlib.sha256).hexdigest()
        taken = await self._limiter.hit(self._rate, key=hidden, bucket="mail")
        return None if taken.allowed else timedelta(seconds=taken.retry_after)

"""Mails that anybody can ask for: counted by who asks and by address, worked on off the request (ENU-4, LCK-4)."""

from collections.abc import Awaitable, Callable

from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.errors import RateLimitedError
from piccolo_fastapi_auth.mail.mail_limit import MailLimit
from piccolo_fastapi_auth.mail.outbox import Outbox
from piccolo_fastapi_auth.rate_limits.login_guard import LoginGuard
from piccolo_fastapi_auth.users.service import canonical_address


class MailGate:
    """Asks whether a mail may go, and leaves the rest to the outbox. Nobody's account is touched by a refusal."""

    def __init__(self, *, outbox: Outbox, limit: MailLimit, callers: LoginGuard) -> None:
        self._outbox = outbox
        self._limit = limit
        self._callers = callers

    async def ask(
        self, kind: str, address: str, caller: Caller, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Count a request for a mail of a kind, and have ``work`` done in the background if both limits allow it.

        What is over a limit is dropped without a word: the answer says nothing about an address, and a count
        that did would.

        Raises:
            TemporarilyUnavailableError: The counters cannot be reached.
        """
        try:
            await self._callers.reserve(account=caller.address, address=caller.address)
        except RateLimitedError:
            return

        async def limited() -> None:
            if await self._limit.allows(f"{kind} {canonical_address(address)}"):
                await work()

        self._outbox.defer(limited)

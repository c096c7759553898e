"""What people are told when their second factors change. The one place that every such change passes (MFA-8)."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Literal

from piccolo_fastapi_auth.mail.outbox import Outbox

Change = Literal["added", "removed", "disabled", "codes_regenerated"]


class Notices:
    """Mails about second factors: what changed, and nothing secret."""

    def __init__(
        self, outbox: Outbox, *, address_of: Callable[[object], Awaitable[str | None]]
    ) -> None:
        self._outbox = outbox
        self._address_of = address_of

    def tell(self, user_id: object, change: Change) -> None:
        """Tell a person of a change, off the request. Call it after the transaction that made the change."""

        async def tell() -> None:
            if address := await self._address_of(user_id):
                self._outbox.post("mfa_changed", to=address, values={"change": change})

        self._outbox.defer(tell)


class MailedCodes:
    """Takes codes to people by mail: the default `CodeSender`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def send(self, *, to: str, code: str, lifetime: timedelta) -> None:
        """Mail a code in the background."""
        self._outbox.post("email_code", to=to, values={"code": code, "lifetime": lifetime})

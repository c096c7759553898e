"""Codes that are sent: made for one flow, stored, and given to whoever takes them to people."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import cast
from uuid import UUID

from piccolo_fastapi_auth.database import Row
from piccolo_fastapi_auth.errors import (
    NotFoundError,
    RateLimitedError,
    TemporarilyUnavailableError,
)
from piccolo_fastapi_auth.mfa.method import CodeSender, Issued, SentMethod
from piccolo_fastapi_auth.mfa.service import MfaService, enrolment_flow
from piccolo_fastapi_auth.mfa.states import STATE_COLUMNS, States
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.primitives.clock import Clock

_ROUNDS = 5

Wait = Callable[[str], Awaitable[timedelta | None]]
"""Counts a message to an address; says how long to wait when it has had too many."""


class SentCodes:
    """Sends the codes of one ``Auth``. A new code resets no counter: wrong ones go on counting (OTP-1)."""

    def __init__(
        self,
        mfa: MfaService,
        states: States,
        *,
        mail: CodeSender,
        wait: Wait,
        lifetime: timedelta,
        clock: Clock,
    ) -> None:
        self._mfa = mfa
        self._states = states
        self._mail = mail
        self._wait = wait
        self._lifetime = lifetime
        self._clock = clock

    @property
    def offered(self) -> bool:
        """Whether any method on offer sends codes."""
        return any(isinstance(method, SentMethod) for method in self._mfa.methods.values())

    async def count(self, address: str) -> None:
        """Count a message to an address.

        Raises:
            RateLimitedError: It has had too many.
        """
        if (wait := await self._wait(address)) is not None:
            raise RateLimitedError(retry_after=wait)

    async def send_first(self, user_id: object, enrolment_id: UUID, *, method: SentMethod) -> None:
        """Send the code that confirms a begun enrolment; `count` it first."""
        row = await self._mfa.waiting(user_id, enrolment_id, method=method.name)
        await self._send(method, row["id"], flow=enrolment_flow(row), counted=True)

    async def send(self, user_id: object, *, method: str, flow: str) -> timedelta:
        """Send a code to somebody who set the method up; return how long it is good.

        Raises:
            NotFoundError: They did not, or the method sends no codes.
            RateLimitedError: The address has had too many.
        """
        table, sending = AuthMfaMethod, self._mfa.methods.get(method)
        row = await (
            table.select(table.id)
            .where(
                table.user == user_id,
                table.method == method,
                table.confirmed_at.is_not_null(),
                table.disabled_at.is_null(),
            )
            .order_by(table.created_at, ascending=False)
            .first()
        )
        if row is None or not isinstance(sending, SentMethod):
            raise NotFoundError
        return await self._send(sending, row["id"], flow=flow)

    async def _send(
        self, method: SentMethod, row_id: object, *, flow: str, counted: bool = False
    ) -> timedelta:
        lifetime = method.lifetime or self._lifetime
        for _ in range(_ROUNDS):
            row, issued = await self._issued(method, row_id, flow=flow, lifetime=lifetime)
            if not counted:  # before anything is stored: at the limit an earlier code stays good
                await self.count(issued.address)
            counted = True
            if await self._states.swap(row, issued.state, {}):
                sender = method.sender or self._mail
                await sender.send(to=issued.address, code=issued.code, lifetime=lifetime)
                return lifetime
        raise TemporarilyUnavailableError  # others changed the row all the time

    async def _issued(
        self, method: SentMethod, row_id: object, *, flow: str, lifetime: timedelta
    ) -> tuple[Row, Issued]:
        row = await AuthMfaMethod.select(*STATE_COLUMNS).where(AuthMfaMethod.id == row_id).first()
        state = None if row is None else self._states.open(row)
        if row is None or state is None:
            raise NotFoundError
        issued = method.issue(state, flow=flow, now=self._clock(), lifetime=lifetime)
        return cast("Row", row), issued

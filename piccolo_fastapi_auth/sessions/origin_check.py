"""Refusing requests that a foreign page sent, and leaving a trace of it."""

from typing import Generic, TypeVar

from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.database import unavailable_when_broken
from piccolo_fastapi_auth.errors import CsrfFailedError
from piccolo_fastapi_auth.primitives.client_address import address_bucket
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.rate_limits.limit import parse_limits
from piccolo_fastapi_auth.rate_limits.service import CounterService
from piccolo_fastapi_auth.rate_limits.store import Quota
from piccolo_fastapi_auth.sessions.lookup import SessionLookup
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

# Nobody needs to be logged in to be refused, so nobody may fill the table by it.
_MOST_EVENTS = "10/minute"


class OriginCheck(Generic[UserT]):
    """`Transport.check_origin`, with an event for each refusal; from one address ten a minute at most."""

    def __init__(
        self,
        *,
        transport: Transport,
        find: SessionLookup[UserT],
        counters: CounterService,
        events: Events,
        clock: Clock,
    ) -> None:
        self._transport = transport
        self._find = find
        self._counters = counters
        self._events = events
        self._clock = clock
        self._limits = parse_limits(_MOST_EVENTS)

    async def check(self, connection: HTTPConnection) -> None:
        """Refuse an unsafe request, or any WebSocket, that a foreign page sent.

        Raises:
            CsrfFailedError: It came from another site.
        """
        try:
            self._transport.check_origin(connection)
        except CsrfFailedError:
            with unavailable_when_broken():
                await self._note(self._transport.caller(connection))
            raise

    async def _note(self, caller: Caller) -> None:
        place = address_bucket(caller.address)
        quotas = [Quota(f"EVENTS/csrf/{place}/{limit.suffix}", limit) for limit in self._limits]
        if not (await self._counters.take(quotas)).allowed:
            return
        found = None
        if caller.cookie_digest is not None:
            found = await self._find.by_cookie(caller.cookie_digest, now=self._clock())
        await self._events.record(
            "csrf.refused",
            outcome="failure",
            user=found.session.user_id if found else None,
            session_id=found.session.id if found else None,
            caller=caller,
        )

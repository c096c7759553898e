"""A rate limit as a dependency: ``dependencies=[Depends(limiter.limit("5/minute"))]``.

Works on HTTP and WebSocket routes and on whole routers and applications. Equal limits are equal
dependencies, so FastAPI runs them once per request even if the router and the route both ask.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from fastapi import Response, WebSocketException
from slowapi.wrappers import Limit as SlowapiLimit
from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.errors import RateLimitedError, TemporarilyUnavailableError
from piccolo_fastapi_auth.primitives.client_address import Networks, caller_bucket
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.rate_limits.headers import (
    Policy,
    RawHeader,
    limit_headers,
    policy,
    queue_headers,
    raw_headers,
    slowapi_headers,
    state,
)
from piccolo_fastapi_auth.rate_limits.limit import Limit
from piccolo_fastapi_auth.rate_limits.service import CounterService, OnStoreFailure, Taken
from piccolo_fastapi_auth.rate_limits.store import Quota

KeyFunction = Callable[[HTTPConnection], str | Awaitable[str | None] | None]
"""Names the caller; sync or async; ``None`` or ``""`` means: count by address."""
CostFunction = Callable[[HTTPConnection], int | Awaitable[int]]

TRY_AGAIN_LATER: Final = 1013
"""The WebSocket close code of a refusal (RFC 6455 and its IANA registry)."""

_PLAIN_KEY: Final = re.compile(r"[\w.:@+=-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Counting:
    """What all limits of one ``RateLimiter`` share; two of them are never equal."""

    service: CounterService
    namespace: str
    trusted_proxies: Networks
    headers: bool
    slowapi_headers: bool
    clock: Clock

    def quotas(self, limits: tuple[Limit, ...], *, key: str, bucket: str) -> tuple[Quota, ...]:
        """Name the counters of one caller, exactly as `limits` (and so slowapi) does."""
        start = f"{self.namespace}/{key}/{bucket}/"
        if len(limits) == 1:
            limit = limits[0]
            return (Quota(start + limit.suffix, limit),)
        return tuple([Quota(start + limit.suffix, limit) for limit in limits])


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A dependency that counts the request and refuses it when there were too many."""

    counting: Counting
    limits: tuple[Limit, ...]
    key: KeyFunction | None
    bucket: str | None
    cost: int | CostFunction
    on_store_failure: OnStoreFailure
    policy: Policy = field(init=False, repr=False, compare=False)
    raw_policy: RawHeader = field(init=False, repr=False, compare=False)
    hashed: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out once what every request needs.

        Raises:
            TypeError: ``key`` or ``cost`` is not hashable.
        """
        fields = (self.limits, self.key, self.bucket, self.cost, self.on_store_failure)
        object.__setattr__(self, "hashed", hash((self.counting, *fields)))
        object.__setattr__(self, "policy", policy(self.limits, bucket=self.bucket))
        object.__setattr__(self, "raw_policy", self.policy.raw)

    def __hash__(self) -> int:
        return self.hashed

    async def __call__(self, connection: HTTPConnection, response: Response) -> None:
        """Let the request pass, or refuse it.

        Raises:
            RateLimitedError: too many requests.
            TemporarilyUnavailableError: the store is down and this limit says ``deny``.
            WebSocketException: the same two on a WebSocket, as close code 1013.
        """
        try:
            headers = await self.check(connection)
        except (RateLimitedError, TemporarilyUnavailableError) as error:
            if connection.scope["type"] == "websocket":
                raise WebSocketException(TRY_AGAIN_LATER, reason=error.message) from error
            raise
        response.raw_headers.extend(headers)  # for applications without the middleware

    async def check(self, connection: HTTPConnection) -> Sequence[RawHeader]:
        """Count the request; queue its headers for the middleware and return them.

        Raises:
            RateLimitedError: too many requests.
            TemporarilyUnavailableError: the store is down and this limit says ``deny``.
        """
        counting = self.counting
        cost = self.cost if isinstance(self.cost, int) else await _known(self.cost(connection))
        if self.key is None:
            key = caller_bucket(connection.scope, trusted_proxies=counting.trusted_proxies)
        else:
            key = await self._named(connection, self.key)
        bucket = self.bucket or endpoint_name(connection)
        taken = await counting.service.take(
            counting.quotas(self.limits, key=key, bucket=bucket),
            cost=cost,
            on_store_failure=self.on_store_failure,
        )
        if not taken.allowed:
            raise self._refusal(connection, taken)
        headers = self._headers(taken)
        if headers:
            queue_headers(connection.scope, headers)
        return headers

    async def _named(self, connection: HTTPConnection, key: KeyFunction) -> str:
        """Name the caller by the key function; by address if that knows no name."""
        found = key(connection)
        name = found if isinstance(found, str | None) else await found
        if name:
            return plain_key(name)
        trusted = self.counting.trusted_proxies
        # No name has a slash, so nobody can call himself by somebody's address and use up that one's counter.
        return f"address/{caller_bucket(connection.scope, trusted_proxies=trusted)}"

    def _headers(self, taken: Taken) -> list[RawHeader]:
        counting = self.counting
        headers: list[RawHeader] = []
        if counting.headers:
            shown = state(taken, self.policy).encode("ascii")
            headers = [self.raw_policy, (b"ratelimit", shown)]
        if counting.slowapi_headers:
            headers += raw_headers(slowapi_headers(taken, now=counting.clock()))
        return headers

    def _refusal(self, connection: HTTPConnection, taken: Taken) -> RateLimitedError:
        counting = self.counting
        headers = limit_headers(taken, self.policy) if counting.headers else {}
        # Queued as well, for a handler of the application may make a response of its own.
        headers["Retry-After"] = str(taken.retry_after)
        if counting.slowapi_headers:
            headers |= slowapi_headers(taken, now=counting.clock())
        queue_headers(connection.scope, raw_headers(headers))
        # slowapi's own handler looks for this; without it that handler fails.
        if not hasattr(connection.state, "view_rate_limit"):
            connection.state.view_rate_limit = None
        refused = max(zip(taken.quotas, taken.readings, strict=True), key=lambda pair: pair[1].wait)
        return RateLimitedError(
            retry_after=timedelta(seconds=taken.retry_after),
            limit=_for_slowapi(refused[0].limit, self.bucket),
            headers=headers,
        )


async def _known(cost: int | Awaitable[int]) -> int:
    return cost if isinstance(cost, int) else await cost


def endpoint_name(connection: HTTPConnection) -> str:
    """Return the endpoint's qualified name: an attacker can vary a URL, not that."""
    endpoint = connection.scope.get("endpoint")
    if endpoint is None:
        return "application"
    named = endpoint if hasattr(endpoint, "__qualname__") else type(endpoint)
    return f"{named.__module__}.{named.__qualname__}"


def plain_key(key: str) -> str:
    """Return a caller's name as it may stand in a counter's name: short, and with no separator."""
    if _PLAIN_KEY.fullmatch(key):
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _for_slowapi(limit: Limit, bucket: str | None) -> SlowapiLimit:
    """Describe a limit as slowapi does, for handlers that read ``exc.limit``."""
    return SlowapiLimit(
        limit.item(),
        key_func=lambda: "",
        scope=bucket or "",
        per_method=False,
        methods=None,
        error_message=None,
        exempt_when=None,
        cost=1,
        override_defaults=False,
    )

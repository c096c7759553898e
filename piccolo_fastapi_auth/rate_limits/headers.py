"""What a response says about its limits, and how that reaches the response.

``RateLimit-Policy`` and ``RateLimit`` follow draft-ietf-httpapi-ratelimit-headers (still a draft, hence a
switch). ``t`` in ``RateLimit`` is when more is allowed if nothing is left now, else when the window ends.

Headers of a success are queued in the ASGI scope; a middleware puts them on the response that is really
sent, whoever made it (headers on FastAPI's injected ``Response`` are lost when an endpoint raises, or
returns its own).
"""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from piccolo_fastapi_auth.rate_limits.limit import Limit
from piccolo_fastapi_auth.rate_limits.service import Taken
from piccolo_fastapi_auth.rate_limits.windows import Reading

QUEUE: Final = "piccolo_fastapi_auth.headers"
"""Where in the scope the queued headers are: a list of (name, value), bytes, names in lower case."""

RawHeader = tuple[bytes, bytes]

_RAW_NAMES: Final = {"RateLimit-Policy": b"ratelimit-policy", "RateLimit": b"ratelimit"}
_LISTS: Final = frozenset({b"ratelimit", b"ratelimit-policy", b"set-cookie", b"vary"})


@dataclass(frozen=True, slots=True)
class Policy:
    """The part of the headers that is the same for every response."""

    names: tuple[str, ...]
    text: str

    @property
    def raw(self) -> RawHeader:
        """``RateLimit-Policy`` as it goes out."""
        return _RAW_NAMES["RateLimit-Policy"], self.text.encode("ascii")


def policy(limits: Sequence[Limit], *, bucket: str | None) -> Policy:
    """Name the limits without giving away the program's inside: only an explicit bucket is shown."""
    names = tuple(_policy_name(limit, bucket, alone=len(limits) == 1) for limit in limits)
    pairs = zip(names, limits, strict=True)
    text = ", ".join(f'"{name}";q={limit.amount};w={limit.seconds}' for name, limit in pairs)
    return Policy(names, text)


def limit_headers(taken: Taken, policy: Policy) -> dict[str, str]:
    """Return ``RateLimit-Policy`` and ``RateLimit``."""
    return {"RateLimit-Policy": policy.text, "RateLimit": state(taken, policy)}


def state(taken: Taken, policy: Policy) -> str:
    """Return the value of ``RateLimit``."""
    states = []
    for name, quota, (used, wait, reset, _) in zip(
        policy.names, taken.quotas, taken.readings, strict=True
    ):
        left = quota.limit.amount - used
        # Rounded up, as `seconds` does it; written out, for this is in every response.
        states.append(f'"{name}";r={max(left, 0)};t={-(-(wait or reset) // 1000)}')
    return ", ".join(states)


def slowapi_headers(taken: Taken, *, now: datetime) -> dict[str, str]:
    """Return ``X-RateLimit-*`` of the tightest limit, as slowapi names them."""

    def left(pair: tuple[Limit, Reading]) -> int:
        return pair[0].amount - pair[1].used

    limits = [quota.limit for quota in taken.quotas]
    limit, reading = min(zip(limits, taken.readings, strict=True), key=left)
    ends = now + timedelta(milliseconds=reading.wait or reading.reset)
    return {
        "X-RateLimit-Limit": str(limit.amount),
        "X-RateLimit-Remaining": str(max(left((limit, reading)), 0)),
        "X-RateLimit-Reset": str(int(ends.timestamp())),
    }


def queue_headers(scope: MutableMapping[str, Any], headers: Iterable[RawHeader]) -> None:
    """Queue headers for the response to this request."""
    queue = scope.get(QUEUE)
    if queue is None:
        scope[QUEUE] = [*headers]
    else:
        queue.extend(headers)


def raw_headers(headers: Mapping[str, str]) -> list[RawHeader]:
    """Return headers as they go out."""
    return [
        (name.lower().encode("ascii"), text.encode("latin-1")) for name, text in headers.items()
    ]


def with_queued_headers(
    scope: MutableMapping[str, Any], headers: Sequence[RawHeader]
) -> list[RawHeader]:
    """Return the headers of a response together with the queued ones.

    List headers (several limits, several cookies) add up, but never the same line twice. Of every
    other header the response's own stands.
    """
    merged = [(name.lower(), value) for name, value in headers]
    names = {name for name, _ in merged}
    for name, value in cast("list[RawHeader]", scope.get(QUEUE, [])):
        is_new = (name, value) not in merged if name in _LISTS else name not in names
        if is_new:
            merged.append((name, value))
            names.add(name)
    return merged


def _policy_name(limit: Limit, bucket: str | None, *, alone: bool) -> str:
    if bucket is None:
        return f"{limit.amount}-per-{limit.seconds}s"
    return bucket if alone else f"{bucket}-{limit.seconds}s"

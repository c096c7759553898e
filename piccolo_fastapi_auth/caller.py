"""Who asks, as far as the connection tells. A plain value: services and hooks get it, and know no HTTP."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caller:
    """The other end of a request; ``connection`` is only handed on, to log-in hooks.

    ``address`` is canonical, for counting; ``ip`` is the same, or nothing where there is none.
    """

    connection: object
    ip: str | None
    user_agent: str | None
    cookie_digest: str | None
    has_cookie: bool = False
    address: str = "unknown"
    device_cookie: str | None = field(default=None, repr=False)
    request_id: str | None = None
    trust_cookie: str | None = field(default=None, repr=False)

"""For the tests of applications: a clock that stands still, a cheap hasher, and a way past the log-in form."""

from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from piccolo_fastapi_auth.auth import Auth
from piccolo_fastapi_auth.primitives.passwords import TEST_ONLY, PasswordHasher
from piccolo_fastapi_auth.sessions.records import Session
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class FrozenClock:
    """A clock that moves only when it is told to. Give it to ``Auth(clock=...)``.

    Raises:
        ValueError: ``start`` is naive.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError("the clock starts at an aware datetime")
        self._now = start

    def __call__(self) -> datetime:
        """Return the moment at which the clock stands."""
        return self._now

    def move(self, step: timedelta) -> None:
        """Move the clock, forwards or backwards."""
        self._now += step


def fast_hasher() -> PasswordHasher:
    """Return a hasher that is too cheap for production and right for tests. Give it to ``Auth(hasher=...)``."""
    return PasswordHasher(TEST_ONLY, legacy_iterations=1)


class Client(Protocol):
    """A test client that keeps cookies, such as ``httpx.AsyncClient``."""

    @property
    def cookies(self) -> MutableMapping[str, str]:
        """The cookies that it sends."""
        ...


async def log_in_as(client: Client, user: AuthUser, *, auth: Auth[UserT] | None = None) -> Session:
    """Give a test client the cookie of a fresh session, without a password and without the log-in's checks.

    Args:
        client: Its cookies are changed.
        user: A stored person.
        auth: Which ``Auth``; by default the one installed in the application that the client calls.

    Raises:
        LookupError: ``auth`` was left out and cannot be found.
    """
    chosen = auth or _installed_in(client)
    key = getattr(user, user._meta.primary_key._meta.name)
    started = await chosen.sessions.start(
        key,
        transport="cookie",
        methods=["password"],
        scope=None,
        ip=None,
        user_agent="log_in_as",
        authenticated_at=chosen.clock(),
    )
    _set_cookie(client, chosen.settings.session_cookie, started.secret)
    found = await chosen.sessions.find.by_id(started.session_id, now=chosen.clock())
    if found is None:
        raise LookupError("the person is not active, or not stored")
    return found.session


def _set_cookie(client: Client, name: str, value: str) -> None:
    """Set a cookie as the server would: with its domain, so that the server's own next one takes its place."""
    host = getattr(getattr(client, "base_url", None), "host", "")
    put = getattr(client.cookies, "set", None)
    if not host or put is None:
        client.cookies[name] = value
        return
    # Python's cookie jar knows a host without dots under this name (RFC 2965).
    put(name, value, domain=host if "." in host else f"{host}.local", path="/")


def _installed_in(client: object) -> Auth[AuthUser]:
    transport = getattr(
        client, "_transport", client
    )  # httpx has no public way from a client to its application
    app = getattr(transport, "app", None)
    installed: list[Auth[AuthUser]] = getattr(
        getattr(app, "state", None), "piccolo_fastapi_auth", []
    )
    if not installed:
        raise LookupError("no installed Auth behind this client: pass auth=...")
    return installed[0]

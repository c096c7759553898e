"""How credentials travel: reading them, setting and clearing the cookie, CSRF. The lowest module that knows HTTP."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from fastapi import WebSocketException, status
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response

from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.errors import (
    AuthError,
    CsrfFailedError,
    InvalidRequestError,
    InvalidTokenError,
)
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.primitives.client_address import UNKNOWN, client_address, trusted_networks
from piccolo_fastapi_auth.setting_types import LOCAL_HOSTS
from piccolo_fastapi_auth.settings import AuthSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")
_BEARER = re.compile(r"bearer(?:\s(.*))?", re.IGNORECASE | re.DOTALL)
_LONGEST_USER_AGENT = 255
_REQUEST_ID = "piccolo_fastapi_auth.request_id"
_GOOD_REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,64}")
API_KEY_HEADER = "x-api-key"
API_KEY_START = "pfa_"
DEVICE_LIFETIME = timedelta(days=180)
_LONGEST_COOKIE = timedelta(days=400)  # RFC 6265bis section 5.5


@dataclass(frozen=True, slots=True)
class CookieCredential:
    """A session cookie: the digest to look it up by, or ``None`` when it is not even well formed."""

    digest: str | None


@dataclass(frozen=True, slots=True)
class BearerCredential:
    """A token from ``Authorization: Bearer`` (RFC 6750 section 2.1)."""

    token: str

    def __repr__(self) -> str:
        return "BearerCredential(***)"


@dataclass(frozen=True, slots=True)
class ApiKeyCredential:
    """An API key, from ``X-API-Key`` or ``Authorization: Bearer``; not yet looked at."""

    token: str

    def __repr__(self) -> str:
        return "ApiKeyCredential(***)"


Credential = CookieCredential | BearerCredential | ApiKeyCredential


class Transport:
    """Reads and writes credentials as the settings say."""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._cookie = settings.session_cookie
        # Ours first: what a sibling site may set under the old name never stands before it.
        self._cookies = [name for name in (self._cookie, settings.moved_cookie) if name]
        self._device_cookie = f"{settings.session_cookie}-device"
        self._signup_cookie = f"{settings.session_cookie}-signup"
        self._trust_cookie = f"{settings.session_cookie}-trusted"
        self._proxies = trusted_networks(settings.trusted_proxies)
        self._trusted = frozenset(settings.trusted_origins)
        self._own = frozenset([settings.public_origin] if settings.public_origin else [])

    def credential(self, connection: HTTPConnection) -> Credential | None:
        """Return the credential that came, or ``None``.

        Raises:
            InvalidRequestError: Two of cookie, token and API key came.
            InvalidTokenError: The token cannot be one (RFC 6750 section 2.1).
        """
        cookie = self._cookie_value(connection)
        bearer, keys = _bearer(connection), connection.headers.getlist(API_KEY_HEADER)
        if len(bearer) + len(keys) + (cookie is not None) > 1:
            raise InvalidRequestError
        if bearer or keys:
            token = bearer[0] if bearer else keys[0]
            if not _TOKEN68.fullmatch(token):
                raise InvalidTokenError
            is_key = bool(keys) or token.startswith(API_KEY_START)
            return ApiKeyCredential(token) if is_key else BearerCredential(token)
        return None if cookie is None else CookieCredential(opaque_tokens.digest(cookie))

    def _cookie_value(self, connection: HTTPConnection) -> str | None:
        """Return the session cookie as it was sent; of several the last, which Starlette takes too.

        Starlette also strips spaces and undoes quotes and escapes: one token would have many spellings.
        """
        lines = connection.headers.getlist("cookie")
        if not lines:
            return None
        pairs = [pair.lstrip().partition("=") for line in lines for pair in line.split(";")]
        sent = {name: value for name, _, value in pairs}
        return next((sent[name] for name in self._cookies if name in sent), None)

    def caller(self, connection: HTTPConnection) -> Caller:
        """Return what the connection tells of its other end."""
        cookie = self._cookie_value(connection)
        agent = connection.headers.get("user-agent", "")
        address = client_address(connection.scope, trusted_proxies=self._proxies)
        return Caller(
            connection=connection,
            ip=None if address == UNKNOWN else address,
            # Latin-1 from the wire may hold control characters; the row is shown to people.
            user_agent="".join(c for c in agent if c.isprintable())[:_LONGEST_USER_AGENT] or None,
            cookie_digest=None if cookie is None else opaque_tokens.digest(cookie),
            has_cookie=cookie is not None,
            address=address,
            device_cookie=connection.cookies.get(self._device_cookie),
            request_id=request_id(connection),
            trust_cookie=connection.cookies.get(self._trust_cookie),
        )

    def has_cookie(self, connection: HTTPConnection) -> bool:
        """Say whether a session cookie came, good or bad."""
        return self._cookie_value(connection) is not None

    def set_cookie(
        self, response: Response, token: str, *, expires_at: datetime, now: datetime
    ) -> None:
        """Give the browser its session cookie (RFC 6265bis; ASVS 3.3)."""
        response.set_cookie(
            self._cookie, token, max_age=int(min(expires_at - now, _LONGEST_COOKIE).total_seconds()),
            path="/", secure=self._settings.secure_cookies, httponly=True, samesite="lax",
        )  # fmt: skip

    def set_device_cookie(self, response: Response, value: str) -> None:
        """Let a browser be known again: no credential, it only keeps strangers from locking its owner out."""
        response.set_cookie(
            self._device_cookie, value, max_age=int(DEVICE_LIFETIME.total_seconds()),
            path="/", secure=self._settings.secure_cookies, httponly=True, samesite="lax",
        )  # fmt: skip

    def signup_cookie(self, connection: HTTPConnection) -> str | None:
        """Return what a browser remembers of signing up."""
        return connection.cookies.get(self._signup_cookie)

    def set_signup_cookie(self, response: Response, value: str) -> None:
        """Let the browser that signed up be known when it confirms the address: no credential, it opens nothing."""
        lifetime = self._settings.verification_token_lifetime
        response.set_cookie(
            self._signup_cookie, value, max_age=int(lifetime.total_seconds()),
            path="/", secure=self._settings.secure_cookies, httponly=True, samesite="lax",
        )  # fmt: skip

    def set_trust_cookie(self, response: Response, token: str) -> None:
        """Let a browser be spared the second factor for a while; how long, the database knows."""
        response.set_cookie(
            self._trust_cookie, token, max_age=int(self._settings.trusted_device_lifetime.total_seconds()),
            path="/", secure=self._settings.secure_cookies, httponly=True, samesite="lax",
        )  # fmt: skip

    def clear_cookie(self, response: Response) -> None:
        """Take the session cookie back, under whatever name."""
        for name in self._cookies:
            response.delete_cookie(
                name,
                path="/",
                secure=self._settings.secure_cookies,
                httponly=True,
                samesite="lax",
            )

    def check_origin(self, connection: HTTPConnection) -> None:
        """Refuse an unsafe request, or any WebSocket, that a foreign page sent (OWASP CSRF cheat sheet).

        Call it when the request carries a cookie, or would set one.

        Raises:
            CsrfFailedError: It came from another site.
        """
        if connection.scope["type"] == "websocket":
            allowed = self._is_ours(_all_of(connection.headers, "origin"), connection.headers)
        elif connection.scope["method"] in SAFE_METHODS:
            allowed = True
        else:
            allowed = self._may_write(connection.headers)
        if not allowed:
            raise CsrfFailedError

    def _may_write(self, headers: Headers) -> bool:
        site, origin = _all_of(headers, "sec-fetch-site"), _all_of(headers, "origin")
        if site is not None:
            return site in {"same-origin", "none"} or origin in self._trusted
        if origin is not None:
            return self._is_ours(origin, headers)
        return not self._settings.csrf_strict

    def _is_ours(self, origin: str | None, headers: Mapping[str, str]) -> bool:
        """Say whether an ``Origin`` is this application's or a trusted one; ``null`` never is."""
        if origin is None or origin == "null":
            return False
        # A page cannot choose the Host that a browser sends with its cookies, so Host is good enough here.
        scheme, _, host = origin.lower().partition("://")
        if origin in self._trusted | self._own:
            return True
        # The scheme that the server sees is its proxy's, so https is demanded rather than compared.
        plain = (
            not self._settings.secure_cookies
            or re.sub(r":\d+$", "", host).strip("[]") in LOCAL_HOSTS
        )
        good_scheme = scheme == "https" or (scheme == "http" and plain)
        return good_scheme and bool(host) and host == headers.get("host", "").lower()


def request_id(connection: HTTPConnection) -> str:
    """Return the id of a request: ``X-Request-ID`` if it is well formed, else one made now and kept in the scope."""
    known: str | None = connection.scope.get(_REQUEST_ID)
    if known is None:
        sent = connection.headers.get("x-request-id", "")
        known = sent if _GOOD_REQUEST_ID.fullmatch(sent) else uuid4().hex
        connection.scope[_REQUEST_ID] = known
    return known


def bearer_token(connection: HTTPConnection) -> str | None:
    """Return what ``Authorization: Bearer`` carries, for backends that read it; ``None`` without one."""
    found = _bearer(connection)
    return found[0] if found else None


def _bearer(connection: HTTPConnection) -> list[str]:
    values = connection.headers.getlist("authorization")
    return [found[1] or "" for value in values if (found := _BEARER.fullmatch(value))]


def _all_of(headers: Headers, name: str) -> str | None:
    """Return a header; one that came twice is read as a list (RFC 9110 section 5.3), which no origin is."""
    return ", ".join(headers.getlist(name)) if name in headers else None


def refuse(connection: HTTPConnection, error: AuthError) -> Exception:
    """Return what to raise: the error, or on a WebSocket the closing that stands for it (1008, 1013)."""
    if connection.scope["type"] != "websocket":
        return error
    busy = error.status in {status.HTTP_429_TOO_MANY_REQUESTS, status.HTTP_503_SERVICE_UNAVAILABLE}
    code = status.WS_1013_TRY_AGAIN_LATER if busy else status.WS_1008_POLICY_VIOLATION
    return WebSocketException(code, reason=error.code)

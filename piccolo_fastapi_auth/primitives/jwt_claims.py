"""The claims of an access token (RFC 9068): their types, their bounds, their place in time.

Reached only after the signature was verified, and strict all the same: python-jose takes a missing
``exp``, a list as ``aud`` and 10**40 as a time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

CLOCK_SKEW = timedelta(seconds=30)
"""How far another host's clock may run ahead of ours. Expiry has no such allowance."""

MAX_NAME_LENGTH = 255
LAST_SECOND = 253_402_300_799  # the last one that a datetime can hold
SCOPES = re.compile(r"(?:[!#-\[\]-~]+(?: [!#-\[\]-~]+)*)?")  # RFC 6749 section 3.3, or none at all

CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says. Times are aware, in UTC, whole seconds; ``amr`` as in RFC 8176."""

    sub: str
    sid: UUID
    jti: str
    iat: datetime
    exp: datetime
    auth_time: datetime
    amr: tuple[str, ...]
    scope: tuple[str, ...]
    act: str | None = None
    """Who acts as ``sub`` (RFC 8693 section 4.1)."""


def write(claims: AccessClaims, *, issuer: str, audience: str) -> dict[str, object]:
    """Return the JSON members for ``claims``.

    Raises:
        ValueError: A time is naive, or a scope holds a character that would make it another scope.
    """
    scope = " ".join(claims.scope)
    if not SCOPES.fullmatch(scope) or len(claims.scope) != len(_scopes(scope)):
        raise ValueError(
            "a scope is one or more printable ASCII characters without space, quote or \\"
        )
    acting = {} if claims.act is None else {"act": {"sub": claims.act}}
    return {
        **acting,
        "iss": issuer,
        "aud": audience,
        "sub": claims.sub,
        "sid": str(claims.sid),
        "jti": claims.jti,
        "iat": _seconds(claims.iat),
        "exp": _seconds(claims.exp),
        "auth_time": _seconds(claims.auth_time),
        "amr": claims.amr,
        "scope": scope,
    }


def read(
    members: Mapping[str, object], *, issuer: str, audience: str, now: datetime
) -> AccessClaims:
    """Return the claims in ``members``; whether they have expired is for the caller to say.

    Raises:
        ValueError: A claim is missing, of another type, out of bounds, for another issuer or
            audience, or begins in the future.
    """
    if members.get("iss") != issuer or members.get("aud") != audience:
        raise ValueError("another issuer or audience")
    claims = AccessClaims(
        sub=name(members.get("sub")),
        sid=_session_id(members.get("sid")),
        jti=name(members.get("jti")),
        iat=moment(members.get("iat")),
        exp=moment(members.get("exp")),
        auth_time=moment(members.get("auth_time")),
        amr=_names(members.get("amr")),
        scope=_scopes(members.get("scope")),
        act=_actor(members["act"]) if "act" in members else None,
    )
    begins = moment(members["nbf"]) if "nbf" in members else claims.iat
    # auth_time too: a log-in that has yet to happen would count as recent for ever.
    if max(begins, claims.iat, claims.auth_time) > now + CLOCK_SKEW:
        raise ValueError("begins in the future")
    return claims


def _seconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("a time must be aware")
    return int(moment.timestamp())


def moment(value: object) -> datetime:
    """Read a time in whole seconds.

    Raises:
        ValueError: It is anything else.
    """
    # The exact type: True is an int to isinstance, and a float may be NaN or infinite.
    if type(value) is not int or not 0 <= value <= LAST_SECOND:
        raise ValueError("not a time in whole seconds")
    return datetime.fromtimestamp(value, UTC)


def name(value: object) -> str:
    """Read a name: printable, neither empty nor long.

    Raises:
        ValueError: It is anything else.
    """
    # Printable also keeps out NUL and lone surrogates, which a database would stumble over.
    if isinstance(value, str) and 0 < len(value) <= MAX_NAME_LENGTH and value.isprintable():
        return value
    raise ValueError("not a name")


def _actor(value: object) -> str:
    if not isinstance(value, dict):
        raise ValueError("not an actor")  # noqa: TRY004  one exception type for all that is wrong
    return name(value.get("sub"))


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("not a list")  # noqa: TRY004  one exception type for all that is wrong
    return tuple([name(item) for item in value])


def _scopes(value: object) -> tuple[str, ...]:
    if not isinstance(value, str) or not SCOPES.fullmatch(value):
        raise ValueError("not a list of scopes")
    return tuple(value.split(" ")) if value else ()


def _session_id(value: object) -> UUID:
    # Not by UUID() alone: it also reads braces, upper case and urn:uuid:
    if not isinstance(value, str) or not CANONICAL_UUID.fullmatch(value):
        raise ValueError("not a canonical UUID")
    return UUID(value)

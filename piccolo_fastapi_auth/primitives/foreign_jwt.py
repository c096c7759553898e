"""Tokens of somebody else's issuer (OpenID Connect, RFC 9068), verified as strictly as our own (RFC 8725).

Only RS256 and ES256: a public key must never be taken for an HMAC secret (RFC 8725 section 2.1).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from jose import jwk
from jose.backends.base import Key
from jose.exceptions import JOSEError

from piccolo_fastapi_auth.primitives import base64url, jws, jwt_claims
from piccolo_fastapi_auth.primitives.jwt import InvalidJwtError
from piccolo_fastapi_auth.primitives.jwt_keys import MIN_RSA_BITS, PUBLIC_MEMBERS

ForeignAlgorithm = Literal["RS256", "ES256"]

MAX_TOKEN_LENGTH = 8192
MAX_KEYS = 100
_MAX_RSA_BITS = 8192
_MAX_EXPONENT_BYTES = 4
_KEY_TYPES = {"RS256": "RSA", "ES256": "EC"}
_TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One prebuilt key of an issuer."""

    algorithm: ForeignAlgorithm
    verifier: Key


class UnknownKeyError(InvalidJwtError):
    """No key of the set signed the token: perhaps one did that the issuer has just begun to use."""


class ForeignExpiredError(InvalidJwtError):
    """The token is genuine, and its time is over."""


def read_keys(text: bytes, *, algorithms: Sequence[ForeignAlgorithm]) -> dict[str, PublicKey]:
    """Return the usable keys of a JWK set (RFC 7517 section 5) by their ``kid``; others are passed over.

    Raises:
        ValueError: It is no JWK set, or it has too many keys.
    """
    listed = jws.json_object(text).get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError("not a JWK set")
    found: dict[str, PublicKey] = {}
    for described in listed:
        key = _public_key(described, algorithms) if isinstance(described, dict) else None
        if key is not None:
            found[_kid(described)] = key
    return found


def verify(
    token: str, *, keys: Mapping[str, PublicKey], issuer: str, audience: str, now: datetime
) -> dict[str, object]:
    """Return all claims of a genuine token for us that has not expired.

    Raises:
        UnknownKeyError: None of ``keys`` signed it.
        ForeignExpiredError: It is genuine and too old.
        InvalidJwtError: It is anything else, whatever text it may be.
    """
    try:
        claims = jws.verified(token, keys_for=_chooser(keys), longest=MAX_TOKEN_LENGTH)
        expires_at = _check(claims, issuer=issuer, audience=audience, now=now)
    except jws.NotSignedError:
        raise UnknownKeyError("The key is not known.") from None
    except (ValueError, RecursionError, JOSEError):
        raise InvalidJwtError("This is not a valid token.") from None
    if now >= expires_at:
        raise ForeignExpiredError("The token has expired.")
    return claims


def claimed_issuer(token: str) -> str | None:
    """Return who a token says that it is from, unverified: only to choose who shall verify it."""
    parts = token.split(".", 3) if len(token) <= MAX_TOKEN_LENGTH else []
    try:
        issuer = jws.members(parts[1]).get("iss") if len(parts) == 3 else None  # noqa: PLR2004 - RFC 7515
    except (ValueError, RecursionError):
        return None
    return issuer if isinstance(issuer, str) else None


def _chooser(keys: Mapping[str, PublicKey]) -> Callable[[str], Sequence[Key]]:
    def choose(segment: str) -> Sequence[Key]:
        header = jws.members(segment)
        kind, algorithm = header.get("typ", "JWT"), header.get("alg")
        if "crit" in header or not isinstance(kind, str) or kind.lower() not in _TOKEN_TYPES:
            raise ValueError("an extension that must be understood, or another kind of token")
        if algorithm not in _KEY_TYPES:
            raise ValueError("another algorithm")
        # Without a name the one key of the set is meant (OpenID Connect Core 1.0 section 10.1).
        named = [keys[kid]] if (kid := _kid(header)) in keys else []
        chosen = named if "kid" in header else list(keys.values())
        if len(chosen) != 1:
            raise jws.NotSignedError("not a key of this set")
        if chosen[0].algorithm != algorithm:
            raise ValueError("not the algorithm of this key")
        return (chosen[0].verifier,)

    return choose


def _kid(members: Mapping[str, object]) -> str:
    """Return a key's name; the one key of a set may do without."""
    kid = members.get("kid", "")
    if not isinstance(kid, str):
        raise ValueError("a key's name is text")  # noqa: TRY004  one exception type for all of it
    return kid


def _check(claims: Mapping[str, object], *, issuer: str, audience: str, now: datetime) -> datetime:
    intended = claims.get("aud")
    audiences = intended if isinstance(intended, list) else [intended]
    if claims.get("iss") != issuer or audience not in audiences:
        raise ValueError("another issuer or audience")
    jwt_claims.name(claims.get("sub"))
    for begins in ("nbf", "iat"):
        if begins in claims and jwt_claims.moment(claims[begins]) > now + jwt_claims.CLOCK_SKEW:
            raise ValueError("begins in the future")
    return jwt_claims.moment(claims.get("exp"))


def _public_key(
    described: Mapping[str, object], algorithms: Sequence[ForeignAlgorithm]
) -> PublicKey | None:
    """Build a key from its public members alone; whatever else stands there is not looked at."""
    algorithm = next((one for one in algorithms if described.get("kty") == _KEY_TYPES[one]), None)
    if (
        algorithm is None
        or described.get("use", "sig") != "sig"
        or described.get("alg", algorithm) != algorithm
    ):
        return None
    public = {name: described.get(name) for name in PUBLIC_MEMBERS[algorithm]}
    try:
        _check_size(algorithm, public)
        return PublicKey(algorithm, jwk.construct(public, algorithm))
    except (ValueError, JOSEError):
        return None


def _check_size(algorithm: ForeignAlgorithm, public: Mapping[str, object]) -> None:
    texts = [value for value in public.values() if isinstance(value, str)]
    if len(texts) != len(public):
        raise ValueError("a member is missing")
    if algorithm == "ES256":
        if public["crv"] != "P-256":
            raise ValueError("another curve")
        return
    bits = int.from_bytes(base64url.decode(str(public["n"])), "big").bit_length()
    exponent = base64url.decode(str(public["e"]))
    if not MIN_RSA_BITS <= bits <= _MAX_RSA_BITS or len(exponent) > _MAX_EXPONENT_BYTES:
        raise ValueError("too short, or too costly")

"""Signed access tokens (RFC 7519, RFC 9068), hardened by RFC 8725.

Nothing in a token chooses how it is verified: the algorithm and the keys are ours, and the size,
the form and the header are judged before the signature, the claims only after it.
"""

from collections.abc import Sequence
from datetime import datetime

from jose.backends.base import Key
from jose.exceptions import JOSEError

from piccolo_fastapi_auth.primitives import base64url, jws, jwt_claims
from piccolo_fastapi_auth.primitives.jwt_claims import AccessClaims
from piccolo_fastapi_auth.primitives.jwt_keys import Algorithm, JwtKeyError, SigningKey, load_keys

__all__ = ["AccessClaims", "ExpiredJwtError", "InvalidJwtError", "JwtCodec", "JwtKeyError"]

MAX_TOKEN_LENGTH = 4096
TOKEN_TYPE = "at+jwt"  # noqa: S105  RFC 9068 section 2.1: no other token of ours has this type


class InvalidJwtError(Exception):
    """Not an access token of ours; never says why, and never holds the token."""


class ExpiredJwtError(InvalidJwtError):
    """A genuine access token whose time is over; ``claims`` is what it said."""

    def __init__(self, claims: AccessClaims) -> None:
        super().__init__("The access token has expired.")
        self.claims = claims


class JwtCodec:
    """Signs and verifies access tokens under one algorithm (RFC 8725 section 3.1).

    ``keys`` are HMAC secrets for HS256 and PEM private keys for RS256 and ES256, newest first: the
    first signs, all verify. A key pair is named by its thumbprint in ``kid``; HS256 tokens carry no
    ``kid`` and are tried against every secret.

    Raises:
        JwtKeyError: A key is weak, mistaken or missing, or the algorithm is not known.
    """

    def __init__(
        self, *, algorithm: Algorithm, keys: Sequence[bytes], issuer: str, audience: str
    ) -> None:
        self._algorithm = algorithm
        self._keys = load_keys(algorithm, keys)
        self._verifiers = tuple(key.verifier for key in self._keys)
        self._issuer = issuer
        self._audience = audience
        self._by_kid = {key.kid: key for key in self._keys}
        self._header_names = {"alg", "typ"} if algorithm == "HS256" else {"alg", "typ", "kid"}
        self._own_header = jws.segment(self._header(self._keys[0]))
        # Every header that we write, as it stands in the token. Never added to, so it stays small.
        self._known_headers = {
            jws.segment(self._header(key)): self._verifying(key) for key in self._keys
        }

    def sign(self, claims: AccessClaims) -> str:
        """Return ``claims`` as a signed token in compact form (RFC 7515 section 7.1).

        Raises:
            ValueError: A claim cannot be written, or the token would be too long to be accepted.
        """
        payload = jwt_claims.write(claims, issuer=self._issuer, audience=self._audience)
        signed = f"{self._own_header}.{jws.segment(payload)}"
        proof = self._keys[0].signer.sign(signed.encode("ascii"))
        token = f"{signed}.{base64url.encode(proof)}"
        if len(token) > MAX_TOKEN_LENGTH:
            raise ValueError(f"an access token holds at most {MAX_TOKEN_LENGTH} characters")
        return token

    def verify(self, token: str, *, now: datetime) -> AccessClaims:
        """Return the claims of a genuine token that has not expired.

        Raises:
            ExpiredJwtError: The token is genuine and ``now`` is at or after its ``exp``.
            InvalidJwtError: It is anything else, whatever text it may be.
        """
        try:
            claims = self._genuine_claims(token, now=now)
        except (ValueError, RecursionError, JOSEError):
            # Without its cause: a JSON or Unicode error carries the text that it stumbled over.
            raise InvalidJwtError("This is not a valid access token.") from None
        if now >= claims.exp:
            raise ExpiredJwtError(claims)
        return claims

    def jwks(self) -> dict[str, object] | None:
        """Return the public keys as a JWK set (RFC 7517 section 5), or ``None`` under HS256."""
        if self._algorithm == "HS256":
            return None
        use = {"use": "sig", "alg": self._algorithm}
        pairs = self._by_kid.items()
        return {"keys": [{**key.public_members, **use, "kid": kid} for kid, key in pairs]}

    def _genuine_claims(self, token: str, *, now: datetime) -> AccessClaims:
        members = jws.verified(token, keys_for=self._keys_for, longest=MAX_TOKEN_LENGTH)
        return jwt_claims.read(members, issuer=self._issuer, audience=self._audience, now=now)

    def _keys_for(self, segment: str) -> tuple[Key, ...]:
        """Judge a header; in one that is not spelled as we do only alg, typ and kid may stand.

        So no ``jwk``, ``jku``, ``x5u`` or ``crit`` is ever looked at (RFC 8725 section 3.10).
        """
        return self._known_headers.get(segment) or self._keys_for_foreign(segment)

    def _keys_for_foreign(self, segment: str) -> tuple[Key, ...]:
        header = jws.members(segment)
        if header.keys() != self._header_names:
            raise ValueError("a member too many or too few")
        if header["alg"] != self._algorithm or header["typ"] != TOKEN_TYPE:
            raise ValueError("another algorithm or another kind of token")
        if "kid" not in header:
            return self._verifiers
        kid = header["kid"]
        if not isinstance(kid, str) or kid not in self._by_kid:
            raise ValueError("not a key of ours")
        return (self._by_kid[kid].verifier,)

    def _header(self, key: SigningKey) -> dict[str, object]:
        header: dict[str, object] = {"alg": self._algorithm, "typ": TOKEN_TYPE}
        return header if key.kid is None else {**header, "kid": key.kid}

    def _verifying(self, key: SigningKey) -> tuple[Key, ...]:
        return self._verifiers if key.kid is None else (key.verifier,)

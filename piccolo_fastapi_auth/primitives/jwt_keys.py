"""Keys for signed access tokens: checked once at start-up (RFC 8725 section 3.5), then prebuilt.

python-jose accepts an empty HMAC secret and reads a PEM text again on every call; here a weak or
mistaken key stops the application before its first request, and a text is read once.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_elliptic
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jose import jwk
from jose.backends.base import Key
from jose.exceptions import JWKError

from piccolo_fastapi_auth.primitives import base64url

Algorithm = Literal["HS256", "RS256", "ES256"]

MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2: no shorter than the hash
MIN_RSA_BITS = 2048  # RFC 7518 section 3.3
ADVISED_RSA_BITS = 3072  # 128 bits of strength: NIST SP 800-57 part 1, table 2

# The members that RFC 7638 section 3.2 hashes: those without which the key would not be the key.
PUBLIC_MEMBERS = {"RS256": ("e", "kty", "n"), "ES256": ("crv", "kty", "x", "y")}


class JwtKeyError(ValueError):
    """A signing key that must not be used. The message says what to do and holds no key text."""


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """One prebuilt key. ``kid`` is ``None`` and ``public_members`` empty for an HMAC secret."""

    signer: Key
    verifier: Key
    kid: str | None
    public_members: Mapping[str, str]


def load_keys(algorithm: Algorithm, keys: Sequence[bytes]) -> tuple[SigningKey, ...]:
    """Check and prebuild ``keys``: HMAC secrets for HS256, else PEM private keys.

    Raises:
        JwtKeyError: A key is weak or of another kind, there is none, or ``algorithm`` is not known.
    """
    if not keys:
        raise JwtKeyError("Give at least one signing key: the first signs, all of them verify.")
    if algorithm == "HS256":
        return tuple(_hmac_key(secret) for secret in keys)
    if algorithm in PUBLIC_MEMBERS:
        return tuple(_key_pair(algorithm, pem) for pem in keys)
    raise JwtKeyError("Choose HS256, RS256 or ES256 as the algorithm.")


def new_pem(algorithm: Algorithm) -> bytes:
    """Return a new private key for RS256 or ES256 as PEM text (PKCS #8).

    Raises:
        JwtKeyError: ``algorithm`` has no key pairs.
    """
    if algorithm not in PUBLIC_MEMBERS:
        raise JwtKeyError("Only RS256 and ES256 have key pairs.")
    key: RSAPrivateKey | EllipticCurvePrivateKey = (
        generate_rsa(public_exponent=65537, key_size=ADVISED_RSA_BITS)
        if algorithm == "RS256"
        else generate_elliptic(SECP256R1())
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(pem: bytes) -> bytes:
    """Return the public key of a private one, as PEM text."""
    public = _private_key(pem).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def thumbprint(public_members: Mapping[str, str]) -> str:
    """Return the SHA-256 thumbprint of a public key's required members (RFC 7638)."""
    canonical = json.dumps(dict(public_members), sort_keys=True, separators=(",", ":"))
    return base64url.encode(sha256(canonical.encode()).digest())


def _hmac_key(secret: bytes) -> SigningKey:
    if len(secret) < MIN_SECRET_BYTES:
        raise JwtKeyError(f"Use a secret of at least {MIN_SECRET_BYTES} bytes for HS256.")
    try:
        key = jwk.construct(secret, "HS256")
    except JWKError:  # it looks like a key pair's text, which others may well hold (RFC 8725 2.1)
        raise JwtKeyError(
            "HS256 takes random secrets, not a PEM or SSH key: choose RS256 or ES256 for this key."
        ) from None
    return SigningKey(signer=key, verifier=key, kid=None, public_members={})


def _key_pair(algorithm: Algorithm, pem: bytes) -> SigningKey:
    _check_key_pair(algorithm, _private_key(pem))
    signer = jwk.construct(pem, algorithm)
    verifier = signer.public_key()
    described = verifier.to_dict()
    members = {name: str(described[name]) for name in PUBLIC_MEMBERS[algorithm]}
    return SigningKey(signer, verifier, thumbprint(members), members)


def _private_key(pem: bytes) -> PrivateKeyTypes:
    if b"PUBLIC KEY" in pem or b"CERTIFICATE" in pem:
        raise JwtKeyError("Give the private key: this PEM holds a public key or a certificate.")
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise JwtKeyError(
            "This PEM is encrypted: give the private key without a passphrase."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise JwtKeyError(
            "RS256 and ES256 need a private key as PEM text, such as 'openssl genpkey' writes."
        ) from None


def _check_key_pair(algorithm: Algorithm, key: PrivateKeyTypes) -> None:
    if algorithm == "ES256":
        if not (isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)):
            raise JwtKeyError("ES256 needs an elliptic curve key on P-256 (prime256v1).")
        return
    if not isinstance(key, RSAPrivateKey):
        raise JwtKeyError("RS256 needs an RSA key.")
    if key.key_size < MIN_RSA_BITS:
        raise JwtKeyError(f"Use an RSA key of {ADVISED_RSA_BITS} bits: this one is too short.")
    if key.key_size < ADVISED_RSA_BITS:
        advice = f"An RSA signing key of {ADVISED_RSA_BITS} bits or more is advised, or ES256."
        warnings.warn(advice, stacklevel=2)

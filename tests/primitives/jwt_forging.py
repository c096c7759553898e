"""Keys and hand-made tokens for the JWT tests. Nothing here uses the code under test to build them."""

import functools
import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jose import jwk

from piccolo_fastapi_auth.primitives.jwt import AccessClaims, JwtCodec
from piccolo_fastapi_auth.primitives.jwt_keys import Algorithm

SECRET: Final = b"0123456789abcdef0123456789abcdef"
ISSUER: Final = "https://issuer.example"
AUDIENCE: Final = "https://api.example"
NOW: Final = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
SECONDS: Final = int(NOW.timestamp())
SESSION: Final = UUID("8c4b0a52-6d0e-4a3c-9a1d-3f0f6c1f2a7b")

CLAIMS: Final = AccessClaims(
    sub="42",
    sid=SESSION,
    jti="a-token-id",
    iat=NOW,
    exp=NOW + timedelta(minutes=10),
    auth_time=NOW - timedelta(minutes=1),
    amr=("pwd", "otp", "mfa"),
    scope=("posts:read", "posts:write"),
)
PAYLOAD: Final[Mapping[str, object]] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "42",
    "sid": str(SESSION),
    "jti": "a-token-id",
    "iat": SECONDS,
    "exp": SECONDS + 600,
    "auth_time": SECONDS - 60,
    "amr": ["pwd", "otp", "mfa"],
    "scope": "posts:read posts:write",
}
HEADER: Final[Mapping[str, object]] = {"alg": "HS256", "typ": "at+jwt"}


def pem_of(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem_of(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_der_of(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_ssh_of(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


@functools.cache
def rsa_key(bits: int = 3072) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@functools.cache
def ec_key(number: int = 1) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number + 1_000, ec.SECP256R1())


@functools.cache
def codec(algorithm: Algorithm = "HS256") -> JwtCodec:
    keys = {"HS256": SECRET, "RS256": pem_of(rsa_key()), "ES256": pem_of(ec_key())}
    return JwtCodec(algorithm=algorithm, keys=[keys[algorithm]], issuer=ISSUER, audience=AUDIENCE)


def segment(content: object) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(header: object, payload: object, *, secret: bytes = SECRET, sha: str = "sha256") -> str:
    """Return a token with a good HMAC over whatever the two parts are (``bytes`` as they are)."""
    text = f"{segment(header)}.{segment(payload)}"
    return f"{text}.{segment(hmac.digest(secret, text.encode(), getattr(hashlib, sha)))}"


def with_claims(**changes: object) -> str:
    """Return a token signed by our secret whose payload differs from a good one."""
    return signed(HEADER, {**PAYLOAD, **changes})


def without_claim(name: str) -> str:
    return signed(HEADER, {key: value for key, value in PAYLOAD.items() if key != name})


def signed_by_key(algorithm: Algorithm, *, kid: object, number: int = 1) -> str:
    """Return a token with a good signature by one of our key pairs, under any ``kid``."""
    key = rsa_key() if algorithm == "RS256" else ec_key(number)
    text = f"{segment({'alg': algorithm, 'typ': 'at+jwt', 'kid': kid})}.{segment(dict(PAYLOAD))}"
    proof = jwk.construct(pem_of(key), algorithm).sign(text.encode())
    return f"{text}.{segment(proof)}"

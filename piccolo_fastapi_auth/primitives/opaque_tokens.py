"""Opaque tokens: random text for the client, a digest for the table (OWASP ASVS 7.2.3, 11.5.1)."""

import secrets
from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from piccolo_fastapi_auth.primitives import base64url

TOKEN_BYTES = 32
TOKEN_LENGTH = 43  # characters of base64url that spell TOKEN_BYTES
DERIVED_KEY_BYTES = 32
PURPOSE_PREFIX = b"piccolo-fastapi-auth:"


def new_token() -> str:
    """Return 256 random bits as 43 characters of base64url."""
    return base64url.encode(secrets.token_bytes(TOKEN_BYTES))


def digest(token: str) -> str | None:
    """Return what a table stores for ``token``, or ``None`` if it cannot be one of ours.

    A plain SHA-256 is enough: nobody can guess 256 random bits, so there is nothing for a slow
    hash to protect. Only the canonical spelling counts, so that a token has one row and one text.
    """
    if len(token) != TOKEN_LENGTH:
        return None
    try:
        base64url.decode(token)
    except ValueError:
        return None
    return sha256(token.encode("ascii")).hexdigest()


def derive_key(secret: bytes, *, purpose: str) -> bytes:
    """Return the 32-byte key for one ``purpose`` (HKDF-SHA256, RFC 5869).

    One configured secret serves many purposes, and what leaks from one says nothing about another.
    """
    info = PURPOSE_PREFIX + purpose.encode()
    kdf = HKDF(algorithm=SHA256(), length=DERIVED_KEY_BYTES, salt=None, info=info)
    return kdf.derive(secret)

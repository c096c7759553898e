"""What an API key looks like: ``pfa_<id>_<secret>_<checksum>``. Pure.

A typing error is found without any query, and `FORM` lets a secret scanner find a key that leaked into a
repository: `docs/how-to/api-keys.md` gives the expression to scanners.
"""

import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

FORM = re.compile(
    r"pfa_([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    r"_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})"
)

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_BYTES = 32
_SECRET_LENGTH = 43  # base62 digits that spell 32 bytes
_CHECKSUM_LENGTH = 6
_PREFIX_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Presented:
    """A key with the right form and checksum: its row, and the digest that the row must hold."""

    id: UUID
    secret_hash: str = field(repr=False)


def new(key_id: UUID) -> tuple[str, str]:
    """Return a new key for a row, to be shown once, and the digest to store."""
    number = int.from_bytes(secrets.token_bytes(_SECRET_BYTES), "big")
    secret = _base62(number, length=_SECRET_LENGTH)
    body = f"pfa_{key_id}_{secret}"
    return f"{body}_{checksum(body)}", _digest(secret)


def parse(text: str) -> Presented | None:
    """Return what a key names, or ``None`` for what cannot be one."""
    found = FORM.fullmatch(text)
    if found is None or checksum(text.rpartition("_")[0]) != found[3]:
        return None
    return Presented(UUID(found[1]), _digest(found[2]))


def checksum(body: str) -> str:
    """Return the CRC-32 of ``pfa_<id>_<secret>`` in base62 (0-9, A-Z, a-z): six characters, zero-padded."""
    return _base62(zlib.crc32(body.encode("ascii")), length=_CHECKSUM_LENGTH)


def prefix(key_id: UUID) -> str:
    """Return the start of a key, by which its owner knows it again. Not secret."""
    return f"pfa_{str(key_id)[:_PREFIX_DIGITS]}"


def _digest(secret: str) -> str:
    # A plain SHA-256 is enough for 256 random bits, as in `opaque_tokens.digest`.
    return sha256(secret.encode("ascii")).hexdigest()


def _base62(number: int, *, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))

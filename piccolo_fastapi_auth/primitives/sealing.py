"""Sealed secrets at rest: AES-256-GCM (NIST SP 800-38D), bound to their row, with key rotation.

A sealed text is ``v1.`` and the base64url of key id, nonce, ciphertext and tag. The version, the key
id and ``bound_to`` are authenticated too, so a text moved to another row does not open there.
"""

import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from piccolo_fastapi_auth.primitives import base64url

VERSION: Final = "v1."
KEY_BYTES = 32
KEY_ID_BYTES = 8
NONCE_BYTES = 12  # random: good for 2**32 texts per key (SP 800-38D section 8.3)
TAG_BYTES = 16
PURPOSE = b"piccolo-fastapi-auth:sealed:"


class SealError(Exception):
    """The text was not sealed by us for this place; never says why, and never holds the secret."""


class Sealer:
    """Seals short secrets. The first key seals, all of them open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"give one or more encryption keys of exactly {KEY_BYTES} bytes")
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._newest = _key_id(keys[0])

    def seal(self, plaintext: bytes, *, bound_to: str) -> str:
        """Return ``plaintext`` sealed; only the same ``bound_to`` opens it again."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        context = _context(self._newest, bound_to=bound_to)
        ciphertext = self._ciphers[self._newest].encrypt(nonce, plaintext, context)
        return VERSION + base64url.encode(self._newest + nonce + ciphertext)

    def open(self, sealed: str, *, bound_to: str) -> bytes:
        """Return what was sealed for ``bound_to``.

        Raises:
            SealError: The text is malformed, was altered, belongs elsewhere or needs another key.
        """
        key_id, nonce, ciphertext = _parts(sealed)
        if key_id not in self._ciphers:
            raise SealError("No configured encryption key opens this text.")
        context = _context(key_id, bound_to=bound_to)
        try:
            return self._ciphers[key_id].decrypt(nonce, ciphertext, context)
        except InvalidTag:
            raise SealError("This text was not sealed for this place.") from None

    def needs_resealing(self, sealed: str) -> bool:
        """Return whether another key than the newest sealed the text.

        Raises:
            SealError: The text is malformed.
        """
        key_id, _, _ = _parts(sealed)
        return key_id != self._newest


def _key_id(key: bytes) -> bytes:
    return sha256(PURPOSE + b"key-id:" + key).digest()[:KEY_ID_BYTES]


def _context(key_id: bytes, *, bound_to: str) -> bytes:
    return PURPOSE + VERSION.encode() + key_id + bound_to.encode()


def _parts(sealed: str) -> tuple[bytes, bytes, bytes]:
    """Return key id, nonce and ciphertext."""
    version, rest = sealed[: len(VERSION)], sealed[len(VERSION) :]
    try:
        content = base64url.decode(rest)
    except ValueError:
        raise SealError("This is not a sealed text.") from None
    start = KEY_ID_BYTES + NONCE_BYTES
    if version != VERSION or len(content) < start + TAG_BYTES:
        raise SealError("This is not a sealed text.")
    return content[:KEY_ID_BYTES], content[KEY_ID_BYTES:start], content[start:]

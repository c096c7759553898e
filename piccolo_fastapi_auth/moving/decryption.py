"""How Piccolo API encrypted the secrets of authenticator apps: plain text, Fernet, XChaCha20. Pure."""

import base64
import binascii
import functools
import importlib
from collections.abc import Callable
from typing import Literal, Protocol, cast

from cryptography.fernet import Fernet, InvalidToken

Encryption = Literal["plain", "fernet", "xchacha20"]
Decrypt = Callable[[str], str]

_KEY_BYTES = 32


class NotDecryptedError(ValueError):
    """The text was encrypted in another way or under another key; never says more."""


class _Aead(Protocol):
    """The part of PyNaCl that is used here; it is an optional install."""

    def decrypt(self, ciphertext: bytes) -> bytes: ...


def decryption(encryption: Encryption, key: str | None) -> Decrypt:
    """Return what opens a stored secret, such as ``fernet-...``.

    Args:
        encryption: Which provider of Piccolo API made it.
        key: Its key: for Fernet as ``FernetProvider`` takes it; for XChaCha20 32 bytes in hex or base64.

    Raises:
        ValueError: The key is missing or cannot be one, or PyNaCl is not installed.
    """
    if encryption == "plain":
        return functools.partial(_opened, "plain", lambda text: text.encode())
    if not key:
        raise ValueError(f"{encryption} needs its key")
    if encryption == "fernet":
        return functools.partial(_opened, "fernet", _fernet(key))
    return functools.partial(_opened, "xchacha20", _xchacha20(key))


def _opened(prefix: str, decrypt: Callable[[str], bytes], stored: str) -> str:
    start, dash, text = stored.partition("-")
    if (start, dash) != (prefix, "-"):
        raise NotDecryptedError("another provider encrypted it")
    try:
        return decrypt(text).decode()
    except ValueError:
        raise NotDecryptedError("it does not open with this key") from None


def _fernet(key: str) -> Callable[[str], bytes]:
    try:
        fernet = Fernet(key)
    except ValueError:
        raise ValueError("a Fernet key is base64url of 32 bytes") from None

    def decrypt(text: str) -> bytes:
        try:
            return fernet.decrypt(text.encode())
        except InvalidToken:
            raise NotDecryptedError("it does not open with this key") from None

    return decrypt


def _xchacha20(key: str) -> Callable[[str], bytes]:
    try:
        secret = importlib.import_module("nacl.secret")
        failure = cast("type[Exception]", importlib.import_module("nacl.exceptions").CryptoError)
    except ImportError:
        raise ValueError(
            'XChaCha20 needs PyNaCl: pip install "piccolo-fastapi-auth[moving]"'
        ) from None
    box = cast("_Aead", secret.Aead(_key_of_32_bytes(key)))

    def decrypt(text: str) -> bytes:
        try:
            return box.decrypt(bytes.fromhex(text))
        except failure:
            raise NotDecryptedError("it does not open with this key") from None

    return decrypt


def _key_of_32_bytes(text: str) -> bytes:
    """Read a key of random bytes, which cannot be written as they are: hex, base64 or base64url."""
    readers: tuple[Callable[[str], bytes], ...] = (
        bytes.fromhex,
        functools.partial(base64.b64decode, validate=True),
        base64.urlsafe_b64decode,
    )
    for read in readers:
        try:
            key = read(text.strip())
        except (ValueError, binascii.Error):
            continue
        if len(key) == _KEY_BYTES:
            return key
    raise ValueError("an XChaCha20 key is 32 bytes, in hex or base64")

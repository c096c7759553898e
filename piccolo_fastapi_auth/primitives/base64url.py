"""Base64url without padding (RFC 4648 section 5, RFC 7515 section 2), one spelling per value."""

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(content: bytes) -> str:
    """Return the unpadded base64url text of ``content``."""
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Return the bytes that ``text`` spells.

    The standard library skips foreign characters and ignores the spare low bits of the last
    character, so several texts would name one value (RFC 4648 section 3.5). Spelling the answer
    again and comparing leaves exactly one.

    Raises:
        ValueError: ``text`` is not the canonical, unpadded spelling of any bytes.
    """
    content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(content) != text:
        raise ValueError("not canonical base64url")
    return content

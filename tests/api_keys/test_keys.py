"""What an API key looks like: form, checksum, digest."""

import re
import string
import zlib
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from piccolo_fastapi_auth.api_keys import keys
from tests.docs.pages import DOCS, blocks

DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase


def test_the_form_is_id_secret_and_checksum() -> None:
    """API-1: another computation of the CRC-32 in base62 agrees; 256 random bits; the digest is of the secret alone."""
    key_id = uuid4()
    text, digest = keys.new(key_id)
    start, shown_id, secret, checksum = text.split("_")

    assert (start, UUID(shown_id)) == ("pfa", key_id)
    value = 0
    for character in secret:
        value = value * 62 + DIGITS.index(character)
    assert (len(secret), value.bit_length() <= 256) == (43, True)
    number = 0
    for character in checksum:
        number = number * 62 + DIGITS.index(character)
    assert (len(checksum), number) == (6, zlib.crc32(f"pfa_{key_id}_{secret}".encode()))
    assert digest == sha256(secret.encode()).hexdigest()
    assert keys.parse(text) == keys.Presented(key_id, digest)
    assert text.startswith(keys.prefix(key_id))


def test_a_small_checksum_is_padded_with_zeros() -> None:
    """DESIGN.md 10: six characters, whatever the number."""
    bodies = (f"pfa_{number}" for number in range(100_000))
    small = next(body for body in bodies if zlib.crc32(body.encode()) < 62**4)

    assert keys.checksum(small).startswith("00")
    assert len(keys.checksum(small)) == 6


@given(at=st.integers(0, 90), other=st.sampled_from(DIGITS + "_-é"))
def test_one_wrong_character_is_found(at: int, other: str) -> None:
    """API-1: a CRC-32 finds every change of one character."""
    text, _ = keys.new(UUID(int=7))

    changed = text[:at] + other + text[at + 1 :]

    assert (keys.parse(changed) is None) == (changed != text)


def test_only_the_canonical_spelling_counts() -> None:
    """A key has one text: no other case, no space around it."""
    text, _ = keys.new(uuid4())

    for other in (
        text.upper(),
        f"{text}\n",
        f" {text}",
        text.replace("pfa_", "pfa_0", 1),
        f"{text}_",
    ):
        assert keys.parse(other) is None, other


def test_the_expression_for_secret_scanners_finds_keys() -> None:
    """API-1: the one in the documentation is the one that the code uses, and finds a key in the middle of a file."""
    (documented,) = [
        b.text.strip() for b in blocks(DOCS / "how-to" / "api-keys.md") if b.language == "text"
    ]
    text, _ = keys.new(uuid4())

    assert re.findall(documented, f'KEY = "{text}"  # oops') == [text]
    assert re.compile(documented.replace(r"\b", "")).fullmatch(text)


def test_secrets_are_unique() -> None:
    """API-1: a thousand keys share no secret, and every position varies."""
    secrets = [keys.new(UUID(int=1))[0].split("_")[2] for _ in range(1000)]

    assert len(set(secrets)) == 1000
    assert all(len({secret[at] for secret in secrets}) > 10 for at in range(1, 43))

import hashlib
import hmac
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piccolo_fastapi_auth.primitives import base64url
from piccolo_fastapi_auth.primitives.opaque_tokens import derive_key, digest, new_token

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SECRET = b"0123456789abcdef0123456789abcdef"
TOKEN = "A" * 43
CRITICAL_CHI_SQUARE = 156.0  # 63 degrees of freedom; passed by chance once in 1e9 positions


def test_tokens_are_unique_and_evenly_random() -> None:
    """SES-1: 10,000 tokens, all different, every position spread evenly over the alphabet."""
    tokens = [new_token() for _ in range(10_000)]

    assert len(set(tokens)) == len(tokens)
    assert all(len(token) == 43 and set(token) <= set(ALPHABET) for token in tokens)
    for position in range(42):  # the last character has two spare bits
        counts = Counter(token[position] for token in tokens)
        expected = len(tokens) / len(ALPHABET)
        chi_square = sum((counts[sign] - expected) ** 2 / expected for sign in ALPHABET)
        assert chi_square < CRITICAL_CHI_SQUARE


def test_no_two_tokens_share_a_long_piece() -> None:
    """SES-1: no common substring longer than eight characters."""
    pieces = Counter(
        piece
        for token in (new_token() for _ in range(2_000))
        for piece in {token[start : start + 9] for start in range(35)}
    )

    assert max(pieces.values()) == 1


def test_the_digest_is_sha_256_of_the_text() -> None:
    """The table holds a digest, in lower-case hexadecimal."""
    token = new_token()

    assert digest(token) == hashlib.sha256(token.encode()).hexdigest()


def test_only_one_spelling_of_a_token_has_a_digest() -> None:
    """The spare low bits of the last character must be zero."""
    spellings = [TOKEN[:-1] + sign for sign in ALPHABET]

    accepted = [spelling[-1] for spelling in spellings if digest(spelling)]

    assert accepted == list(ALPHABET[::4])


@pytest.mark.parametrize(
    "token",
    [
        "",
        TOKEN[:-1],
        TOKEN + "A",
        TOKEN + "=",
        TOKEN[:-1] + "=",
        " " + TOKEN[1:],
        TOKEN[:-1] + "\n",
        "+" + TOKEN[1:],
        "/" + TOKEN[1:],
        "é" + TOKEN[1:],
        "Ａ" + TOKEN[1:],
        "\x00" + TOKEN[1:],
        "\ud800" + TOKEN[1:],
        "A" * 1_000_000,
    ],
)
def test_a_malformed_token_has_no_digest(token: str) -> None:
    """Hostile input is refused, not crashed on."""
    assert digest(token) is None


@given(st.text(max_size=60) | st.text(alphabet=ALPHABET, min_size=43, max_size=43))
def test_a_digest_means_a_canonical_token(text: str) -> None:
    """Whatever has a digest spells exactly 32 bytes."""
    if digest(text) is not None:
        assert base64url.encode(base64url.decode(text)) == text
        assert len(base64url.decode(text)) == 32


@given(st.binary())
def test_base64url_is_read_back(content: bytes) -> None:
    """Encoding and decoding are inverse."""
    assert base64url.decode(base64url.encode(content)) == content


@given(st.text(max_size=12) | st.text(alphabet=ALPHABET + "+/= \n", max_size=12))
def test_base64url_has_one_spelling(text: str) -> None:
    """What can be decoded is what encoding writes; all else is a ValueError."""
    try:
        content = base64url.decode(text)
    except ValueError:
        return
    assert base64url.encode(content) == text


def test_derived_keys_differ_by_purpose_and_secret() -> None:
    """One secret gives unrelated keys for unrelated purposes, always the same ones."""
    keys = {
        derive_key(SECRET, purpose="refresh"),
        derive_key(SECRET, purpose="csrf"),
        derive_key(SECRET[::-1], purpose="refresh"),
    }

    assert len(keys) == 3
    assert all(len(key) == 32 for key in keys)
    assert derive_key(SECRET, purpose="refresh") in keys


def test_a_derived_key_never_changes_between_versions() -> None:
    """HKDF-SHA256 (RFC 5869) by hand: a changed derivation would end every session."""
    pseudo_random_key = hmac.digest(bytes(32), SECRET, "sha256")
    expected = hmac.digest(pseudo_random_key, b"piccolo-fastapi-auth:refresh\x01", "sha256")

    assert derive_key(SECRET, purpose="refresh") == expected

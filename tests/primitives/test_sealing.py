import pytest
from hypothesis import given
from hypothesis import strategies as st

from piccolo_fastapi_auth.primitives.sealing import Sealer, SealError

OLD = bytes(range(32))
NEW = bytes(range(32, 64))
PLAINTEXT = b"JBSWY3DPEHPK3PXP"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def assert_stays_shut(sealer: Sealer, sealed: str, *, bound_to: str = "row:1") -> None:
    with pytest.raises(SealError) as caught:
        sealer.open(sealed, bound_to=bound_to)
    assert PLAINTEXT.decode() not in repr(caught.value)
    assert caught.value.__cause__ is None


@given(st.binary(max_size=200), st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_opens_again(plaintext: bytes, bound_to: str) -> None:
    """Sealing and opening are inverse for any content and any place."""
    sealer = Sealer([OLD])

    assert sealer.open(sealer.seal(plaintext, bound_to=bound_to), bound_to=bound_to) == plaintext


def test_a_sealed_text_shows_nothing_and_never_repeats() -> None:
    """The nonce is random, so equal secrets look different."""
    sealer = Sealer([OLD])

    texts = {sealer.seal(PLAINTEXT, bound_to="row:1") for _ in range(100)}

    assert len(texts) == 100
    assert all(text.startswith("v1.") and set(text[3:]) <= set(ALPHABET) for text in texts)


@pytest.mark.parametrize("bound_to", ["row:2", "row:11", "row:", "", "ROW:1", "row:1 "])
def test_a_text_moved_to_another_row_stays_shut(bound_to: str) -> None:
    """A copied column does not hand one person's secret to another."""
    sealer = Sealer([OLD])
    sealed = sealer.seal(PLAINTEXT, bound_to="row:1")

    assert_stays_shut(sealer, sealed, bound_to=bound_to)


def test_a_text_altered_anywhere_stays_shut() -> None:
    """Version, key id, nonce, ciphertext and tag are all authenticated, in one spelling."""
    sealer = Sealer([OLD])
    sealed = sealer.seal(PLAINTEXT, bound_to="row:1")

    for position in range(len(sealed)):
        for sign in (*ALPHABET, ".", "=", " ", "é"):
            if sign != sealed[position]:
                altered = sealed[:position] + sign + sealed[position + 1 :]
                assert_stays_shut(sealer, altered)


def test_a_shortened_or_lengthened_text_stays_shut() -> None:
    """Cut at every length, and with something behind it."""
    sealer = Sealer([OLD])
    sealed = sealer.seal(PLAINTEXT, bound_to="row:1")

    for length in range(len(sealed)):
        assert_stays_shut(sealer, sealed[:length])
    for tail in ("A", "AAAA", "=", "\n", ".", "\ud800", "\x00"):
        assert_stays_shut(sealer, sealed + tail)


@given(st.text() | st.text(alphabet=ALPHABET).map("v1.".__add__))
def test_any_other_text_stays_shut(text: str) -> None:
    """Hostile input is a SealError, never another exception."""
    with pytest.raises(SealError):
        Sealer([OLD]).open(text, bound_to="row:1")


def test_an_old_key_opens_and_the_new_one_seals() -> None:
    """KEY-1: rotation with overlap; a dropped key opens nothing."""
    before, both, after = Sealer([OLD]), Sealer([NEW, OLD]), Sealer([NEW])
    sealed = before.seal(PLAINTEXT, bound_to="row:1")

    assert both.open(sealed, bound_to="row:1") == PLAINTEXT
    assert both.needs_resealing(sealed)
    resealed = both.seal(PLAINTEXT, bound_to="row:1")
    assert not both.needs_resealing(resealed)
    assert after.open(resealed, bound_to="row:1") == PLAINTEXT
    assert_stays_shut(after, sealed)


def test_a_malformed_text_cannot_be_resealed() -> None:
    """Whether to reseal is only asked of sealed texts."""
    with pytest.raises(SealError):
        Sealer([OLD]).needs_resealing("JBSWY3DPEHPK3PXP")


@pytest.mark.parametrize("keys", [[], [b""], [OLD[:31]], [OLD + b"x"], [OLD, b"short"], [OLD[:16]]])
def test_an_unsuitable_key_is_refused(keys: list[bytes]) -> None:
    """Only 256-bit keys; the message holds none of them."""
    with pytest.raises(ValueError, match="exactly 32 bytes") as caught:
        Sealer(keys)
    assert "\\x0" not in repr(caught.value)


def test_a_sealer_shows_no_key() -> None:
    """Nothing secret stands in a repr."""
    sealer = Sealer([b"K" * 32])

    assert "KKKK" not in repr(sealer) + repr(vars(sealer))

import json
import warnings
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from jose import jwk

from piccolo_fastapi_auth.primitives import base64url
from piccolo_fastapi_auth.primitives.jwt import InvalidJwtError, JwtCodec, JwtKeyError
from piccolo_fastapi_auth.primitives.jwt_keys import Algorithm, thumbprint
from tests.primitives.jwt_forging import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    NOW,
    codec,
    ec_key,
    pem_of,
    public_pem_of,
    public_ssh_of,
    rsa_key,
    signed_by_key,
)

OLD_SECRET = b"an older secret of thirty-two bytes"
NEW_SECRET = b"a newer secret of thirty-two bytes!"


def codec_with(algorithm: Algorithm, keys: Sequence[bytes]) -> JwtCodec:
    return JwtCodec(algorithm=algorithm, keys=keys, issuer=ISSUER, audience=AUDIENCE)


def assert_unusable(algorithm: Algorithm, keys: Sequence[bytes], *, advice: str) -> None:
    with pytest.raises(JwtKeyError, match=advice) as caught:
        codec_with(algorithm, keys)
    shown = f"{caught.value!r}{caught.value.__cause__!r}"
    for key in keys:
        assert not key or key[-20:].decode("latin-1") not in shown


@pytest.mark.parametrize("secret", [b"", b"hunter2", b"x" * 31])
def test_a_short_secret_is_refused(secret: bytes) -> None:
    """JWT-8: HS256 needs 32 bytes; python-jose would take none."""
    assert_unusable("HS256", [secret], advice="at least 32 bytes")


def test_every_secret_must_be_long_enough() -> None:
    """JWT-8: an old short one would still verify forgeries."""
    assert_unusable("HS256", [NEW_SECRET, b"short"], advice="at least 32 bytes")


def test_a_short_rsa_key_is_refused() -> None:
    """JWT-8: below 2048 bits."""
    assert_unusable("RS256", [pem_of(rsa_key(1024))], advice="3072 bits")


def test_a_2048_bit_rsa_key_is_warned_about() -> None:
    """JWT-8: below 3072 bits a warning, and it works."""
    with pytest.warns(UserWarning, match="3072 bits"):
        weaker = codec_with("RS256", [pem_of(rsa_key(2048))])

    assert weaker.verify(weaker.sign(CLAIMS), now=NOW) == CLAIMS


def test_a_3072_bit_rsa_key_is_not_warned_about() -> None:
    """JWT-8: the advised size is silent."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codec_with("RS256", [pem_of(rsa_key())])


def test_a_codec_without_keys_is_refused() -> None:
    """JWT-8: nothing to sign with."""
    assert_unusable("HS256", [], advice="at least one")


@pytest.mark.parametrize("algorithm", ["none", "HS512", "RS384", "EdDSA", ""])
def test_an_unknown_algorithm_is_refused(algorithm: str) -> None:
    """JWT-2: the list is ours."""
    with pytest.raises(JwtKeyError, match="HS256, RS256 or ES256"):
        codec_with(algorithm, [NEW_SECRET])  # type: ignore[arg-type]


def test_a_key_pair_is_no_hmac_secret() -> None:
    """JWT-3: mixing HS with RS or ES is refused at start-up, as PEM and as SSH text."""
    texts = (pem_of(rsa_key()), public_pem_of(rsa_key()), pem_of(ec_key()), public_ssh_of(ec_key()))
    for text in texts:
        assert_unusable("HS256", [text], advice="not a PEM")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_an_unsuitable_pem_is_refused(algorithm: Algorithm) -> None:
    """JWT-3, JWT-8: a secret, a public key, another family, an encrypted key, nonsense."""
    own, other = (rsa_key(), ec_key()) if algorithm == "RS256" else (ec_key(), rsa_key())
    locked = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw"))
    broken = pem_of(own)[:-60] + b"-----END PRIVATE KEY-----\n"

    assert_unusable(algorithm, [NEW_SECRET], advice="PEM")
    assert_unusable(algorithm, [b""], advice="PEM")
    assert_unusable(algorithm, [broken], advice="PEM")
    assert_unusable(algorithm, [public_pem_of(own)], advice="Give the private key")
    assert_unusable(algorithm, [pem_of(other)], advice=f"{algorithm} needs an")
    assert_unusable(algorithm, [pem_of(own), pem_of(other)], advice=f"{algorithm} needs an")
    assert_unusable(algorithm, [locked], advice="encrypted")
    assert_unusable(algorithm, [pem_of(ed25519.Ed25519PrivateKey.generate())], advice="needs an")


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()])
def test_es256_needs_its_own_curve(curve: ec.EllipticCurve) -> None:
    """JWT-8: ES256 is P-256 and nothing else (RFC 7518 section 3.4)."""
    pem = pem_of(ec.generate_private_key(curve))
    assert_unusable("ES256", [pem], advice="P-256")


@pytest.mark.parametrize("algorithm", ["HS256", "ES256"])
def test_keys_rotate_with_overlap(algorithm: Algorithm) -> None:
    """KEY-1: after a new key comes first, old tokens verify until the old key is dropped."""
    old, new = (
        (OLD_SECRET, NEW_SECRET) if algorithm == "HS256" else (pem_of(ec_key(1)), pem_of(ec_key(2)))
    )
    before, both, after = (codec_with(algorithm, keys) for keys in ([old], [new, old], [new]))

    assert both.verify(before.sign(CLAIMS), now=NOW) == CLAIMS
    assert after.verify(both.sign(CLAIMS), now=NOW) == CLAIMS
    with pytest.raises(InvalidJwtError):
        after.verify(before.sign(CLAIMS), now=NOW)


def test_a_new_key_pair_gives_a_new_kid() -> None:
    """KEY-1: new tokens name the newest key."""
    rotated = codec_with("ES256", [pem_of(ec_key(2)), pem_of(ec_key(1))])

    headers = [
        json.loads(base64url.decode(by.sign(CLAIMS).split(".")[0]))
        for by in (rotated, codec("ES256"))
    ]
    assert headers[0]["kid"] != headers[1]["kid"]
    assert [key["kid"] for key in _published(rotated)] == [header["kid"] for header in headers]


def test_a_kid_of_ours_does_not_lend_another_key_its_name() -> None:
    """KEY-1: each kid is verified by its own key only."""
    both = codec_with("ES256", [pem_of(ec_key(2)), pem_of(ec_key(1))])
    new_kid, old_kid = (key["kid"] for key in _published(both))
    assert both.verify(signed_by_key("ES256", kid=old_kid, number=1), now=NOW) == CLAIMS

    with pytest.raises(InvalidJwtError):
        both.verify(signed_by_key("ES256", kid=new_kid, number=1), now=NOW)


def test_our_own_header_chooses_its_key_only() -> None:
    """KEY-1: the same for a header spelled exactly as we spell it."""
    both = codec_with("ES256", [pem_of(ec_key(2)), pem_of(ec_key(1))])
    new_header, payload, _ = both.sign(CLAIMS).split(".")
    old_key = jwk.construct(pem_of(ec_key(1)), "ES256")
    proof = base64url.encode(old_key.sign(f"{new_header}.{payload}".encode()))

    with pytest.raises(InvalidJwtError):
        both.verify(f"{new_header}.{payload}.{proof}", now=NOW)


def test_the_kid_is_the_thumbprint_of_rfc_7638() -> None:
    """KEY-1: the example of RFC 7638 section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY"
        "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
        "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )

    kid = thumbprint({"kty": "RSA", "n": modulus, "e": "AQAB"})

    assert kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    ("algorithm", "members"), [("RS256", {"n", "e"}), ("ES256", {"crv", "x", "y"})]
)
def test_the_published_keys_hold_public_members_only(
    algorithm: Algorithm, members: set[str]
) -> None:
    """KEY-2: no d, p, q, dp, dq, qi or k; use, alg and kid beside the key."""
    (key,) = _published(codec(algorithm))

    assert key.keys() == {"kty", "use", "alg", "kid"} | members
    assert key["use"] == "sig"
    assert key["alg"] == algorithm


def test_all_keys_are_published_newest_first() -> None:
    """KEY-2: other services verify tokens of the old key too."""
    rotated = codec_with("ES256", [pem_of(ec_key(2)), pem_of(ec_key(1))])

    assert _published(rotated) == [
        *_published(codec_with("ES256", [pem_of(ec_key(2))])),
        *_published(codec("ES256")),
    ]


def test_secrets_are_never_published() -> None:
    """KEY-2: under HS256 there is no JWK set."""
    assert codec("HS256").jwks() is None


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
def test_a_codec_shows_no_key(algorithm: Algorithm) -> None:
    """Nothing secret stands in a repr."""
    shown = repr(codec(algorithm)) + repr(vars(codec(algorithm)))

    assert "0123456789abcdef" not in shown
    assert "PRIVATE" not in shown


def _published(by: JwtCodec) -> list[dict[str, str]]:
    document = by.jwks()
    assert document is not None
    assert document.keys() == {"keys"}
    keys = document["keys"]
    assert isinstance(keys, list)
    return keys

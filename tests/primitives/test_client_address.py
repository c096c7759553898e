"""NET-1..3: whose request it is."""

import pytest

from piccolo_fastapi_auth.primitives.client_address import (
    address_bucket,
    client_address,
    trusted_networks,
)

TRUSTED = trusted_networks(["10.0.0.0/8", "2001:db8:ffff::/48"])
PROXY = "10.0.0.1"


def address(peer: str | None, *headers: tuple[str, str]) -> str:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    client = None if peer is None else (peer, 1234)
    return client_address({"client": client, "headers": raw}, trusted_proxies=TRUSTED)


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_a_hundred_forged_headers_are_one_caller(name: str) -> None:
    """NET-1: without a trusted proxy a forwarded header is only a claim."""
    forged = [f"192.0.2.{i}" if name != "forwarded" else f"for=192.0.2.{i}" for i in range(100)]

    assert {address("203.0.113.9", (name, value)) for value in forged} == {"203.0.113.9"}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7, 10.2.3.4", "198.51.100.7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("[2001:DB8::7]:443", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("10.9.9.9, 10.2.3.4", "10.9.9.9"),
    ],
)
def test_behind_a_proxy_the_first_stranger_from_the_right_is_the_caller(
    header: str, expected: str
) -> None:
    """NET-1: what stands further left was written by the caller himself."""
    assert address(PROXY, ("x-forwarded-for", header)) == expected


def test_header_lines_are_one_list() -> None:
    """NET-1: a caller cannot hide the proxy's line behind his own."""
    assert (
        address(PROXY, ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")) == "2.2.2.2"
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=198.51.100.7", "198.51.100.7"),
        ("for=1.1.1.1, for=198.51.100.7;proto=https;by=10.0.0.1", "198.51.100.7"),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ('proto=https; for="198.51.100.7:80"', "198.51.100.7"),
    ],
)
def test_the_standard_header_is_read(header: str, expected: str) -> None:
    """RFC 7239, with its section 4 forms."""
    assert address(PROXY, ("forwarded", header)) == expected


@pytest.mark.parametrize(
    ("name", "header"),
    [("x-forwarded-for", text) for text in ("", "unknown", "1.2.3", "a, ", "1.2.3.4.5", "💥".encode().decode("latin-1"), "1.1.1.1,")]
    + [("x-forwarded-for", text) for text in ("[::1", "01.2.3.4", "1.2.3.4:port", ":80")]
    + [("forwarded", text) for text in ("for=_hidden", "for=unknown", "by=1.1.1.1", "for=1.1.1.1;for=2.2.2.2")]
    + [("forwarded", text) for text in ('for="1.1.1.1', 'for="', "for=2001:db8::1", "=", 'for="a\\"b"')],
)  # fmt: skip
def test_what_does_not_parse_proves_nothing(name: str, header: str) -> None:
    """NET-1: the answer is the peer; nothing is guessed, nothing crashes."""
    assert address(PROXY, (name, header)) == PROXY


def test_headers_that_disagree_prove_nothing() -> None:
    """NET-1: a proxy sets one of them; the other may be the caller's."""
    both = [("x-forwarded-for", "198.51.100.7"), ("forwarded", "for=1.1.1.1")]

    assert address(PROXY, *both) == PROXY


@pytest.mark.parametrize(
    "spelling",
    ["2001:db8:1:2::1", "2001:DB8:1:2:0:0:0:1", "2001:0db8:0001:0002::ffff", "2001:db8:1:2::1%eth0"]
    + [f"2001:db8:1:2::{i:x}" for i in range(0, 0xFFFF, 700)],
)
def test_one_network_is_one_bucket(spelling: str) -> None:
    """NET-2: an IPv6 customer owns a /64."""
    assert address_bucket(address(spelling)) == "2001:db8:1:2::/64"


def test_a_mapped_address_is_the_ipv4_address() -> None:
    """NET-2: a dual-stack socket spells one caller in two ways."""
    assert (
        address_bucket(address("::ffff:203.0.113.9"))
        == address_bucket("203.0.113.9")
        == "203.0.113.9"
    )


def test_the_address_for_a_session_row_is_whole() -> None:
    """Only the counter takes the /64; a zone is nobody's address."""
    assert address("2001:DB8::7") == "2001:db8::7"
    assert address("fe80::1%eth0") == "fe80::1"


@pytest.mark.parametrize("peer", [None, "", "testclient", "/run/app.sock"])
def test_without_an_address_all_callers_share_one_bucket(peer: str | None) -> None:
    """NET-3: fail closed."""
    assert address_bucket(str(peer)) == "unknown"
    assert address_bucket(address(peer, ("x-forwarded-for", "1.1.1.1"))) == "unknown"


def test_a_misspelt_proxy_fails_at_start_up() -> None:
    """NET-1: a typing error must not trust nobody, or everybody."""
    with pytest.raises(ValueError, match=r"10\.0\.0"):
        trusted_networks(["10.0.0.0/33"])

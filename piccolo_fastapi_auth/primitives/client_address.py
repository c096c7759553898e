"""Whose request it is, by address (ASVS 4.1.3, 15.3.4). Pure: an ASGI scope in, text out.

A forwarded header is somebody's claim. It is read only when the socket's peer is a trusted proxy, and
then from the right, where our own proxies write, to the first hop that is not one of them. What does
not parse, or two headers that disagree, prove nothing: the answer is the peer.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, cast

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

UNKNOWN: Final = "unknown"
"""The one bucket of every caller without an address: Unix sockets, test clients."""

_FORWARDED_PAIR = r'[\w!#$%&\'*+.^`|~-]+=(?:"[^"\\,;]*"|[\w!#$%&\'*+.^`|~-]+)'
_FORWARDED_HOP: Final = re.compile(rf"{_FORWARDED_PAIR}(?:\s*;\s*{_FORWARDED_PAIR})*", re.ASCII)
_FORWARDED_FOR: Final = re.compile(r"(?:^|[;\s])for=\"?([^\";]*)\"?", re.ASCII | re.IGNORECASE)
_PORT: Final = re.compile(r"(?P<v4>[\d.]+)(?::\d{1,5})?|\[(?P<v6>[^\]]+)\](?::\d{1,5})?", re.ASCII)


def trusted_networks(proxies: Iterable[str]) -> Networks:
    """Read the addresses and CIDR ranges of the proxies in front of the application.

    Raises:
        ValueError: one of them is neither.
    """
    return tuple(ip_network(proxy) for proxy in proxies)


def client_address(scope: Mapping[str, object], *, trusted_proxies: Networks) -> str:
    """Return the caller's address in canonical spelling, or ``"unknown"``."""
    peer = _peer(scope)
    if peer is None:
        return UNKNOWN
    if not trusted_proxies or not _is_trusted(peer, trusted_proxies):
        return str(peer)
    claims = {_first_stranger(hops, trusted_proxies) for hops in _claimed_hops(scope)}
    claim = claims.pop() if len(claims) == 1 else None
    return str(claim or peer)


def caller_bucket(scope: Mapping[str, object], *, trusted_proxies: Networks) -> str:
    """Return what the caller is counted under."""
    if not trusted_proxies:
        client = cast("Sequence[object] | None", scope.get("client"))
        host = client[0] if client else None
        if isinstance(host, str):
            return address_bucket(host)
    return address_bucket(client_address(scope, trusted_proxies=trusted_proxies))


@lru_cache(
    maxsize=1024
)  # the same few ask again and again, and reading an IPv6 address takes longest of all
def address_bucket(address: str) -> str:
    """Return what an address is counted under: itself, or its /64 for IPv6.

    A single IPv6 customer owns at least a /64, so a counter per address would be no limit at all.
    """
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return UNKNOWN if parsed is None else str(parsed)


def _peer(scope: Mapping[str, object]) -> Address | None:
    client = cast("Sequence[object] | None", scope.get("client"))
    host = client[0] if client else None
    return _parse(host) if isinstance(host, str) else None


def _parse(text: str) -> Address | None:
    """Read an address; the zone is dropped and an IPv4-mapped IPv6 address is IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_trusted(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _first_stranger(hops: Sequence[Address | None], trusted: Networks) -> Address | None:
    """Walk from the right to the first hop that is no proxy of ours; ``None`` if one does not parse."""
    for hop in reversed(hops):
        if hop is None or not _is_trusted(hop, trusted):
            return hop
    return hops[0] if hops else None


def _claimed_hops(scope: Mapping[str, object]) -> Iterator[Sequence[Address | None]]:
    """Yield the hops that each of the two forwarded headers names."""
    headers = cast("Iterable[tuple[bytes, bytes]]", scope.get("headers") or ())
    found: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in {b"x-forwarded-for", b"forwarded"}:
            found.setdefault(name, []).extend(value.decode("latin-1").split(","))
    for name, hops in found.items():
        read = _forwarded_hop if name == b"forwarded" else _hop
        yield [read(hop.strip()) for hop in hops]


def _hop(text: str) -> Address | None:
    """Read one member of ``X-Forwarded-For``; some proxies add a port."""
    if with_port := _PORT.fullmatch(text):
        text = with_port["v4"] or with_port["v6"]
    return _parse(text)


def _forwarded_hop(text: str) -> Address | None:
    """Read one member of ``Forwarded`` (RFC 7239): exactly one well-formed ``for``."""
    nodes = _FORWARDED_FOR.findall(text) if _FORWARDED_HOP.fullmatch(text) else []
    return _hop(nodes[0]) if len(nodes) == 1 else None

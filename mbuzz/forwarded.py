"""Who is at the other end, as far as trusted proxies tell it.

A header says what its sender likes. What counts is who wrote it: every proxy puts the
address that it was called from at the right end of `X-Forwarded-For`, so the header is
read from there, one hop after the other, for as long as the hop itself is trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, NamedTuple, Self

_MOST_HOPS = 32
_MOST_KNOWN = 4_096  # addresses that need not be parsed again
_LONGEST_ENTRY = 64  # characters; an address with port, brackets and zone has fewer
_LONGEST_VALUE = 255
_UNIX: Final = "unix"
_BITS = {4: 32, 6: 128}


class _Address(NamedTuple):
    text: str  # canonical
    version: int
    number: int


class Trust:
    """Which proxies before this server are believed; made once, read by all threads."""

    __slots__ = ("_hops", "_networks", "_unix")

    def __init__(
        self, *, hops: int = 0, networks: Iterable[IPv4Network | IPv6Network] = ()
    ) -> None:
        """Trust the nearest *hops*, or whoever is in *networks*; see `of`."""
        self._hops = hops
        self._unix = hops > 0
        by_length: dict[tuple[int, int], set[int]] = {}
        for network in networks:
            shift = _BITS[network.version] - network.prefixlen
            prefix = int(network.network_address) >> shift
            by_length.setdefault((network.version, shift), set()).add(prefix)
        # a set for each length of prefix: a hundred networks cost what a few do
        self._networks = tuple(
            (version, shift, frozenset(prefixes))
            for (version, shift), prefixes in by_length.items()
        )

    @classmethod
    def of(cls, given: int | Sequence[str]) -> Self:
        """Return the trust that option `trusted_proxies` asks for.

        0 and () trust nobody. A number trusts that many hops, whatever their address:
        1 is the proxy that connects to this server. A sequence trusts addresses
        ("127.0.0.1", "::1"), networks ("10.0.0.0/8") and, with "unix", whoever
        connects by a Unix socket.

        Raises:
            ValueError: If it is none of this.
        """
        if isinstance(given, int) and not isinstance(given, bool):
            if 0 <= given <= _MOST_HOPS:
                return cls(hops=given)
            raise ValueError(
                f"trusted_proxies must be 0 to {_MOST_HOPS} hops, got {given}"
            )
        listed = given if isinstance(given, list | tuple | set | frozenset) else None
        if listed is None:
            raise ValueError(
                "trusted_proxies must be a number of hops or a list of networks such "
                f"as ['10.0.0.0/8'], got {_shortened(given)}"
            )
        trust = cls(networks=[_network(one) for one in listed if one != _UNIX])
        trust._unix = _UNIX in listed
        return trust

    def client(self, peer: str | None, forwarded_for: str) -> str | None:
        """Return the canonical address of the nearest hop that is not trusted.

        *peer* is the address that the connection comes from, None or "" for a Unix
        socket, and *forwarded_for* the value of all `X-Forwarded-For` headers. If
        every hop is trusted, the farthest counts. What is no address ends the walk,
        and so does an entry left empty: the trusted proxy that wrote it did not know,
        and what stands before it may be invented. At most 32 entries are read.

        None means that no address is known, for one behind a bare Unix socket.
        """
        return self._walk(peer, forwarded_for)[0]

    def hops(self, peer: str | None, forwarded_for: str) -> int:
        """Return how many trusted proxies the request came through; see `client`.

        With 0 not even *peer* is one, and what it says of the request is its own word.
        """
        return self._walk(peer, forwarded_for)[1]

    def _trusts(self, hop: _Address | None, *, is_unix: bool) -> bool:
        if self._hops:
            return True
        if hop is None:
            return self._unix and is_unix
        for version, shift, prefixes in self._networks:
            if version == hop.version and hop.number >> shift in prefixes:
                return True
        return False

    def _walk(self, peer: str | None, forwarded_for: str) -> tuple[str | None, int]:
        """Return the client's address and how many trusted hops are before it."""
        hop = _parse(peer) if peer else None
        known = hop.text if hop else None
        if not self._trusts(hop, is_unix=_is_unix(peer)):
            return known, 0
        trusted = 1
        for entry in _entries(forwarded_for):
            is_unix = entry.lower() == "unix:"  # what nginx calls such a client
            hop = _parse(entry)
            if hop is None and not is_unix:
                break
            known = hop.text if hop else known
            if self._hops:
                if trusted == self._hops:
                    break
            elif not self._trusts(hop, is_unix=is_unix):
                break
            trusted += 1
        return known, trusted


def forwarded_value(header: str, hops: int = 1) -> str | None:
    """Return, in lower case, what a trusted proxy says of itself in a list.

    It is for `X-Forwarded-Proto` and `X-Forwarded-Host` of a trusted peer;
    None if there is nothing, or nothing that could be a scheme or a host.

    Most proxies replace the header: there is one value, and no choice. Where proxies
    append, each value tells what one proxy was asked for, the nearest proxy's last. So
    the right-most is the only one that is the nearest proxy's word for certain, and
    the default. The browser speaks to the farthest proxy, though, and what that one
    was asked for stands *hops* from the right: pass `Trust.hops` if every trusted
    proxy appends or replaces. With fewer values than hops the first counts, because
    some proxy replaced what was before it.

    A proxy that hands on what it gets, untouched, vouches for a stranger's word: with
    such a one between, only the default is safe.
    """
    values = header.rsplit(",", max(hops, 1))[-max(hops, 1) :]
    value = values[0].strip(' \t"')
    # ASCII first: in lower case some other letters are, too
    if not 0 < len(value) <= _LONGEST_VALUE or not value.isascii():
        return None
    return value.lower() if value.isprintable() and " " not in value else None


def truncate(address: str) -> str | None:
    """Return the network of an address, /24 or /48, as canonical text.

    "203.0.113.77" gives "203.0.113.0", "2001:db8:1:2::3" gives "2001:db8:1::", and an
    IPv4 address in IPv6 notation is one of IPv4. None if it is no address.
    """
    parsed = _parse(address)
    return _truncated(parsed) if parsed else None


@lru_cache(_MOST_KNOWN)
def _truncated(address: _Address) -> str:
    if address.version == 4:
        return str(IPv4Address(address.number >> 8 << 8))
    return str(IPv6Address(address.number >> 80 << 80))


def _entries(header: str) -> list[str]:
    """Return the last entries, the right-most first."""
    if not header:
        return []
    entries = header.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
    return [entry.strip(" \t") for entry in reversed(entries)]


def _is_unix(peer: str | None) -> bool:
    # waitress says "localhost" and hypercorn "unix:..."; no TCP peer has such a name
    return not peer or peer == "localhost" or peer.startswith("unix:")


def _parse(text: str) -> _Address | None:
    # what is too long must not get into the cache
    return _parsed(text) if len(text) <= _LONGEST_ENTRY else None


@lru_cache(_MOST_KNOWN)
def _parsed(text: str) -> _Address | None:
    """Return the address in *text*, which may have quotes, brackets and a port."""
    text = text.strip(" \t")
    if text[:1] == '"' == text[-1:] and len(text) > 1:
        text = text[1:-1]
    port = ""
    bracketed = text.startswith("[")
    if bracketed:
        text, closed, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not closed or colon not in ("", ":") or ":" not in text:
            return None
    elif text.count(":") == 1:
        text, colon, port = text.partition(":")
    else:
        colon = ""
    if colon and not (port.isascii() and port.isdecimal() and len(port) <= 5):
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    address = _plain(address)
    return _Address(str(address), address.version, int(address))


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return an address without its zone, and as IPv4 if it is one."""
    if isinstance(address, IPv4Address):
        return address
    # a zone means something on one machine only, and is any text
    return address.ipv4_mapped or IPv6Address(int(address))


def _network(given: object) -> IPv4Network | IPv6Network:
    text = given.strip() if isinstance(given, str) else ""
    try:
        if "/" not in text:
            return ip_network(_plain(ip_address(text)))
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            "each of trusted_proxies must be an address, a network such as "
            f"'10.0.0.0/8', or 'unix', got {_shortened(given)}"
        ) from None
    if _host_bits(text, network):
        raise ValueError(
            f"each of trusted_proxies must be a network or an address, but "
            f"{_shortened(given)} is an address within {network}: write one of the two"
        )
    return _as_ipv4(network)


def _host_bits(text: str, network: IPv4Network | IPv6Network) -> bool:
    address = ip_address(text.partition("/")[0])
    return int(address) != int(network.network_address)


def _as_ipv4(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    if isinstance(network, IPv4Network) or network.prefixlen < 96:
        return network
    mapped = network.network_address.ipv4_mapped
    return IPv4Network((int(mapped), network.prefixlen - 96)) if mapped else network


def _shortened(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""Lists of networks: read from a file, and asked whether an address is of one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

_MOST_BYTES: Final = 16_777_216
_MOST_LINES: Final = 500_000
_LONGEST: Final = 64  # characters of an address or a network
_CUT: Final = {4: 8, 6: 80}  # bits that are 0 in what was cut to its /24 or /48

_Ranges = tuple[list[int], list[int]]  # firsts and lasts, in order, none touching


class Networks:
    """Many networks, however they overlap; asking takes some microseconds."""

    __slots__ = ("_ranges",)

    def __init__(self, networks: Iterable[str]) -> None:
        """Take networks such as "3.5.140.0/22", and addresses.

        Raises:
            ValueError: If one is neither.
        """
        found: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for text in networks:
            network = ip_network(text)
            first, last = (
                int(network.network_address),
                int(network.broadcast_address),
            )
            version = network.version
            if isinstance(network, IPv6Network) and network.prefixlen >= 96:
                mapped = network.network_address.ipv4_mapped
                if mapped is not None:
                    version, first, last = 4, int(mapped), last & 0xFFFF_FFFF
            found[version].append((first, last))
        self._ranges = {version: _merged(each) for version, each in found.items()}

    def hold(self, address: object) -> bool:
        """Tell whether an address is of one of them; what is none is not.

        One that was cut to its network, as `mbuzz.forwarded.truncate` does, only is if
        all of that network is.
        """
        if not isinstance(address, str) or len(address) > _LONGEST:
            return False
        try:
            parsed = ip_address(address.strip())
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        first = last = int(parsed)
        ones = (1 << _CUT[parsed.version]) - 1
        if not first & ones:
            last |= ones
        firsts, lasts = self._ranges[parsed.version]
        place = bisect_right(firsts, first) - 1
        return place >= 0 and last <= lasts[place]


def _merged(ranges: list[tuple[int, int]]) -> _Ranges:
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in sorted(ranges):
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return firsts, lasts


def read_networks(path: str) -> Networks:
    """Return the networks in a file: one a line, what follows a # is a comment.

    Raises:
        ValueError: With what is wrong with it, such as "line 3 is 'abc'".
    """
    try:
        state = Path(path).stat()
        if not Path(path).is_file():
            raise ValueError("it is no file")
        return _read(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None


@lru_cache(maxsize=2)
def _read(path: str, _changed_ns: int, _size: int) -> Networks:
    with Path(path).open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    lines = data.decode("utf-8", "replace").splitlines()
    if len(lines) > _MOST_LINES:
        raise ValueError(f"it has more than {_MOST_LINES} lines")
    found = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            found.append(_checked(text, number))
    if not found:
        raise ValueError("it has no network in it")
    return Networks(found)


def _checked(text: str, number: int) -> str:
    shown = repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
    try:
        network = ip_network(text[: _LONGEST + 1], strict=False)
    except ValueError:
        raise ValueError(f"line {number} is {shown}") from None
    if "/" in text and int(ip_address(text.partition("/")[0])) != int(
        network.network_address
    ):
        raise ValueError(
            f"line {number} is {shown}, an address within {network}: write one of both"
        )
    return text

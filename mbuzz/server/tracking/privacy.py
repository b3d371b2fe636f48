"""What is kept of a person's machine, as the account says: address, user agent."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final

from mbuzz.server.policy import Policy
from mbuzz.server.tracking.user_agents import summary

MAX_USER_AGENT: Final = 512  # characters

# What has columns of its own, or is of no use once an event was judged.
_PAGE_FIELDS: Final = frozenset(
    {"url", "referrer", "user_agent", "prefetch", "webdriver", "ip"}
)


def kept_properties(
    properties: Mapping[str, object], policy: Policy
) -> Mapping[str, object]:
    """Return what the caller said, without what has columns or is not kept at all."""
    if _PAGE_FIELDS.isdisjoint(properties):
        return properties
    kept = {k: v for k, v in properties.items() if k not in _PAGE_FIELDS}
    if policy.store_ip != "none" and "ip" in properties:
        address = kept_ip(properties["ip"], policy)
        if address is not None:
            kept["ip"] = address
    return kept


def kept_ip(given: object, policy: Policy) -> str | None:
    """Return an address whole, or masked to its /24 or /48; None if it is not kept."""
    if policy.store_ip == "masked":
        return masked_ip(given)
    address = _address(given) if policy.store_ip == "full" else None
    return str(address) if address is not None else None


def masked_ip(given: object) -> str | None:
    """Return the network of an address, its /24 or /48; None if it is none."""
    address = _address(given)
    if address is None:
        return None
    host_bits = 8 if address.version == 4 else 80
    masked = int(address) >> host_bits << host_bits
    return str(type(address)(masked))


def _address(given: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if not isinstance(given, str):
        return None
    try:
        address = ipaddress.ip_address(given.strip())
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def kept_user_agent(user_agent: str | None, policy: Policy) -> str | None:
    """Return a user agent whole, as its summary, or None if it is not kept."""
    if user_agent is None or policy.store_user_agent == "none":
        return None
    if policy.store_user_agent == "full":
        return user_agent[:MAX_USER_AGENT]
    return summary(user_agent)

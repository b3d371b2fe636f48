"""What each role may do in its account: the one table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OWNER: Final = "owner"
ADMIN: Final = "admin"
MEMBER: Final = "member"

# The permissions.
REPORTS: Final = "see reports"
KEYS: Final = "make and revoke keys"
USERS: Final = "add and remove users"
SETTINGS: Final = "change settings"
PRIVACY: Final = "erase and export people's data"
ACCOUNT: Final = "close the account"

PERMISSIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        OWNER: frozenset({REPORTS, KEYS, USERS, SETTINGS, PRIVACY, ACCOUNT}),
        ADMIN: frozenset({REPORTS, KEYS, USERS, SETTINGS}),
        MEMBER: frozenset({REPORTS}),
    }
)
ROLES: Final = tuple(PERMISSIONS)


def may(role: str, permission: str) -> bool:
    """Tell whether *role* has *permission*; an unknown role may do nothing."""
    return permission in PERMISSIONS.get(role, frozenset())

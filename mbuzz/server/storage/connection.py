"""What the stores' SQL needs of a database connection."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any, Final, Protocol

from mbuzz.server.model import Tenant

Row = tuple[Any, ...]
Params = Mapping[str, object]

# Stands in every statement on a tenant's data; `owner` has its parameters.
TENANT: Final = "account_id = :account_id AND live = :live"


class Connection(Protocol):
    """Runs statements with ``:name`` parameters inside one transaction."""

    def rows(self, sql: str, params: Params) -> Sequence[Row]:
        """Return every row of a query."""
        ...

    def run(self, sql: str, params: Params) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    def changes(self) -> int:
        """Return how many rows this connection has changed since it was opened."""
        ...

    def version(self) -> int:
        """Return what grows when another connection has changed something."""
        ...

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        conflict: str = "",
    ) -> None:
        """Insert many rows, in few statements; *conflict* is for rows that exist."""
        ...

    def values(
        self, before: str, rows: Sequence[Sequence[object]], after: str = ""
    ) -> None:
        """Run a statement with ``VALUES`` and many rows in it, a few times."""
        ...


def first(rows: Sequence[Row]) -> Row | None:
    """Return the first row, if there is one."""
    return rows[0] if rows else None


def in_list(values: Sequence[int]) -> str:
    """Return *values* as the inside of an SQL ``IN (...)``; integers only."""
    return ",".join(str(int(value)) for value in values) or "NULL"


def owner(tenant: Tenant) -> dict[str, object]:
    """Return the parameters that keep a statement to one tenant's rows."""
    return {"account_id": tenant.account_id, "live": int(tenant.live)}


_ENCODER: Final = json.JSONEncoder(
    separators=(",", ":"), sort_keys=True, ensure_ascii=False, check_circular=False
)


_TOGETHER: Final = json.JSONEncoder(
    separators=("\n", ":"), sort_keys=True, ensure_ascii=False, check_circular=False
)


def dump_all(values: Sequence[Mapping[str, object]]) -> list[str]:
    """Return many JSON objects as `dump` does, at a third of its cost.

    The encoder takes longer to begin than for a value, so this is one call. No text in
    JSON has a bare line break, so only separators are; and between two values stands
    NaN, which no value has.
    """
    apart: list[object] = [nan] * (2 * len(values))
    apart[::2] = [value or {} for value in values]
    texts = _TOGETHER.encode(apart)[1:].split("\nNaN")[:-1]
    if len(texts) != len(values):  # one has, after all
        return [dump(value) for value in values]
    return [text.lstrip("\n").replace("\n", ",") for text in texts]


def dump(value: object) -> str:
    """Return a JSON value as the text of a column."""
    return _ENCODER.encode(value) if value != {} else "{}"

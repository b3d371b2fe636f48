"""Fields of calls that nothing reads: told of in test mode, so that typos are seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from mbuzz.server.ingestion.fields import storable

# The schema of each kind's fields. The document is what says which are known.
_SCHEMAS: Final = {
    "track": "TrackItem",
    "identify": "IdentifyItem",
    "alias": "AliasItem",
    "group": "GroupItem",
    "conversion": "ConversionItem",
    "session": "SessionBody",
}
_ENVELOPES: Final = frozenset({"conversion", "session"})
_MOST_NAMED: Final = 5
_LONGEST_NAME: Final = 40


def unknown_fields(item: object, kind: object = None) -> list[str]:
    """Return a warning if *item*, a call of *kind*, has fields that are not known."""
    if not isinstance(item, dict):
        return []
    chosen = kind if isinstance(kind, str) else item.get("type", "track")
    known = _known().get(chosen) if isinstance(chosen, str) else None
    if known is None:
        return []
    inner = item.get(chosen) if chosen in _ENVELOPES else None
    if inner is None and known.issuperset(item):
        return []
    names = [*item, *(inner if isinstance(inner, dict) else ())]
    unknown = [name for name in names if name not in known]
    if not unknown:
        return []
    named = [storable(name)[:_LONGEST_NAME] for name in unknown[:_MOST_NAMED]]
    more = len(unknown) - len(named)
    rest = f" and {more} more" if more else ""
    return [f"unknown fields were ignored: {', '.join(named)}{rest}"]


@cache
def _known() -> Mapping[str, frozenset[str]]:
    """Return the names of the fields of each kind, as the API's document has them."""
    file = resources.files("mbuzz.server").joinpath("openapi.json")
    schemas = json.loads(file.read_text("utf-8"))["components"]["schemas"]
    return {
        kind: frozenset(_names(schemas, schemas[schema]))
        for kind, schema in _SCHEMAS.items()
    }


def _names(schemas: Mapping[str, Any], schema: Mapping[str, Any]) -> set[str]:
    """Return the properties of a schema and of what it is made of."""
    if "$ref" in schema:
        return _names(schemas, schemas[schema["$ref"].rpartition("/")[2]])
    found = set(schema.get("properties", ()))
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        found |= _names(schemas, part)
    return found

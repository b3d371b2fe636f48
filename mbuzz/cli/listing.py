"""The catalog of events for people: as text, as Markdown, and what changed in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Event = Mapping[str, Any]  # as `mbuzz.catalog.describe` gives it


def text(events: Iterable[Event]) -> str:
    """Return the catalog for a terminal."""
    blocks = [_block(event) for event in events]
    return "\n\n".join([*blocks, count(events)])


def count(events: Iterable[Event]) -> str:
    """Return how many there are of each kind."""
    kinds = [event["kind"] for event in events]
    counts = [(kinds.count(kind), kind) for kind in ("event", "conversion")]
    shown = [f"{n} {kind}{'s' * (n != 1)}" for n, kind in counts if n]
    return " and ".join(shown)


def _block(event: Event) -> str:
    head = f"{event['name']} ({event['kind']})"
    doc = [f"  {line}".rstrip() for line in event["doc"].splitlines()]
    rows = [
        (entry["name"], entry["type"], _given(entry), _line(entry["doc"]))
        for entry in event["properties"]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["    " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([head, *doc, *lines])


def _given(entry: Event) -> str:
    return "required" if entry["required"] else f"= {_json(entry['default'])}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _line(doc: str) -> str:
    return " ".join(doc.split())


def markdown(events: Iterable[Event]) -> str:
    """Return the catalog as a Markdown document."""
    lines = ["# Events"]
    for event in events:
        lines += ["", f"## {event['name']}", ""]
        lines.append(f"*{event['kind']}*")
        if event["doc"]:
            lines += ["", *event["doc"].splitlines()]
        if event["properties"]:
            lines += [
                "",
                "| property | type | default | meaning |",
                "| --- | --- | --- | --- |",
            ]
        for entry in event["properties"]:
            default = "required" if entry["required"] else _json(entry["default"])
            cells = (f"`{entry['name']}`", f"`{entry['type']}`", default)
            row = [cell.replace("|", "\\|") for cell in (*cells, _line(entry["doc"]))]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def difference(before: Iterable[Event], now: Iterable[Event]) -> list[str]:
    """Return what was added (+), removed (-) and changed (~), a line each."""
    lines: list[str] = []
    old = {(event["name"], event["kind"]): event for event in before}
    new = {(event["name"], event["kind"]): event for event in now}
    for key in sorted(old.keys() | new.keys()):
        title = f"{key[1]} {key[0]!r}"
        if key not in old:
            lines.append(f"+ {title}")
        elif key not in new:
            lines.append(f"- {title}")
        elif old[key] != new[key]:
            lines += [f"~ {title}", *_changes(old[key], new[key])]
    return lines


def _changes(before: Event, now: Event) -> list[str]:
    lines = []
    if before["doc"] != now["doc"]:
        lines.append(f"    ~ description: {before['doc']!r} -> {now['doc']!r}")
    old = {entry["name"]: entry for entry in before["properties"]}
    new = {entry["name"]: entry for entry in now["properties"]}
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            lines.append(f"    + {name}: {_typed(new[name])}")
        elif name not in new:
            lines.append(f"    - {name}: {_typed(old[name])}")
        elif old[name] != new[name]:
            was, is_ = _typed(old[name]), _typed(new[name])
            if was == is_:
                was, is_ = repr(old[name]["doc"]), repr(new[name]["doc"])
            lines.append(f"    ~ {name}: {was} -> {is_}")
    return lines


def _typed(entry: Event) -> str:
    given = "(required)" if entry["required"] else f"= {_json(entry['default'])}"
    return f"{entry['type']} {given}"

"""The one place where text becomes HTML: whatever is put into a template is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import LiteralString, TypeAlias


@dataclass(frozen=True, slots=True)
class Html:
    """Text that is HTML already; only `fill` makes it."""

    text: str


# None is nothing, several pieces stand one after the other.
Value: TypeAlias = Html | str | int | Iterable[Html] | None


def fill(template: LiteralString, **values: Value) -> Html:
    """Return *template* with its ``{names}`` replaced by escaped values.

    The template is always written in the code, never put together from data, and its
    attributes stand in double quotes.
    """
    escaped = {name: _escape(value) for name, value in values.items()}
    return Html(template.format_map(escaped))


def _escape(value: Value) -> str:
    match value:
        case None:
            return ""
        case Html():
            return value.text
        case str() | int():
            return html.escape(str(value), quote=True)
        case _:
            return "".join(piece.text for piece in value)

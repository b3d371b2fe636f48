"""Text as the wire and databases take it: storable, cut and marked."""

from __future__ import annotations

CUT = "...[cut]"
TOO_DEEP = "[too deep]"


def storable(text: str) -> str:
    """Return *text* without what databases cannot keep: NUL and lone surrogates."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "") if "\0" in text else text


def shortened(text: str, most: int) -> str:
    """Return *text* in at most *most* characters, marked if it was cut."""
    return text if len(text) <= most else text[: most - len(CUT)] + CUT


def unreadable(name: str) -> str:
    """Return what stands for a value, of a type or field *name*, that has no text."""
    return f"[{name[:100]}: cannot be encoded]"

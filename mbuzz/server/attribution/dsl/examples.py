"""The well-known models as programs: to read, to copy and to change."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

EXAMPLES: Final = (
    *("first_touch", "last_touch", "linear", "time_decay"),
    *("u_shaped", "w_shaped", "z_shaped"),
)


def example(name: str) -> str:
    """Return the program of one of `EXAMPLES`.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in EXAMPLES:
        raise ValueError(f"name must be one of {', '.join(EXAMPLES)}; got {name!r}")
    return (files(__package__) / "presets" / f"{name}.model").read_text("utf-8")

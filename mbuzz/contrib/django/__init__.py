"""Django: put ``mbuzz.contrib.django.MbuzzMiddleware`` first in `MIDDLEWARE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mbuzz.contrib.django.middleware import MbuzzMiddleware as MbuzzMiddleware

__all__ = ["MbuzzMiddleware"]


def __getattr__(name: str) -> object:
    # not at import: Django imports the package before its settings are ready
    if name == "MbuzzMiddleware":
        from mbuzz.contrib.django.middleware import MbuzzMiddleware

        return MbuzzMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

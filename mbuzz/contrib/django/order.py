"""The order of `MIDDLEWARE`: what must not come before ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

from django.conf import settings
from django.utils.module_loading import import_string

from mbuzz import guard

_logger = logging.getLogger("mbuzz.contrib")

NAME = "mbuzz.contrib.django.MbuzzMiddleware"
_CLASS = "mbuzz.contrib.django.middleware.MbuzzMiddleware"
_CACHES = frozenset(
    f"django.middleware.cache.{name}"
    for name in ("CacheMiddleware", "UpdateCacheMiddleware", "FetchFromCacheMiddleware")
)
_ANSWERS = frozenset(
    (
        "django.middleware.common.CommonMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
        "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
    )
)


class Before(NamedTuple):
    """A middleware that comes before ours and should not."""

    path: str
    caches: bool  # otherwise it answers, or replaces answers

    @property
    def sentence(self) -> str:
        """Return what is wrong with it."""
        does = (
            "may keep responses with one visitor's cookies and give them to others"
            if self.caches
            else "answers some requests itself: their page views and cookies get lost"
        )
        return f"{NAME} comes after {self.path}, which {does}."


def ours() -> list[int]:
    """Return the places of our middleware, or of classes derived from it."""
    return [
        place
        for place, path in enumerate(settings.MIDDLEWARE)
        if path in (NAME, _CLASS) or _CLASS in _bases(path)
    ]


def before_ours() -> Iterator[Before]:
    """Yield what comes before our middleware and should not.

    Others are known by their names alone: one that says cache is taken to be one.
    """
    first = min(ours(), default=0)
    for path in settings.MIDDLEWARE[:first]:
        bases = _bases(path)
        if bases & _CACHES or "Cache" in path.rpartition(".")[2]:
            yield Before(path, caches=True)
        elif bases & _ANSWERS:
            yield Before(path, caches=False)


def warn() -> None:
    """Log what would give one visitor's cookies to others, also without the checks."""
    with guard.swallowing("order of MIDDLEWARE"):
        for before in before_ours():
            if before.caches:
                _logger.warning("%s Move it to the top of MIDDLEWARE.", before.sentence)


def _bases(path: str) -> set[str]:
    """Return the names that a middleware is known by, those of its bases too."""
    found = guard.attempt(lambda: import_string(path), lambda _: None)
    kinds = found.__mro__ if isinstance(found, type) else ()
    return {path, *(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)}

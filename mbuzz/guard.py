"""The only place that swallows exceptions, so that tracking never breaks its host."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from mbuzz.clock import SYSTEM_CLOCK

P = ParamSpec("P")
T = TypeVar("T")

_logger = logging.getLogger("mbuzz.guard")
_QUIET_FOR = 60.0  # seconds between two reports of one place
_reported: dict[str, float] = {}


def guarded(default: Callable[[], T]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function return ``default()`` where it would have raised."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def guard(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                report(function.__qualname__, error)
                return default()

        return guard

    return decorate


@contextmanager
def swallowing(place: str) -> Iterator[None]:
    """Run a block whose failure may cost its own work, never the host's."""
    try:
        yield
    except Exception as error:
        report(place, error)


def attempt(function: Callable[[], T], failed: Callable[[Exception], T]) -> T:
    """Return ``function()``, or ``failed(error)`` where it raised."""
    try:
        return function()
    except Exception as error:
        return failed(error)


def report(place: str, error: Exception) -> None:
    """Log a bug in mbuzz (or in what the host handed in), once a minute per *place*.

    The error's text may quote a payload, so only its type is logged; the traceback,
    which shows code and no values, comes with DEBUG.
    """
    try:
        now = SYSTEM_CLOCK.monotonic()
        if now - _reported.get(place, -_QUIET_FOR) < _QUIET_FOR:
            return
        _reported[place] = now
        _logger.error("call failed (place=%s, error=%s)", place, type(error).__name__)
        if _logger.isEnabledFor(logging.DEBUG):
            trace = error.__traceback__
            while trace is not None:
                code = trace.tb_frame.f_code
                _logger.debug(
                    "failed in (file=%s, line=%d)", code.co_filename, trace.tb_lineno
                )
                trace = trace.tb_next
    except Exception:  # a broken logging set-up of the host is not ours to report
        pass

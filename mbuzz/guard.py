"""The only place that swallows exceptions, so that tracking never breaks its host."""

from __future__ import annotations

import functools
import logging
import sys

from mbuzz.clock import SYSTEM_CLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

_logger = logging.getLogger("mbuzz.guard")
_QUIET_FOR = 60.0  # seconds between two reports of one place
_reported: dict[str, float] = {}


def guarded(default: Callable[..., T]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a method return ``default(self)`` where it would have raised."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def guard(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                report(function.__qualname__, error)
                return default(*args[:1])

        return guard

    return decorate


class swallowing:  # noqa: N801 - used like a function
    """A block whose failure may cost its own work, never the host's.

    It has no state, so one may be made ahead and entered again and again.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if kind is None or not isinstance(error, Exception):
            return False
        report(self._place, error)
        return True


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
        if sys.is_finalizing():  # modules are going, handlers are gone
            return
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

"""A client's delivery across forks, closes and the end of the process."""

from __future__ import annotations

import atexit
import sys
import threading
from os import getpid

from mbuzz.clock import SYSTEM_CLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mbuzz.delivery.worker import Delivery

_EXIT_TIMEOUT = 1.7  # seconds for all clients: with all the rest the end may take 2

_used: set[Lifetime] = set()  # those that may have something to send at the end
_armed = False  # atexit tells us, here and in children of a fork
_finalized_in = 0  # the child of multiprocessing that tells us in its own way
leave_by: float | None = None  # monotonic seconds; set when the process ends


class Lifetime:
    """Hands out the delivery of this process: a new one after a fork or a close.

    The first one is made for the first event, not before: a host may fork, or exchange
    what locks and threads are (gevent does), after it has configured us.
    """

    def __init__(self, make: Callable[[], Delivery]) -> None:
        self._make = make
        # By process, since the parent's may be held for ever; re-entrant, since a
        # finalizer may track at any point.
        self._locks: dict[int, threading.RLock] = {}
        self.latest: Delivery | None = None
        _arm()

    @property
    def own(self) -> Delivery | None:
        """Return the latest delivery if it belongs to this process, closed or not."""
        latest = self.latest
        return latest if latest is not None and latest.pid == getpid() else None

    def delivery(self) -> Delivery:
        """Return what takes events now."""
        own = self.own
        if own is not None and not own.closed:
            return own
        with self._locks.setdefault(getpid(), threading.RLock()):
            own = self.own
            if own is None or own.closed:
                made = self._make()
                own = self.own  # a finalizer may have needed one meanwhile
                if own is None or own.closed:
                    self.latest = own = made
                _used.add(self)
                _arm()
        return own

    def after_submission(self) -> None:
        """Bring away at once what comes when nobody comes after us."""
        if leave_by is not None:
            self.close(max(0.0, leave_by - SYSTEM_CLOCK.monotonic()))

    def close(self, timeout: float) -> bool:
        """Close the latest, if it is ours; return whether all was settled."""
        own = self.own
        _used.discard(self)
        return own is None or own.close(timeout)


def leaving() -> bool:
    """Tell whether the process is about to end: no thread may be started any more."""
    return leave_by is not None or sys.is_finalizing()


def _arm() -> None:
    """See to it that the end of this process is noticed.

    As early as possible: what is registered while exit handlers run is never called.
    """
    global _armed, _finalized_in, leave_by
    if not _armed:
        _armed = True
        atexit.register(_leave)
        main = threading.main_thread()
        if main is threading.current_thread() and not main.is_alive():
            # These are exit handlers already, it is too late for one of ours.
            leave_by = SYSTEM_CLOCK.monotonic() + _EXIT_TIMEOUT
    loaded = sys.modules.get("multiprocessing")
    if loaded is None or loaded.parent_process() is None or _finalized_in == getpid():
        return
    # A child of multiprocessing ends without atexit, but not without these.
    from multiprocessing.util import Finalize

    _finalized_in = getpid()
    Finalize(None, _leave, exitpriority=0)


def _leave() -> None:
    """Close every client for good, in time: what comes later is sent at once."""
    global leave_by
    leave_by = SYSTEM_CLOCK.monotonic() + _EXIT_TIMEOUT
    waiting = list(_used)
    for number, lifetime in enumerate(waiting):
        left = max(0.0, leave_by - SYSTEM_CLOCK.monotonic())
        lifetime.close(left / (len(waiting) - number))

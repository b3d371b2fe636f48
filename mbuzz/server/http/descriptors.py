"""How many sockets this process may have open."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

_ENOUGH: Final = 65_536  # beyond it the memory of connections is the limit
_OTHERS: Final = 100  # of the database, logs, standard streams
_SELECT: Final = 400  # Windows: its select() takes 512 sockets


def room_for_connections() -> int:
    """Return how many connections there is room for, after asking for more.

    The soft limit on file descriptors goes up towards the hard one, where there are
    such limits; 1,024 is a common soft limit, kept for programs that use select().
    """
    try:
        import resource
    except ImportError:
        return _SELECT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (_ENOUGH if n == resource.RLIM_INFINITY else n for n in (soft, hard))
    # macOS says its hard limit is infinite and refuses more than 10,240 or so.
    for wanted in (min(hard, _ENOUGH), 10_240):
        if soft < wanted <= hard:
            with suppress(ValueError, OSError):
                _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limit))
                soft = wanted
    return max(soft - _OTHERS, soft // 2)

"""What became of every event, and whether delivery is well: values for the host."""

from __future__ import annotations

from collections.abc import Mapping

from mbuzz.values import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from mbuzz.delivery.breaker import Breaker
    from mbuzz.delivery.counters import Counters
    from mbuzz.delivery.queue import Outbox

_NOTHING: Mapping[str, int] = {}


class Stats(Frozen):
    """Counts of events, at one moment; sizes in bytes, times in seconds.

    Always ``accepted == delivered + rejected + sum(dropped.values()) + dead_lettered +
    spooled + queued + in_flight``. Calls that never became an accepted event are in
    `refused` (by mistake) and `left_out` (on purpose: sampling, `before_send`).
    """

    accepted: int = 0  # `recovered` ones included
    delivered: int = 0
    rejected: int = 0
    dropped: Mapping[str, int] = _NOTHING  # by reason
    dead_lettered: int = 0
    spooled: int = 0
    queued: int = 0
    in_flight: int = 0
    recovered: int = 0  # taken over from the spool of a process that has ended
    refused: Mapping[str, int] = _NOTHING
    left_out: Mapping[str, int] = _NOTHING
    batches: int = 0
    sent_bytes: int = 0
    retries: int = 0
    breaker: str = "closed"  # or "open", "half_open"
    last_error: str | None = None
    oldest: float | None = None  # age of the oldest event that waits or is being sent
    latency: float | None = None  # from call to answer, smoothed over batches


def take_stats(
    outbox: Outbox, counters: Counters, breaker: Breaker, now: float
) -> Stats:
    """Return the counts of one delivery; *now* is in monotonic seconds."""
    with outbox.lock:
        since = outbox.unsettled_since()
        return Stats(
            accepted=outbox.accepted,
            delivered=counters.delivered,
            rejected=counters.rejected,
            dropped={k: count for k, count in counters.dropped.items() if count},
            dead_lettered=counters.dead_lettered,
            spooled=counters.spooled,
            queued=outbox.waiting,
            in_flight=outbox.in_flight,
            recovered=counters.recovered,
            refused=dict(counters.refused),
            left_out=dict(counters.left_out),
            batches=counters.batches,
            sent_bytes=counters.sent_bytes,
            retries=counters.retries,
            breaker=breaker.state,
            last_error=counters.last_error,
            oldest=None if since is None else now - since,
            latency=counters.latency,
        )


class Health(Frozen):
    """How delivery is; true while events arrive."""

    status: Literal["ok", "degraded", "failing"] = "ok"
    reason: str | None = None  # a machine word, such as "retrying"

    def __bool__(self) -> bool:
        return self.status != "failing"

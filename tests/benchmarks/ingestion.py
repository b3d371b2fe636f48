"""What the backend takes: `python3 -m tests.benchmarks.ingestion [seconds] [rounds]`.

Events that are on disk a second, with visitor, session and channel derived, beside the
floor: the same server and group commit with the least that derives them. Load comes
from a process of its own on the same cores. Goals are those of two quiet cores; the
ratio is what holds on a busy machine.
"""

from __future__ import annotations

import sys
from typing import Any

from tests.benchmarks.figures import HEAD, Figure, apart, middle
from tests.benchmarks.ingest_load import load
from tests.benchmarks.sink import Running, running

# events a request, connections, and the goals: events a second, p99 in ms, CPU in us
CASES = (
    (1, 8, 4_000, 5.0, 120.0),
    (1, 128, 10_000, 25.0, 120.0),
    (50, 16, 25_000, 100.0, 35.0),
    (500, 8, 25_000, 500.0, 35.0),
)
RATIO = 0.5
WARM = 1.0  # seconds; memory that only grows at first is no cost of an event
DISK = 500  # bytes an event
MEMORY = 200  # MB


def measure(
    server: Running, size: int, connections: int, seconds: float
) -> dict[str, Any]:
    """Return what `load` saw, and the server's CPU per event in microseconds.

    After a second that warms it up, whose events are in ``all`` only.
    """
    before = _seen(server, size, connections, WARM)
    cpu = server.cpu()
    seen = _seen(server, size, connections, seconds)
    seen["cpu"] = (server.cpu() - cpu) / seen["events"] * 1e6
    seen["all"] = before["events"] + seen["events"]
    return seen


def _seen(
    server: Running, size: int, connections: int, seconds: float
) -> dict[str, Any]:
    given = server.url, server.key, size, connections, seconds
    (seen,) = apart(load, *([one] for one in given))
    if isinstance(seen, str):
        raise SystemExit(f"the load generator failed: {seen}")
    return dict(seen)


def case(
    size: int, connections: int, goals: tuple[float, float, float], rounds: list[Any]
) -> list[Figure]:
    """Return the lines of one kind of load; a round is (floor, ours, ...)."""
    row = f"{size}@{connections}"
    rate, p99, cpu = goals
    floor, ours, spread = middle(
        [
            (a["events"] / a["seconds"], b["events"] / b["seconds"])
            for a, b, *_ in rounds
        ]
    )
    best = [min(each[side]["p99"] for each in rounds) for side in (0, 1)]
    work = [min(each[side]["cpu"] for each in rounds) for side in (0, 1)]
    name = f"batches of {size}" if size > 1 else "single events"
    what = f"{name}, {connections} connections"
    return [
        Figure(
            row=row,
            what=what,
            unit="ev/s",
            floor=floor,
            ours=ours,
            goal=RATIO,
            least=True,
            note=f"{spread}; goal on quiet cores {rate:,.0f}",
        ),
        Figure(
            row=row,
            what="  99th percentile",
            unit="ms",
            floor=best[0],
            ours=best[1],
            goal=p99,
            limit=True,
        ),
        Figure(
            row=row,
            what="  CPU of the server",
            unit="us/ev",
            floor=work[0],
            ours=work[1],
            goal=cpu,
            limit=True,
        ),
    ]


def main(seconds: float, rounds: int) -> None:
    """Print the table."""
    print(HEAD)
    for size, connections, *goals in CASES:
        seen = []
        for _ in range(rounds):
            with running("floor") as server:
                floor = measure(server, size, connections, seconds)
            with running("backend") as server:
                ours = measure(server, size, connections, seconds)
                disk = server.disk() / ours["all"]
                memory = server.memory() / 1e6
            seen.append((floor, ours, disk, memory))
        rate, p99, cpu = goals
        for figure in case(size, connections, (rate, p99, cpu), seen):
            print(figure.line(), flush=True)
        memory = max(each[3] for each in seen)
        figures = [("  memory", "MB", memory, MEMORY)]
        if size > 1:
            disk = min(each[2] for each in seen)
            figures.append(("  disk", "B/ev", disk, DISK))
        for what, unit, value, goal in figures:
            figure = Figure(
                row=f"{size}@{connections}",
                what=what,
                unit=unit,
                floor=None,
                ours=value,
                goal=goal,
            )
            print(figure.line(), flush=True)


if __name__ == "__main__":
    main(
        float(sys.argv[1]) if len(sys.argv) > 1 else 3.0,
        int(sys.argv[2]) if len(sys.argv) > 2 else 3,
    )

"""Events that are on disk a second: `python3 -m tests.benchmarks.ingestion [seconds]`.

The floor is the same server with an application that parses a batch, inserts its rows
into one table and commits with the same durability, and derives nothing.
"""

from __future__ import annotations

import json
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

from mbuzz import ids
from mbuzz.clock import SYSTEM_CLOCK, iso
from tests.benchmarks.figures import together
from tests.benchmarks.sink import running

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"


def event(visitor: str, seconds_ago: int) -> dict[str, object]:
    """Return a page view of about 600 bytes."""
    now = SYSTEM_CLOCK.now_ms() - seconds_ago * 1000
    return {
        "type": "track",
        "id": ids.event_id(now),
        "event_type": "page_view",
        "visitor_id": visitor,
        "session_id": visitor[:32],
        "timestamp": iso(now),
        "properties": {
            "url": "https://shop.example/products/1?utm_source=google&utm_medium=cpc",
            "referrer": "https://www.google.com/",
            "user_agent": AGENT,
            "plan": "pro",
        },
    }


def load(
    url: str, key: str, size: int, connections: int, seconds: float
) -> tuple[float, float]:
    """Return events a second, and the 99th percentile of a request in ms."""
    parts = urlsplit(url)
    spans: list[float] = []
    end = time.monotonic() + seconds

    def work(_: int) -> None:
        connection = HTTPConnection(parts.hostname or "", parts.port)
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        }
        while time.monotonic() < end:
            visitors = [ids.visitor_id() for _ in range(max(1, size // 4))]
            events = [event(visitors[i % len(visitors)], size - i) for i in range(size)]
            body = json.dumps({"events": events})
            begin = time.perf_counter()
            connection.request("POST", "/api/v1/events", body, headers)
            answer = connection.getresponse()
            answer.read()
            spans.append(time.perf_counter() - begin)
            assert answer.status == 202, answer.status
        connection.close()

    begin = together(work, connections)
    spans.sort()
    p99 = spans[len(spans) * 99 // 100] * 1000
    return len(spans) * size / (time.perf_counter() - begin), p99


def main(seconds: float) -> None:
    """Print the floor, ours, and the ratio, for single events and batches."""
    print(
        f"{'':24}{'floor ev/s':>12}{'p99 ms':>9}{'mbuzz ev/s':>12}{'p99 ms':>9}  ratio"
    )
    for size, connections in ((1, 8), (50, 4), (500, 2)):
        figures = []
        for kind in ("floor", "backend"):
            with running(kind) as (url, key):
                figures.append(load(url, key, size, connections, seconds))
        (floor, floor_p99), (ours, our_p99) = figures
        name = f"batch {size}, {connections} connections"
        print(
            f"{name:24}{floor:12,.0f}{floor_p99:9.1f}{ours:12,.0f}{our_p99:9.1f}"
            f"  {ours / floor:.2f}"
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)

"""What `track()` costs its caller: `python3 -m tests.benchmarks.track [calls]`.

The floor builds the same event as a dict with a random id and an ISO time, encodes it
and appends it to a deque while a thread posts batches over one kept-alive connection.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

import mbuzz
from mbuzz.config import Config
from tests.benchmarks.sink import running

BURST = 100
PROPERTIES = {
    "url": "https://shop.example/products/shoes?utm_source=google&utm_medium=cpc",
    "referrer": "https://www.google.com/",
    "plan": "pro",
    "price": 129.9,
    "items": 2,
    "new": True,
}


class Floor:
    """The least that a background sender can do."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port)
        self._queue: deque[str] = deque()
        self._stop = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def track(self, name: str) -> None:
        event = {
            "id": os.urandom(16).hex(),
            "event_type": name,
            "user_id": "42",
            "timestamp": datetime.now(UTC).isoformat(),
            "properties": PROPERTIES,
        }
        self._queue.append(json.dumps(event))

    def _run(self) -> None:
        while self._queue or not self._stop:
            size = min(100, len(self._queue))
            batch = [self._queue.popleft() for _ in range(size)]
            if not batch:
                time.sleep(0.01)
                continue
            body = f'{{"events":[{",".join(batch)}]}}'
            self._connection.request("POST", "/api/v1/events", body)
            self._connection.getresponse().read()

    def close(self) -> None:
        self._stop = True
        self._thread.join()
        self._connection.close()


def measure(call: Callable[[], object], calls: int) -> tuple[float, float, float]:
    """Return a call's median and 99th percentile, and its CPU, in microseconds."""
    spans = []
    cpu = time.thread_time_ns()
    for _ in range(calls // BURST):
        for _ in range(BURST):
            begin = time.perf_counter_ns()
            call()
            spans.append(time.perf_counter_ns() - begin)
        time.sleep(0.005)
    cpu = time.thread_time_ns() - cpu
    spans.sort()
    median = statistics.median(spans) / 1000
    return median, spans[len(spans) * 99 // 100] / 1000, cpu / calls / 1000


def main(calls: int) -> None:
    """Print the floor, ours, and the ratios."""
    with running("sink") as (url, key):
        floor = Floor(url)
        floors = measure(lambda: floor.track("Signup"), calls)
        floor.close()
        client = mbuzz.Client(Config(api_key=key, api_url=url, network=True))

        def track() -> None:
            client.track("Signup", user_id="42", properties=PROPERTIES)

        ours = measure(track, calls)
        client.flush(30)
        stats = client.stats()
        client.close()
    print(f"track(), {calls} calls in bursts of {BURST}, microseconds")
    print(f"{'':8}{'median':>10}{'p99':>10}{'CPU':>10}")
    print("floor   " + "".join(f"{value:10.1f}" for value in floors))
    print("mbuzz   " + "".join(f"{value:10.1f}" for value in ours))
    ratios = (a / b for a, b in zip(ours, floors, strict=True))
    print("ratio   " + "".join(f"{value:10.2f}" for value in ratios))
    print(
        f"delivered {stats.delivered} of {stats.accepted}, lost {dict(stats.dropped)}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)

"""The least that sending events in the background can cost, and what both are given."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from collections import deque
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

BATCH = 100
ROOM = 10_000  # events that wait, as many as the SDK's own queue holds
_PLANS = ("free", "pro", "team", "enterprise")
_TERMS = ("red+shoes", "running", "trail", "winter+sale", "kids", "wide")


def properties(number: int) -> dict[str, object]:
    """Return what a shop says of one event; each differs from the last."""
    term = _TERMS[number % 6]
    return {
        "url": f"https://shop.example/products/{number * 7919 % 4001}"
        f"?utm_source=google&utm_medium=cpc&q={term}",
        "referrer": "https://www.google.com/",
        "title": "Everything for the trail",
        "plan": _PLANS[number % 4],
        "price": number * 37 % 30_000 / 100,
        "items": number % 5 + 1,
        "new": number % 3 == 0,
    }


def event(given: dict[str, object]) -> str:
    """Return one event of about 390 bytes."""
    return json.dumps(
        {
            "type": "track",
            "id": os.urandom(16).hex(),
            "event_type": "Product Viewed",
            "user_id": "42",
            "timestamp": datetime.now(UTC).isoformat(),
            "properties": given,
        }
    )


class Floor:
    """A deque, and a thread that posts batches over one kept connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port)
        self._queue: deque[str] = deque()
        self._stop = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def track(self, given: dict[str, object]) -> None:
        """Queue one event."""
        self._queue.append(event(given))

    def put(self, body: str) -> None:
        """Queue what is encoded already."""
        self._queue.append(body)

    def offer(self, given: dict[str, object]) -> bool:
        """Queue one event if there is room."""
        if len(self._queue) >= ROOM:
            return False
        self._queue.append(event(given))
        return True

    def _run(self) -> None:
        queue = self._queue
        while queue or not self._stop:
            if len(queue) < BATCH and not self._stop:
                time.sleep(0.01)
                continue
            batch = [queue.popleft() for _ in range(min(BATCH, len(queue)))]
            body = gzip.compress(
                f'{{"events":[{",".join(batch)}]}}'.encode(), compresslevel=6
            )
            self._connection.request(
                "POST", "/api/v1/events", body, {"Content-Encoding": "gzip"}
            )
            self._connection.getresponse().read()

    def close(self) -> None:
        """Send what waits, and stop."""
        self._stop = True
        self._thread.join()
        self._connection.close()

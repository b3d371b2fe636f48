"""A shop's traffic, and a ledger of what the backend has said it took.

The traffic is made so that its outcome does not depend on what arrives first: whoever
knows what was accepted can work out anew what must be stored.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from urllib.parse import urlsplit

from mbuzz import ids
from mbuzz.clock import SYSTEM_CLOCK

Item = dict[str, object]
Batch = list[Item]

BATCH = 20
SENDERS = 4
_VISITORS = 24  # of a round, whom all senders share
_PATIENCE = 60.0  # seconds for an answer
_HOURS_BACK_MS = 6 * 3_600_000
_PAGES = ("", "pricing", "docs", "blog/one", "cart")
_TAGS = (*[""] * 6, "?utm_source=news&utm_medium=email", "?gclid=abc123")
_REFERRERS = (None, None, "https://www.google.com/", "https://shop.example/")


class Traffic:
    """Batches of what a few visitors do, each with ids of its own."""

    def __init__(self, seed: int, now_ms: int | None = None) -> None:
        """Make the traffic of a seed and a time; two of both are the same."""
        self._random = random.Random(seed)
        self._visitors = [self._hex(64) for _ in range(_VISITORS)]
        self._from_ms = (now_ms or SYSTEM_CLOCK.now_ms()) - _HOURS_BACK_MS
        self._step_ms = 0
        self._busy: set[tuple[int, int]] = set()
        self._orders = 0
        self._seed = seed
        self._lock = threading.Lock()

    def _hex(self, length: int) -> str:
        return f"{self._random.getrandbits(length * 4):0{length}x}"

    def batch(self, size: int = BATCH) -> Batch:
        """Return the next batch; one in ten items belongs to the past."""
        with self._lock:
            return [self._item() for _ in range(size)]

    def _item(self) -> Item:
        chance = self._random.random()
        self._step_ms += self._random.choice((0, 700, 5_000, 60_000))
        self._step_ms %= _HOURS_BACK_MS
        late = self._random.randrange(self._step_ms + 1) if chance > 0.9 else 0
        number = self._random.randrange(_VISITORS)
        at_ms = self._free(number, self._from_ms + self._step_ms - late)
        common = {"visitor_id": self._visitors[number], "timestamp": at_ms}
        if chance < 0.04:
            return {**common, "type": "identify", "user_id": self._user(number)}
        if chance < 0.09:
            return {**common, **self._conversion(at_ms)}
        event = {**common, "type": "track", "id": self._id("evt", at_ms)}
        if chance < 0.15:  # by the server, about no page
            return {**event, "event_type": "invoice_sent"}
        page = self._random.choice(_PAGES) + self._random.choice(_TAGS)
        properties = {
            "url": f"https://shop.example/{page}",
            "referrer": self._random.choice(_REFERRERS),
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0",
        }
        kind = "page_view" if chance < 0.85 else "add_to_cart"
        return {**event, "event_type": kind, "properties": properties}

    def _free(self, number: int, at_ms: int) -> int:
        """Return a time at which the person did nothing else.

        Of visits with two browsers that begin in the same millisecond, the one that
        arrived first counts as the earlier one.
        """
        while (number // 2, at_ms) in self._busy:
            at_ms += 1
        self._busy.add((number // 2, at_ms))
        return at_ms

    def _user(self, number: int) -> str:
        return f"user-{self._seed}-{number // 2}"  # with two browsers each

    def _id(self, prefix: str, at_ms: int) -> str:
        return f"{prefix}_{at_ms:012x}{self._hex(20)}"

    def _conversion(self, at_ms: int) -> Item:
        self._orders += 1
        return {
            "type": "conversion",
            "id": self._id("conv", at_ms),
            "conversion_type": "purchase",
            "order_id": f"order-{self._seed}-{self._orders}",
            "revenue": f"{self._random.randrange(1, 20_000) / 100:.2f}",
            "currency": self._random.choice(("EUR", "EUR", "JPY", "KWD")),
        }


class Ledger:
    """What was sent, and what came of it."""

    def __init__(self) -> None:
        self.accepted: dict[str, Item] = {}  # by a name of the item
        self.unanswered: list[Batch] = []
        self.resent = 0  # batches that got no answer at first
        self.refused = 0  # batches answered 503, to be sent again
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def took(self, batch: Batch, status: int, body: bytes) -> bool:
        """Note an answer; False if the batch has to be sent again."""
        with self._lock:
            if status == 503:
                self.refused += 1
                return False
            reply = json.loads(body)
            if status != 202 or reply["accepted"] != len(batch):
                self.wrong.append(f"answered {status}: {body[:300]!r}")
                return True
            for item in batch:
                self.accepted[name_of(item)] = item
            return True

    def nobody_answered(self, batch: Batch) -> None:
        """Note a batch of which nobody knows whether it is stored."""
        with self._lock:
            self.unanswered.append(batch)


def name_of(item: Item) -> str:
    """Return what an item is known by: its id, else who it says somebody is."""
    return str(item.get("id") or f"{item['visitor_id']} is {item['user_id']}")


class Sender:
    """Sends batches on one connection at a time."""

    def __init__(self, url: str, key: str) -> None:
        self._host = urlsplit(url).netloc
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        }
        self._connection = http.client.HTTPConnection(self._host, timeout=_PATIENCE)

    def send(self, batch: Batch) -> tuple[int, bytes]:
        """Return the answer to a batch.

        Raises:
            OSError: If there is none.
            http.client.HTTPException: If it ends in the middle.
        """
        body = json.dumps({"events": batch})
        self._connection.request("POST", "/api/v1/events", body, self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class Load:
    """Threads that send until the backend is gone, or they are told to stop."""

    def __init__(self, url: str, key: str, traffic: Traffic, ledger: Ledger) -> None:
        self._url, self._key = url, key
        self._traffic, self._ledger = traffic, ledger
        self._stop = threading.Event()
        self.answered = threading.Semaphore(0)
        self._threads = [
            threading.Thread(target=self._send, args=(number,))
            for number in range(SENDERS)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.wait()

    def wait(self) -> None:
        """Return when all threads have ended."""
        for thread in self._threads:
            thread.join()

    def _send(self, number: int) -> None:
        sizes = random.Random(number)
        with closing(Sender(self._url, self._key)) as sender:
            batch = None
            while not self._stop.is_set():
                batch = batch or self._traffic.batch(sizes.choice((1, BATCH, 60)))
                try:
                    status, body = sender.send(batch)
                except (OSError, http.client.HTTPException):
                    self._ledger.nobody_answered(batch)
                    return
                if self._ledger.took(batch, status, body):
                    # Now and then an answer does not arrive: a client would repeat it.
                    batch = batch if sizes.random() < 0.05 else None
                    self.answered.release()
            if batch is not None:
                self._ledger.nobody_answered(batch)


def send_again(url: str, key: str, ledger: Ledger, lost: Callable[[], bool]) -> None:
    """Send what was not answered until it is, unless the backend is *lost* again."""
    with closing(Sender(url, key)) as sender:
        while ledger.unanswered:
            batch = ledger.unanswered[0]
            try:
                status, body = sender.send(batch)
            except (OSError, http.client.HTTPException):
                if lost():
                    return
                raise
            if ledger.took(batch, status, body):
                ledger.unanswered.pop(0)
                ledger.resent += 1


def events_of(items: Sequence[Item], kind: str) -> list[Item]:
    """Return the items of one kind."""
    return [item for item in items if item["type"] == kind]


def new_seed() -> int:
    """Return a seed that no other run has had."""
    return int(ids.token(4), 16)

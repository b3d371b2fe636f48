"""SIGTERM under load, as at every deployment: who is being served is answered."""

import json
import signal
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

from tests.crash.load import Ledger, Load, Traffic, new_seed
from tests.crash.verdict import judge
from tests.processes import PATIENCE

IN_FLIGHT = 8


class HalfSent:
    """A request of which the server has the first half."""

    def __init__(self, shop, number, stack):
        self.name = f"evt_{number:032x}"
        item = {
            "id": self.name,
            "event_type": "page_view",
            "visitor_id": "visitor-in-flight",
            "properties": {"url": "https://shop.example/"},
        }
        body = json.dumps({"events": [item]}).encode()
        head = (
            "POST /api/v1/events HTTP/1.1\r\nHost: shop.example\r\n"
            f"Authorization: Bearer {shop.backend.key}\r\n"
            "Expect: 100-continue\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        where = urlsplit(shop.backend.url)
        self._socket = stack.enter_context(
            socket.create_connection((where.hostname, where.port), PATIENCE)
        )
        self._rest = body
        self._socket.sendall(head)
        going_on = self._socket.recv(65_536)  # so it has been read
        assert going_on.startswith(b"HTTP/1.1 100 "), going_on

    def finish(self):
        """Send the rest and return the answer."""
        self._socket.sendall(self._rest)
        answer = b""
        while part := self._socket.recv(65_536):
            answer += part
        return answer


def test_requests_in_flight_are_answered_and_kept(shop):
    shop.backend.start()
    ledger = Ledger()

    with (
        ExitStack() as stack,
        Load(shop.backend.url, shop.backend.key, Traffic(new_seed()), ledger) as load,
    ):
        for _ in range(10):
            assert load.answered.acquire(timeout=PATIENCE)
        halves = [HalfSent(shop, number, stack) for number in range(IN_FLIGHT)]
        shop.backend.send(signal.SIGTERM)
        answers = [half.finish() for half in halves]
        assert shop.backend.end() == 0

    assert [answer.split(b" ", 2)[1] for answer in answers] == [b"202"] * IN_FLIGHT
    assert "Traceback" not in shop.backend.output
    assert ledger.wrong == []
    shop.backend.start()
    assert shop.backend.stop() == 0
    verdict = judge(shop.backend.database, ledger)
    assert (verdict.lost, verdict.doubled) == (0, 0)

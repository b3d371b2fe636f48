"""A transport that answers as it is told, and clients whose clock stands still."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.delivery.transport import Response, TransportError
from mbuzz.testing import ManualClock
from tests.delivery.conftest import KEY


class Scripted:
    """Answers one thing after another, the last one again and again.

    A number is a status, a tuple a status and what the server says, text an error, and
    a function is called for one of these.
    """

    def __init__(self, *answers):
        self._answers = list(answers)
        self.sent: list[bytes] = []

    def post(self, path, body, headers, timeout):
        answer = self._answers[0]
        if len(self._answers) > 1:
            self._answers.pop(0)
        self.sent.append(body)
        if callable(answer):
            answer = answer()
        if isinstance(answer, str):
            raise TransportError(answer)
        status, said = answer if isinstance(answer, tuple) else (answer, {})
        return Response(status=status, headers={}, body=json.dumps(said).encode())

    def close(self):
        pass


@contextmanager
def scripted_clients() -> Iterator[Callable[..., Client]]:
    """Give a function that makes clients, in sync mode, whose server answers so."""
    made: list[Client] = []

    def make(*answers, **options):
        given = {"api_key": KEY, "network": True, "delivery": "sync", **options}
        transport = Scripted(*answers)
        client = Client(
            Config(**given), clock=ManualClock(), transport=lambda: transport
        )
        client.transport = transport
        made.append(client)
        return client

    yield make
    for client in made:
        client.close(0.0)

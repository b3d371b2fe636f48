"""A backend in a process of its own, with trouble."""

import http.client
import json
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.crash.served import Backend
from tests.processes import PATIENCE


class Answer:
    """What the backend says."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


class Shop:
    """A backend and its client."""

    def __init__(self, backend):
        self.backend = backend
        self._sent = 0
        self.accepted = []

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(
            urlsplit(self.backend.url).netloc, timeout=PATIENCE
        )
        headers = {"Authorization": f"Bearer {self.backend.key}"}
        with closing(connection):
            connection.request(method, f"/api/v1{path}", body, headers)
            return Answer(connection.getresponse())

    def page(self, size=100):
        """Send a page view, with a property of that size."""
        self._sent += 1
        name = f"evt_{self._sent:032x}"
        item = {
            "id": name,
            "event_type": "page_view",
            "visitor_id": "visitor-of-the-shop",
            "properties": {"url": "https://shop.example/", "note": "x" * size},
        }
        answer = self.ask("POST", "/events", json.dumps({"events": [item]}))
        if answer.status == 202 and answer.json["accepted"] == 1:
            self.accepted.append(name)
        return answer

    def health(self):
        return self.ask("GET", "/health")


@pytest.fixture
def backend(tmp_path):
    made = Backend(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def shop(backend):
    return Shop(backend)

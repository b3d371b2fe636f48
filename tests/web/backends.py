"""Backends that answer as a test tells them to, behind the default client."""

import json
import threading
from contextlib import contextmanager

from mbuzz import api
from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.testing import WSGITransport
from tests.web.visits import HTML, KEY, begin

PATIENCE = 5.0


@contextmanager
def a_backend(app, **options):
    """Let the default client talk to *app*."""
    config = Config(api_key=KEY, network=True, batch_interval=0.01, **options)
    client = Client(config, transport=lambda: WSGITransport(app))
    api.swap(client)
    try:
        yield
    finally:
        api.swap(None)
        client.close(timeout=0.0)


def says(*cookies, status="202 Accepted"):
    """Return a backend that answers each request with *cookies*."""

    def app(environ, start_response):
        start_response(status, [("Set-Cookie", cookie) for cookie in cookies])
        return [json.dumps({"accepted": 1, "rejected": [], "events": []}).encode()]

    return app


class Hanging:
    """A backend that takes requests and does not answer before it is told to."""

    def __init__(self):
        self.asked = threading.Semaphore(0)
        self.answer = threading.Event()
        self.cookies = ()

    def __call__(self, environ, start_response):
        self.asked.release()
        assert self.answer.wait(PATIENCE)
        return says(*self.cookies)(environ, start_response)


def landing(site, *, wait_for_answer=True):
    """Return the cookies of a landing whose answer has come."""
    exchange = begin(site)
    if wait_for_answer:
        exchange._reply.result(PATIENCE)
    return exchange.respond(200, HTML)

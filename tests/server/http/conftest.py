"""A client that says what no polite client would, and servers to say it to."""

import http.client
import json
import socket
from contextlib import closing, contextmanager

import pytest

from mbuzz.server.http.wsgi_server import WSGIServer
from tests.processes import PATIENCE


class Raw(bytes):
    """What came back on a connection, as it came."""

    @property
    def status(self):
        return int(self.split(b" ", 2)[1])

    @property
    def head(self):
        return bytes(self.partition(b"\r\n\r\n")[0])

    @property
    def body(self):
        return bytes(self.partition(b"\r\n\r\n")[2])

    @property
    def json(self):
        return json.loads(self.body)


class Served:
    """A running server and what tests do with it."""

    def __init__(self, server):
        self.server = server
        self.shutdown = server.shutdown

    @contextmanager
    def connected(self):
        address = self.server.host, self.server.port
        with socket.create_connection(address, PATIENCE) as client:
            yield client

    def talk(self, data, *, done=False):
        """Send raw bytes and return all that comes back until the server closes.

        With *done* the client says that it sends no more.
        """
        with self.connected() as client:
            client.sendall(data)
            if done:
                client.shutdown(socket.SHUT_WR)
            return self.rest(client)

    @staticmethod
    def rest(client):
        parts = []
        while part := client.recv(65_536):
            parts.append(part)
        return Raw(b"".join(parts))

    @contextmanager
    def http(self):
        connection = http.client.HTTPConnection(
            self.server.host, self.server.port, timeout=PATIENCE
        )
        with closing(connection):
            yield connection

    def ask(self, method="GET", path="/", body=None):
        with self.http() as connection:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response, response.read()


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def echo(environ, start_response):
    """Answer with the request's body and the text part of its environ."""
    body = environ["wsgi.input"].read()
    texts = {name: value for name, value in environ.items() if isinstance(value, str)}
    answer = json.dumps({"environ": texts, "body": body.decode("latin-1")}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer]


@pytest.fixture
def serve():
    """Start a server; it stops with the test."""
    servers = []

    def start(app=hello, **options):
        server = WSGIServer(app, **options)
        servers.append(server)
        server.start()
        return Served(server)

    yield start
    for server in servers:
        server.shutdown(grace=1.0)


@pytest.fixture
def shop(caller):
    """Return a caller of a new backend."""
    return caller()


@pytest.fixture(scope="session")
def shared():
    """One server that echoes, for all tests that need nothing special of it."""
    with WSGIServer(echo, max_body_bytes=1000) as server:
        server.start()
        yield Served(server)

"""Ten thousand clients that are connected and say nothing."""

import subprocess
import sys

import pytest

MANY = 10_000

CLIENTS = """
import resource, socket, sys

host, port, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
clients = []
for _ in range(many):
    client = socket.create_connection((host, port), 30)
    client.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
    client.setblocking(False)
    clients.append(client)
print("connected", flush=True)
sys.stdin.readline()
held = 0
for client in clients:
    try:
        client.recv(1)
    except BlockingIOError:
        held += 1
print(held, flush=True)
for client in clients:
    client.close()
"""


def test_ten_thousand_idle_connections_are_held_while_requests_are_answered(serve):
    resource = pytest.importorskip("resource")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MANY + 200:
        pytest.skip(f"this system allows {hard} file descriptors")
    server = serve(request_timeout=120.0, idle_timeout=120.0)
    address = [server.server.host, str(server.server.port), str(MANY)]

    with subprocess.Popen(
        [sys.executable, "-c", CLIENTS, *address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as clients:
        assert clients.stdout.readline() == "connected\n"
        statuses = {server.ask()[0].status for _ in range(20)}
        with server.http() as connection:
            for _ in range(200):
                connection.request("GET", "/")
                response = connection.getresponse()
                response.read()
                statuses.add(response.status)
        held, _ = clients.communicate("count\n", timeout=60)

    assert statuses == {200}
    assert held == f"{MANY}\n"

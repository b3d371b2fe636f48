"""What is loaded ahead: enough for all that a client may do, and no more than that."""

import sys

import pytest

from mbuzz import warmup
from mbuzz.config import Config
from tests.delivery.fault_server import FaultServer

KEY = "sk_test_" + "k" * 32
NOT_FOR_ALL = {
    "ssl",
    "encodings.idna",
    "urllib.request",
    "mbuzz.definitions",
    "mbuzz.delivery.spool",
}
PROXIES = "http_proxy https_proxy all_proxy no_proxy".split()


@pytest.fixture
def server():
    served = FaultServer()
    yield served
    served.close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def needed(**options):
    """Return what these options need of what not all need."""
    given = {"api_key": KEY, "network": True, "api_url": "http://127.0.0.1:9"}
    return NOT_FOR_ALL.intersection(warmup._needed(Config(**{**given, **options})))


@pytest.mark.parametrize(
    ("options", "modules"),
    [
        ({}, set()),
        ({"api_url": "https://127.0.0.1:9"}, {"ssl"}),
        ({"api_url": "http://localhost:9"}, {"encodings.idna"}),
        ({"api_url": "https://h.example"}, {"ssl", "encodings.idna"}),
        ({"api_url": "https://h.example", "network": False}, set()),
        ({"strict_events": True}, {"mbuzz.definitions"}),
    ],
    ids="plain https name https_name no_network strict_events".split(),
)
def test_options_say_what_is_needed(options, modules):
    assert needed(**options) == modules


def test_a_spool_is_loaded_with_its_folder(tmp_path):
    assert needed(spool_dir=tmp_path) == {"mbuzz.delivery.spool"}


def test_a_proxy_of_the_environment_needs_what_reads_it(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")

    assert needed() == {"urllib.request"}
    assert needed(network=False) == set()


def test_everything_that_is_needed_exists(tmp_path):
    config = Config(
        api_key=KEY,
        api_url="https://h.example",
        network=True,
        spool_dir=tmp_path,
        strict_events=True,
    )

    warmup.load(config)

    assert set(warmup._needed(config)) <= set(sys.modules)


EVERYTHING = """
import os
import mbuzz
from mbuzz.client import Client
from mbuzz.config import Config

given = dict(api_key="sk_test_" + "k" * 32, api_url=sys.argv[1], network=True)
given.update(eval(sys.argv[2]))
import decimal  # loaded by revenue: hosts that fork beside threads have it
WAIT = 10.0 if sys.argv[4] == "ok" else 0.1
if given.get("strict_events"):
    from mbuzz import catalog

    class Signup(catalog.Event, name="Signup"):
        plan: str
client = Client(Config(**given))
before = set(sys.modules)


def call(number):
    properties = {
        "url": "https://shop.example/?a=b&token=c",
        "mail": "a@b.example",
        "card": "4111 1111 1111 1111",
        "phone": "+1 555 123 4567",
        "text": "x" * 10_000,
        "deep": [{"a": (1, 2.5, None, b"x")}],
        "odd": object(),
    }
    client.track("Signup", user_id=number, properties=properties)
    client.page(url="https://shop.example/", visitor_id="v")
    client.identify(number, traits={"name": "x"})
    client.alias(number, "guest")
    client.group("team", user_id=number)
    client.conversion("purchase", user_id=number, revenue="9.90", wait=False)
    client.track("", user_id=number)
    client.track("Other")
    large = {str(number): "x" * 99 for number in range(999)}
    client.track("Large", user_id="1", properties=large)
    client.stats(), client.health()


import logging
logging.disable()
for number in range(3):
    call(number)
    client.flush(WAIT)
client.close(WAIT)
call(7)
client.close(WAIT)
print(sorted(set(sys.modules) - before))
"""


OPTIONS = {
    "plain": "{}",
    "name": "{'api_url': sys.argv[1].replace('127.0.0.1', 'localhost')}",
    "sync": "{'delivery': 'sync'}",
    "spool": "{'spool_dir': sys.argv[3]}",
    "durable": "{'spool_dir': sys.argv[3], 'durable': True}",
    "strict": "{'strict_events': True}",
    "strict_debug": "{'strict_events': True, 'debug': True}",
    "sample": "{'sample_rate': 0.5, 'pii': 'strict'}",
    "callbacks": "{'before_send': dict, 'on_drop': lambda *_: 0, 'on_error': id}",
}


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        *((name, "ok") for name in OPTIONS),
        *((name, mode) for name in ("plain", "spool") for mode in ("401", "503")),
    ],
)
def test_nothing_is_left_to_load_once_there_is_a_client(
    server, run_python, tmp_path, options, mode
):
    server.mode = mode
    arguments = (server.url, OPTIONS[options], tmp_path / "spool", mode)

    assert run_python(EVERYTHING, *arguments, options=("-S",)) == "[]\n"

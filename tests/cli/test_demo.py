"""`mbuzz demo`: all of it runs, adds up, and leaves nothing behind."""

import re
import signal
import socket
import urllib.request
from decimal import Decimal
from itertools import pairwise

import pytest

from mbuzz import api
from mbuzz.cli.demo import stage
from mbuzz.cli.demo.browser import Browser
from mbuzz.cli.demo.shop import SimulatedClock, in_its_time, shop
from mbuzz.cli.demo.simulation import DAYS, PRICES, people
from mbuzz.client import Client
from mbuzz.clock import SYSTEM_CLOCK

NOW = 1_790_000_000_000
DAY_MS = 86_400_000


def table_of(out):
    """Return the report and the books, without the addresses and days."""
    return out.partition("\n\n")[2]


@pytest.fixture
def demo(run, tmp_path):
    """Run the demo to its end, with a folder of its own for what it leaves."""
    folder = tmp_path / "tmp"
    folder.mkdir()

    def perform(*argv):
        found = run(
            "demo", "--once", "--visitors", 30, "--port", 0, *argv, TMPDIR=str(folder)
        )
        assert [*folder.iterdir()] == []
        return found

    return perform


def test_same_seed_tells_the_same_and_another_seed_does_not(demo):
    exit_code, first, err = demo("--seed", 7)
    assert exit_code == 0, err
    assert "Traceback" not in err
    assert "What the channels earned, " in first
    assert "All 11 attribution models agree with them, to the cent." in first
    assert re.search(r"^Total +\d+ +\d+\.00 ", first, re.MULTILINE)

    _, again, _ = demo("--seed", 7)
    _, other, _ = demo("--seed", 8)

    assert table_of(first) == table_of(again) != table_of(other)


def test_ctrl_c_during_the_visitors_ends_it(start, tmp_path):
    folder = tmp_path / "tmp"
    folder.mkdir()
    command = start(
        "demo", "--once", "--visitors", 20_000, "--port", 0, TMPDIR=str(folder)
    )
    command.wait_for("shop http://")

    command.send(signal.SIGINT)

    assert command.end() == 130
    assert "stopped; nothing is left behind" in command.out
    assert command.err == ""
    assert [*folder.iterdir()] == []


def test_nothing_is_left_behind_however_often_it_is_told_to_end(start, tmp_path):
    folder = tmp_path / "tmp"
    folder.mkdir()
    command = start("demo", "--visitors", 5, "--port", 0, TMPDIR=str(folder))
    command.wait_for("Ctrl-C ends the demo")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        command.send(number)

    assert command.end() == 0
    assert [*folder.iterdir()] == []


def test_it_waits_to_be_looked_at(start):
    command = start("demo", "--visitors", 5, "--port", 0)
    line = command.wait_for("  shop ")
    command.wait_for("Ctrl-C ends the demo")
    address = re.search(r"http://\S+", line)[0]

    with urllib.request.urlopen(f"{address}products/cap", timeout=30) as answer:
        assert b"Buy for 24.95 USD" in answer.read()
    command.send(signal.SIGTERM)

    assert command.end() == 0
    assert re.search(r"log in as owner@localhost with \w+", command.out)


@pytest.mark.parametrize("visitors", [0, -1, 100_001])
def test_number_of_visitors_is_bounded(mbuzz, visitors):
    assert mbuzz("demo", "--once", "--visitors", visitors) == (
        1,
        "",
        f"mbuzz demo: --visitors must be from 1 to 100000, got {visitors}\n",
    )


def test_port_in_use_is_one_sentence(mbuzz):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        exit_code, out, err = mbuzz("demo", "--once", "--port", port)

    why = f"port {port} on 127.0.0.1 is in use; choose another with --port"
    assert (exit_code, out, err) == (1, "", f"mbuzz demo: {why}\n")


def test_port_without_a_next_one_is_one_sentence(mbuzz):
    exit_code, _, err = mbuzz("demo", "--once", "--port", 65_535)

    assert exit_code == 1
    assert err == "mbuzz demo: a port is from 0 to 65535, got 65536\n"


# -- in this process --


def test_in_process(mbuzz):
    exit_code, out, err = mbuzz("demo", "--once", "--visitors", 12, "--port", 0)

    assert exit_code == 0
    assert "All 11 attribution models agree with them, to the cent." in out
    assert "12 visitors, " in err
    assert api.current_client() is None


def test_books_that_differ_are_1(mbuzz, monkeypatch):
    def lose_one(crowd, front, stopped):
        return send(crowd[1:], front, stopped)

    send = stage._send
    monkeypatch.setattr(stage, "_send", lose_one)

    exit_code, out, _ = mbuzz("demo", "--once", "--visitors", 12, "--port", 0)

    assert exit_code == 1
    assert "All 11 attribution models DIFFER. That is a bug." in out


def test_what_is_not_delivered_is_one_sentence(mbuzz, monkeypatch):
    monkeypatch.setattr(Client, "flush", lambda self, timeout: False)

    exit_code, _, err = mbuzz("demo", "--once", "--visitors", 5, "--port", 0)

    assert exit_code == 1
    assert "mbuzz demo: not everything was delivered: " in err


# -- the people --


def test_the_same_seed_gives_the_same_people_whenever_it_is():
    one, two = people(50, 1, NOW), people(50, 1, NOW + DAY_MS)

    assert one == people(50, 1, NOW)
    assert one != people(50, 2, NOW)
    assert [len(p.visits) for p in one] == [len(p.visits) for p in two]
    for before, after in zip(one, two, strict=True):
        for first, second in zip(before.visits, after.visits, strict=True):
            assert second.at_ms - first.at_ms == DAY_MS


def test_visits_are_in_the_past_and_apart():
    for person in people(500, 3, NOW):
        times = [visit.at_ms for visit in person.visits]
        assert times == sorted(times)
        assert all(NOW - DAYS * DAY_MS <= at_ms < NOW for at_ms in times)
        gaps = [b - a for a, b in pairwise(times)]
        assert all(gap >= 40 * 60_000 for gap in gaps)


def test_orders_are_of_things_with_a_price():
    orders = [v.order for p in people(500, 3, NOW) for v in p.visits if v.order]

    assert len({order.id for order in orders}) == len(orders)
    assert any(order.sent_twice for order in orders)
    for order in orders:
        assert order.amount == sum((PRICES[item] for item in order.items), Decimal(0))


# -- the shop and the browser --


def answer_of(app, **environ):
    said = []
    body = app(
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/", **environ},
        lambda status, headers: said.append((status, dict(headers))),
    )
    return *said[0], b"".join(body)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", b"<h1>The running shop</h1>"),
        ("", b"<h1>The running shop</h1>"),
        ("/products/cap", b"Buy for 24.95 USD"),
        ("/thanks", b"<h1>thanks</h1>"),
        ("//", b"<h1>Shop</h1>"),
        ("/<script>", b"<h1>&lt;script&gt;</h1>"),
    ],
)
def test_shop_has_pages(path, shown):
    status, headers, body = answer_of(shop, PATH_INFO=path)

    assert status == "200 OK"
    assert int(headers["Content-Length"]) == len(body)
    assert shown in body


def test_clock_is_that_of_the_request_being_served():
    clock = SimulatedClock()
    seen = []

    def app(environ, start_response):
        seen.append(clock.now_ms())
        return []

    in_its_time(app)({"HTTP_X_DEMO_TIME": "123"}, None)
    in_its_time(app)({"HTTP_X_DEMO_TIME": "soon"}, None)

    assert seen[0] == 123
    assert abs(seen[1] - SYSTEM_CLOCK.now_ms()) < 60_000
    assert abs(clock.now_ms() - SYSTEM_CLOCK.now_ms()) < 60_000
    assert clock.monotonic() <= SYSTEM_CLOCK.monotonic()


class Line:
    """A connection that keeps what was asked and answers what it is told."""

    def __init__(self, *cookies, location=None):
        self.asked = []
        self.cookies = list(cookies)
        self.location = location

    def request(self, method, path, body, headers):
        self.asked.append((method, path, body, headers))

    def getresponse(self):
        return self

    def read(self):
        return b""

    @property
    def headers(self):
        return self

    def get_all(self, name):
        return self.cookies or None

    def get(self, name):
        return self.location


def test_browser_keeps_cookies_until_they_expire():
    line = Line("a=1; Max-Age=60; Path=/", "b=2; Max-Age=3600")
    browser = Browser(line, "http://shop")
    browser.arrive("/", 0, "https://google.com/")
    line.cookies = []

    browser.click("/cap", 59_999)
    browser.click("/socks", 60_000)

    cookies = [headers.get("Cookie") for _, _, _, headers in line.asked]
    assert cookies == [None, "a=1; b=2", "b=2"]


def test_browser_says_where_it_comes_from():
    line = Line()
    browser = Browser(line, "http://shop")
    browser.arrive("/", 0, "https://google.com/")
    browser.click("/cap", 1)
    browser.arrive("/", 2)

    came_from = [headers.get("Referer") for _, _, _, headers in line.asked]
    assert came_from == ["https://google.com/", "http://shop/", None]


def test_browser_follows_the_redirect_after_a_form():
    line = Line(location="/thanks")
    Browser(line, "http://shop").submit("/checkout", {"items": "cap"}, 5)

    [form, thanks] = line.asked
    assert form[:3] == ("POST", "/checkout", b"items=cap")
    assert thanks[:3] == ("GET", "/thanks", None)
    assert form[3]["X-Demo-Time"] == "5"

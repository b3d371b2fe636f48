"""Lists of networks: what is in them, what is wrong with them, what is made of it."""

import ipaddress
import json
import random

import pytest

from mbuzz.errors import ConfigurationError
from mbuzz.server import networks
from mbuzz.server.networks import Networks, read_networks
from mbuzz.server.settings import ServerSettings
from tests.server.test_settings import NETWORKS


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("192.0.2.1", True),
        (" 192.0.2.255 ", True),
        ("192.0.3.1", False),
        ("192.0.1.255", False),
        ("::ffff:192.0.2.1", True),
        ("2001:db8:1::7", True),
        ("2001:db8:2::7", False),
        ("203.0.113.7", True),
        # Cut to its network, of which all must be listed.
        ("192.0.2.0", True),
        ("198.51.100.0", True),
        ("203.0.113.0", False),
        ("2001:db8:1::", True),
        # No addresses.
        ("", False),
        ("nobody", False),
        ("1" * 1_000, False),
        (None, False),
        (3_221_225_985, False),
        (["192.0.2.1"], False),
    ],
)
def test_address_is_of_a_network_in_the_file(address, held):
    assert read_networks(NETWORKS).hold(address) is held


def test_half_of_a_network_does_not_make_it_a_data_center():
    assert not Networks(["198.51.100.0/25"]).hold("198.51.100.0")
    assert Networks(["198.51.100.0/25"]).hold("198.51.100.1")
    assert Networks(["::ffff:198.51.100.0/120"]).hold("198.51.100.1")


def test_thousands_of_networks_that_overlap_answer_as_one_by_one():
    draw = random.Random(7)
    listed = [
        ipaddress.ip_network((draw.getrandbits(32), draw.randint(9, 32)), strict=False)
        for _ in range(2_000)
    ]
    fast = Networks(map(str, listed))

    for _ in range(300):
        address = ipaddress.ip_address(draw.getrandbits(32) | 1)
        assert fast.hold(str(address)) is any(address in one for one in listed)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("192.0.2.0/24\nabc\n", "line 2 is 'abc'"),
        ("# nothing\n\n192.0.2.0/33", "line 3 is '192.0.2.0/33'"),
        ("192.0.2.1/24", "an address within 192.0.2.0/24: write one of both"),
        ("x" * 1_000, "line 1 is 'xxx"),
        ("# nothing\n", "it has no network in it"),
        ("\n" * 600_000, "it has more than 500000 lines"),
        ("\xff\xfe", "line 1 is"),
    ],
)
def test_file_that_cannot_be_meant_is_refused_by_line(tmp_path, text, why):
    path = tmp_path / "list.txt"
    path.write_text(text, "latin-1")

    with pytest.raises(ConfigurationError) as caught:
        ServerSettings(datacenter_ranges=str(path))

    assert why in str(caught.value)
    assert "datacenter_ranges must be a file of networks" in str(caught.value)


def test_file_without_an_end_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "_MOST_BYTES", 100)
    path = tmp_path / "list.txt"
    path.write_text("192.0.2.0/24\n" * 10)

    with pytest.raises(ValueError, match="more than 100 bytes"):
        read_networks(str(path))


@pytest.mark.parametrize(
    ("name", "why"), [("missing", "cannot be read"), (".", "no file")]
)
def test_missing_file_is_told(tmp_path, name, why):
    with pytest.raises(ConfigurationError, match=why):
        ServerSettings(datacenter_ranges=str(tmp_path / name))


# -- what is made of it --


def event(number, ip):
    properties = {
        "url": "https://shop.example/",
        "user_agent": "Mozilla/5.0",
        **({"ip": ip} if ip else {}),
    }
    return {
        "event_id": f"evt_{number}",
        "event_type": "page_view",
        "visitor_id": f"v{number}",
        "properties": properties,
    }


@pytest.mark.parametrize("more", [{}, {"HTTP_IDEMPOTENCY_KEY": "k1"}])
def test_B6_page_views_from_data_centers_are_a_bots(caller, more):
    client = caller(datacenter_ranges=NETWORKS)
    ips = ["192.0.2.0", "192.0.9.0", None, "2001:db8:1::"]
    items = [event(number, ip) for number, ip in enumerate(ips)]
    server_event = {"event_type": "paid", "user_id": "u", "properties": {"ip": ips[0]}}

    reply = client.post("/events", {"events": [*items, server_event]}, **more).json()

    warned = [one.get("warnings", []) for one in reply["events"]]
    assert warned == [["bot"], [], [], ["bot"], []]
    stored = client.app.storage._writer.execute(
        "SELECT visitor, bot_reason, properties FROM events"
        " WHERE account_id = 1 AND live = 0 ORDER BY id"
    ).fetchall()
    reasons = [reason for _, reason, _ in stored]
    assert reasons == ["data_center", None, None, "data_center", None]
    assert all("ip" not in json.loads(properties) for *_, properties in stored)


def test_B6_off_by_default(caller):
    client = caller()

    reply = client.post("/events", {"events": [event(1, "192.0.2.0")]}).json()

    assert "warnings" not in reply["events"][0]

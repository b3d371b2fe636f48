"""Who is at the other end: proxies, those that lie, and those that are not trusted."""

import ipaddress
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mbuzz.forwarded import Trust, forwarded_value, truncate

NOBODY = Trust.of(())
ONE, TWO = Trust.of(1), Trust.of(2)
INNER = Trust.of(["10.0.0.0/8", "192.0.2.7", "fd00::/8", "::1"])
SOCKET = Trust.of(["unix"])

PROXY, OUTER = "10.0.0.1", "10.9.9.9"
CLIENT, FORGED = "203.0.113.77", "198.51.100.66"


# -- the client --


@pytest.mark.parametrize(
    ("trust", "peer", "header", "client"),
    [
        pytest.param(NOBODY, PROXY, FORGED, PROXY, id="trusting-nobody"),
        pytest.param(Trust.of(0), PROXY, FORGED, PROXY, id="trusting-0-hops"),
        pytest.param(NOBODY, None, FORGED, None, id="trusting-nobody-on-a-socket"),
        pytest.param(NOBODY, "testclient", "", None, id="peer-without-address"),
        pytest.param(ONE, PROXY, CLIENT, CLIENT, id="1-hop"),
        pytest.param(ONE, PROXY, f"{FORGED}, {CLIENT}", CLIENT, id="1-hop-forged"),
        pytest.param(ONE, PROXY, "", PROXY, id="1-hop-silent"),
        pytest.param(ONE, None, CLIENT, CLIENT, id="1-hop-on-a-socket"),
        pytest.param(TWO, PROXY, f"{CLIENT}, {OUTER}", CLIENT, id="2-hops"),
        pytest.param(
            TWO, PROXY, f"{FORGED}, {CLIENT}, {OUTER}", CLIENT, id="2-hops-forged"
        ),
        pytest.param(TWO, PROXY, CLIENT, CLIENT, id="2-hops-one-passed-by"),
        pytest.param(TWO, None, f"{CLIENT}, unix:", CLIENT, id="2-hops-both-sockets"),
        pytest.param(INNER, FORGED, CLIENT, FORGED, id="stranger-with-a-header"),
        pytest.param(INNER, PROXY, CLIENT, CLIENT, id="network"),
        pytest.param(INNER, "192.0.2.7", CLIENT, CLIENT, id="single-address"),
        pytest.param(INNER, "192.0.2.8", CLIENT, "192.0.2.8", id="its-neighbor"),
        pytest.param(
            INNER, PROXY, f"{FORGED},{CLIENT},{OUTER}", CLIENT, id="network-forged"
        ),
        pytest.param(
            INNER, PROXY, f"{FORGED}, {OUTER}, {CLIENT}", CLIENT, id="proxy-forged"
        ),
        pytest.param(INNER, PROXY, f"10.0.0.3, {OUTER}", "10.0.0.3", id="all-trusted"),
        pytest.param(INNER, "::1", "2001:db8::1", "2001:db8::1", id="IPv6"),
        pytest.param(INNER, "fd12::1", f"{CLIENT}, ::1", CLIENT, id="IPv6-network"),
        pytest.param(INNER, "::ffff:10.0.0.1", CLIENT, CLIENT, id="dual-stack-peer"),
        pytest.param(
            INNER, PROXY, f"{CLIENT}, ::ffff:10.2.2.2", CLIENT, id="dual-stack-hop"
        ),
        pytest.param(SOCKET, None, CLIENT, CLIENT, id="socket"),
        pytest.param(SOCKET, "", CLIENT, CLIENT, id="socket-of-gunicorn"),
        pytest.param(SOCKET, "localhost", CLIENT, CLIENT, id="socket-of-waitress"),
        pytest.param(SOCKET, "unix:/tmp/s", CLIENT, CLIENT, id="socket-of-hypercorn"),
        pytest.param(SOCKET, None, "", None, id="socket-silent"),
        pytest.param(SOCKET, PROXY, CLIENT, PROXY, id="socket-trusted-not-TCP"),
        pytest.param(INNER, None, CLIENT, None, id="socket-not-trusted"),
        pytest.param(INNER, PROXY, f"{CLIENT}, unix:", PROXY, id="socket-beyond"),
    ],
)
def test_client_is_the_nearest_hop_that_is_not_trusted(trust, peer, header, client):
    assert trust.client(peer, header) == client


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("1.2.3.4", "1.2.3.4"),
        (" 1.2.3.4\t", "1.2.3.4"),
        ("1.2.3.4:5678", "1.2.3.4"),
        ('"1.2.3.4:5678"', "1.2.3.4"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("[::ffff:102:304]:80", "1.2.3.4"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25<script>]:80", "fe80::1"),
    ],
)
def test_address_is_read_as_proxies_write_it(entry, address):
    assert ONE.client(PROXY, entry) == address


@pytest.mark.parametrize(
    "junk",
    [
        *("", " ", "unknown", "_hidden", "-", "localhost", "shop.example", "1.2.3"),
        *("1.2.3.4:", "1.2.3.4:http", "1.2.3.4:123456", "1.2.3.4:\u0663", "1.2.3.4.5"),
        *(
            "01.2.3.4",
            "\u0661.2.3.4",
            "16909060",
            "0x1020304",
            "1.2.3.4/32",
            "1.2.3.4%e",
        ),
        *("[1.2.3.4]", "[::1", "::1]", "[::1]443", "[::1]:", "[::1]:x", "[]", "[]:1"),
        *('"', '""', '"1.2.3.4', "1.2.3.4\r\nX: y", "1.2.3.4\x00", "::1%", ":::", ":"),
        *("for=1.2.3.4", "1.2.3.4;5.6.7.8", "1" * 60_000),
    ],
    ids=lambda junk: ascii(junk[:20]),
)
@pytest.mark.parametrize("trust", [TWO, INNER], ids=["hops", "networks"])
def test_what_is_no_address_ends_the_walk_at_the_last_good_hop(trust, junk):
    assert trust.client(PROXY, f"{FORGED},{junk}") == PROXY
    assert trust.client(PROXY, f"{FORGED},{junk},{OUTER}") == OUTER
    assert truncate(junk) is None


@pytest.mark.parametrize(
    ("trust", "peer", "header", "hops"),
    [
        (NOBODY, PROXY, CLIENT, 0),
        (INNER, FORGED, CLIENT, 0),
        (INNER, PROXY, CLIENT, 1),
        (INNER, PROXY, "", 1),
        (INNER, PROXY, f"{FORGED}, {CLIENT}, {OUTER}", 2),
        (ONE, PROXY, f"{CLIENT}, {OUTER}", 1),
        (TWO, PROXY, f"{FORGED}, {CLIENT}, {OUTER}", 2),
        (TWO, PROXY, "junk", 1),
    ],
)
def test_trusted_hops_are_counted(trust, peer, header, hops):
    assert trust.hops(peer, header) == hops


def test_a_long_chain_of_proxies_is_read_as_far_as_32_entries():
    chain = [f"10.0.1.{number}" for number in range(40)]

    assert INNER.client(PROXY, ",".join([CLIENT, *chain[:31]])) == CLIENT
    assert INNER.client(PROXY, ",".join([CLIENT, *chain])) == chain[8]
    assert Trust.of(32).client(PROXY, ",".join([CLIENT, *chain[:31]])) == CLIENT


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("," * 60_000, id="commas"),
        pytest.param("1" * 60_000, id="digits"),
        pytest.param("10.0.0.1," * 7_000, id="trusted"),
        pytest.param(" " * 60_000, id="spaces"),
        pytest.param('"' * 60_000, id="quotes"),
        pytest.param("10.0.0.1:" + "1" * 60_000, id="port"),
    ],
)
def test_hostile_header_costs_no_time(header):
    began = time.perf_counter()
    for _ in range(100):
        INNER.client(PROXY, header)
        forwarded_value(header, 32)

    assert time.perf_counter() - began < 1.0


ADDRESS = st.ip_addresses().map(str)
ENTRY = st.one_of(
    ADDRESS,
    st.sampled_from([PROXY, OUTER, "unix:", "unknown", "", "[::1]:80"]),
    st.text(max_size=20).filter(lambda text: "," not in text),
)
TRUSTS = st.sampled_from([NOBODY, ONE, TWO, INNER, SOCKET])


@given(TRUSTS, st.none() | ENTRY, st.lists(ENTRY, max_size=40).map(",".join))
def test_client_is_canonical_whatever_is_sent(trust, peer, header):
    client = trust.client(peer, header)

    assert client is None or client == str(ipaddress.ip_address(client))
    assert (trust.hops(peer, header) > 0) == (trust.hops(peer, "") > 0)


@given(ADDRESS, st.lists(ENTRY, max_size=40).map(",".join))
def test_nothing_that_a_client_sends_hides_where_it_comes_from(address, forged):
    known = truncate(address) and ONE.client(PROXY, address)

    assert ONE.client(PROXY, f"{forged}, {address}") == known
    assert TWO.client(PROXY, f"{forged}, {address}, {OUTER}") == known
    if not INNER.hops(address, ""):
        assert INNER.client(PROXY, f"{forged}, {address}, {OUTER}") == known


# -- whom to trust --


@pytest.mark.parametrize(
    ("trust", "peer", "trusted"),
    [
        (NOBODY, PROXY, False),
        (NOBODY, None, False),
        (NOBODY, "", False),
        (ONE, FORGED, True),
        (ONE, None, True),
        (ONE, "", True),
        (INNER, PROXY, True),
        (INNER, "[::1]:80", True),
        (INNER, "11.0.0.1", False),
        (INNER, "::2", False),
        (INNER, "testclient", False),
        (INNER, None, False),
        (INNER, "", False),
        (SOCKET, None, True),
        (SOCKET, "", True),
        (SOCKET, PROXY, False),
        (SOCKET, "testclient", False),
        (Trust.of(["::ffff:10.0.0.0/104"]), PROXY, True),
        (Trust.of(["::ffff:10.0.0.1"]), PROXY, True),
        (Trust.of(["::/0"]), PROXY, False),
        (Trust.of(["0.0.0.0/0"]), PROXY, True),
        (Trust.of(["0.0.0.0/0"]), "::1", False),
        (Trust.of(["10.0.0.0/255.0.0.0"]), PROXY, True),
    ],
)
def test_peer_is_believed(trust, peer, trusted):
    assert (trust.hops(peer, "") > 0) is trusted


@given(
    st.lists(st.ip_addresses(network="10.0.0.0/28"), max_size=5),
    st.ip_addresses(network="10.0.0.0/28"),
    st.sampled_from([28, 30, 31, 32]),
)
def test_networks_hold_what_they_hold(addresses, peer, length):
    networks = [ipaddress.ip_network((one, length), strict=False) for one in addresses]

    trust = Trust.of([str(network) for network in networks])

    assert (trust.hops(str(peer), "") > 0) == any(
        peer in network for network in networks
    )


@pytest.mark.parametrize(
    ("junk", "says"),
    [
        (-1, "0 to 32 hops, got -1"),
        (33, "0 to 32 hops, got 33"),
        (True, "a number of hops or a list .* got True"),
        (1.0, "a number of hops or a list .* got 1.0"),
        (None, "a number of hops or a list .* got None"),
        ("10.0.0.0/8", "a list of networks such as .*, got '10.0.0.0/8'"),
        (b"::1", "a number of hops or a list"),
        (["*"], r"an address, a network such as .*, got '\*'"),
        (["10.0.0.0/33"], "got '10.0.0.0/33'"),
        (["proxy.example"], "got 'proxy.example'"),
        ([""], "got ''"),
        ([5], "got 5"),
        ([None], "got None"),
        (["10.0.0.1/8"], "'10.0.0.1/8' is an address within 10.0.0.0/8"),
        (["::1", "x" * 9_000], r"got 'x{50,60}\.\.\.$"),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_junk_is_refused_in_one_sentence(junk, says):
    with pytest.raises(ValueError, match=says) as refused:
        Trust.of(junk)

    assert "\n" not in str(refused.value)
    assert "trusted_proxies must be" in str(refused.value)


@given(st.lists(ENTRY | st.integers() | st.none(), max_size=4))
@example(["fe80::1%eth0"])
@example(["fe80::1%eth0/64"])
@example(["fe80::%eth0/64"])
@example(["1.2.3.4/"])
@example(["::ffff:1.2.3.4/8"])
def test_a_list_is_taken_or_refused(listed):
    try:
        trust = Trust.of(listed)
    except ValueError:
        return

    addresses = [one for one in listed if "/" not in one]
    assert all(trust.hops("" if one == "unix" else one, "") for one in addresses)


# -- scheme and host --


@pytest.mark.parametrize(
    ("header", "hops", "value"),
    [
        ("https", 1, "https"),
        (" HTTPS ", 1, "https"),
        ('"Shop.Example:8443"', 1, "shop.example:8443"),
        ("https", 3, "https"),
        ("https, http", 1, "http"),
        ("https, http", 2, "https"),
        ("evil.example, shop.example, inner", 2, "shop.example"),
        ("evil.example, shop.example", 1, "shop.example"),
        ("shop.example, inner", 3, "shop.example"),
        ("https", 0, "https"),
        ("evil.example, ", 1, None),
        ("", 1, None),
        (" ", 1, None),
        ("shop.example\r\nSet-Cookie: a=b", 1, None),
        ("shop.example evil", 1, None),
        ("shöp.example", 1, None),
        ("\u212aelvin.example", 1, None),
        ("a" * 60_000, 1, None),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_forwarded_value_is_a_trusted_proxys(header, hops, value):
    assert forwarded_value(header, hops) == value


# -- what may be kept of an address --


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("255.255.255.255", "255.255.255.0"),
        ("0.0.0.1", "0.0.0.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("2001:0DB8:0001::5", "2001:db8:1::"),
        ("::1", "::"),
        ("ffff:" * 7 + "ffff", "ffff:ffff:ffff::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("fe80::1%eth0", "fe80::"),
        ("203.0.113.77:5678", "203.0.113.0"),
        ("", None),
        ("shop.example", None),
        ("203.0.113.0/24", None),
    ],
)
def test_truncated(address, network):
    assert truncate(address) == network


@settings(deadline=None)
@given(st.ip_addresses())
def test_truncated_is_a_network_of_the_address_and_stays_so(address):
    kept = truncate(str(address))

    plain = getattr(address, "ipv4_mapped", None) or address
    length = 24 if plain.version == 4 else 48
    assert kept == str(ipaddress.ip_network((plain, length), strict=False)[0])
    assert truncate(kept) == kept

"""`mbuzz spool`: on real folders, with a real server."""

import json
import signal

import pytest

from mbuzz.cli import spool as command
from mbuzz.cli import spool_replay
from mbuzz.client import Client
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.config import Config
from mbuzz.delivery.spool import Spool
from mbuzz.delivery.spool_folder import fingerprint
from mbuzz.delivery.spool_inspection import inspect_folder, read_dead
from mbuzz.testing import ManualClock
from tests.cli.terminal import END_OF_INPUT, on_terminal
from tests.delivery.fault_server import FaultServer

KEY = "sk_test_" + "k" * 32
NEW_KEY = "sk_test_" + "n" * 32


@pytest.fixture
def server():
    served = FaultServer()
    yield served
    served.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(spool_replay, "_PAUSE", 0.001)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "spool"
    path.mkdir()
    return path


def body(name, event_type="Signup"):
    event = {"type": "track", "event_type": event_type, "id": name}
    return json.dumps(event, separators=(",", ":")).encode()


def fill(folder, server, *names, dead=(), key=KEY, clock=SYSTEM_CLOCK, close=True):
    """Leave events, as an application does that has ended; unless it is not closed."""
    spool = Spool(str(folder), f"{server.url}/api/v1 {key}", clock=clock)
    for name in names:
        assert spool.write(body(name)) is not None
    for name in dead:
        assert spool.bury([body(name)], "http_400")
    if close:
        spool.close()
    return spool


def replay(mbuzz, folder, server, *more, key=KEY):
    where = ("--spool-dir", folder, "--api-key", key, "--api-url", server.url)
    return mbuzz("spool", "replay", *where, *more)


def left(folder):
    return sum(each.waiting for each in inspect_folder(str(folder)))


def dead(folder):
    found = inspect_folder(str(folder))
    return [
        (json.loads(letter.body)["id"], letter.reason)
        for each in found
        for letter in read_dead(str(folder), each.fingerprint)
    ]


def arrived(server):
    return [event["id"] for event in server.events]


# -- list --


def test_list_shows_each_destination(mbuzz, folder, server):
    old = ManualClock(SYSTEM_CLOCK.now_ms() - 3 * 3_600_000)
    fill(folder, server, "a", "b", dead=["c"], clock=old)
    running = fill(folder, server, "d", key=NEW_KEY, close=False)

    exit_code, out, err = mbuzz("spool", "list", "--spool-dir", folder)

    running.close()
    heads, _, *rows = out.splitlines()
    assert (exit_code, err) == (0, "")
    assert heads.split() == (
        "destination running waiting bytes oldest dead letters".split()
    )
    rows = {row.split()[0]: row.split()[1:] for row in rows}
    first = rows[fingerprint(f"{server.url}/api/v1 {KEY}")]
    second = rows[fingerprint(f"{server.url}/api/v1 {NEW_KEY}")]
    assert [*first[:2], *first[3:]] == "0 2 3 h http_400: 1".split()
    assert (second[:2], second[-1]) == (["1", "0"], "none")


def test_list_as_json(mbuzz, folder, server):
    fill(folder, server, "a", dead=["c", "d"])

    exit_code, out, _ = mbuzz("spool", "list", "--json", "--spool-dir", folder)

    (found,) = json.loads(out)
    assert exit_code == 0
    assert found.pop("oldest").endswith("Z")
    assert 0 <= found.pop("oldest_age_seconds") < 600
    assert found.pop("bytes") > 100
    assert found == {
        "destination": fingerprint(f"{server.url}/api/v1 {KEY}"),
        "live": False,
        "running": 0,
        "waiting": 1,
        "segments": 1,
        "dead_letters": {"http_400": 2},
    }


def test_list_of_nothing(mbuzz, folder, monkeypatch):
    monkeypatch.setenv("MBUZZ_SPOOL_DIR", str(folder))

    assert mbuzz("spool", "list") == (
        0,
        "nothing waits, and there are no dead letters\n",
        "",
    )
    assert mbuzz("spool", "list", "--json") == (0, "[]\n", "")


@pytest.mark.parametrize("action", [["list"], ["replay"], ["purge", "--dead"]])
def test_no_folder_is_one_sentence(mbuzz, action):
    assert mbuzz("spool", *action) == (
        2,
        "",
        (
            "mbuzz spool: no spool was named; pass --spool-dir or set "
            "MBUZZ_SPOOL_DIR to the application's spool_dir\n"
        ),
    )


@pytest.mark.parametrize("action", [["list"], ["replay"], ["purge", "--dead"]])
@pytest.mark.parametrize("there", ["nothing", "a file"])
def test_unusable_folder_is_one_sentence(mbuzz, tmp_path, action, there):
    path = tmp_path / "spool"
    why = "No such file or directory"
    if there == "a file":
        path.write_text("")
        why = "Not a directory"

    assert mbuzz("spool", *action, "--spool-dir", path) == (
        1,
        "",
        (
            f"mbuzz spool: cannot use the spool in {path}: {why}; give the "
            "application's spool_dir, as the user who runs it\n"
        ),
    )


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (200_000, "2 d")],
)
def test_ages_are_short(seconds, shown):
    assert command._age(seconds * 1000) == shown


# -- replay --


def test_replay_sends_what_waits_in_order_and_leaves_dead_letters(
    mbuzz, folder, server
):
    names = [f"{n:03}" for n in range(250)]
    fill(folder, server, *names, dead=["dead"])

    exit_code, out, err = replay(mbuzz, folder, server)

    assert (exit_code, out) == (0, "delivered 250\n")
    assert err.splitlines()[-1] == "replay: 250/250"
    assert arrived(server) == names
    assert len(server.requests) == 3
    assert server.requests[0][1]["authorization"] == f"Bearer {KEY}"
    assert (left(folder), dead(folder)) == (0, [("dead", "http_400")])


def test_replay_finds_what_a_client_of_that_key_left(mbuzz, folder, server):
    server.mode = "refuse"
    client = Client(
        Config(api_key=KEY, api_url=server.url, network=True, spool_dir=str(folder))
    )
    assert client.track("Signup", user_id="1")
    client.close(timeout=0.1)
    server.mode = "ok"

    assert replay(mbuzz, folder, server)[:2] == (0, "delivered 1\n")
    assert server.names == ["Signup"]


def test_replay_sends_dead_letters_on_demand(mbuzz, folder, server):
    fill(folder, server, "a", dead=["x", "y"])

    exit_code, out, _ = replay(mbuzz, folder, server, "--dead")

    assert (exit_code, out) == (0, "delivered 3\n")
    assert sorted(arrived(server)) == ["a", "x", "y"]
    assert (left(folder), dead(folder)) == (0, [])


def test_rejected_events_become_dead_letters_and_those_stay(mbuzz, folder, server):
    server.reject = {"Signup": "no such event"}
    fill(folder, server, "a", dead=["x"])

    exit_code, out, _ = replay(mbuzz, folder, server, "--dead")

    assert (exit_code, out) == (1, "delivered 0, rejected 2 (kept as dead letters)\n")
    assert left(folder) == 0
    assert dead(folder) == [("x", "http_400"), ("a", "no such event")]


def test_batch_that_is_too_large_is_split(mbuzz, folder, server):
    server.too_many = 2
    fill(folder, server, *"abcde")

    assert replay(mbuzz, folder, server)[:2] == (0, "delivered 5\n")
    assert arrived(server) == [*"abcde"]


def test_event_that_alone_is_refused_becomes_a_dead_letter(mbuzz, folder, server):
    server.mode = "400"
    fill(folder, server, *"ab")

    exit_code, out, _ = replay(mbuzz, folder, server)

    assert (exit_code, out) == (1, "delivered 0, rejected 2 (kept as dead letters)\n")
    assert dead(folder) == [("a", "http_400"), ("b", "http_400")]


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("401", "refuses the key (http_401); what was not sent stays: check --api-key"),
        ("redirect", "does not take them (http_302); what was not sent stays"),
        ("500", "does not take them (http_500); what was not sent stays"),
        ("refuse", "does not take them ("),
        ("garbage", "does not take them (no_json)"),
    ],
)
def test_backend_that_fails_costs_nothing(mbuzz, folder, server, mode, text):
    fill(folder, server, *"ab", dead=["x"])
    server.mode = mode

    exit_code, out, err = replay(mbuzz, folder, server, "--dead")

    assert (exit_code, out) == (1, "delivered 0\n")
    assert err.count("\n") == 1
    assert err.startswith(f"mbuzz spool: {server.url}/api/v1 {text}")
    assert (left(folder), dead(folder)) == (2, [("x", "http_400")])
    server.mode = "ok"
    assert replay(mbuzz, folder, server, "--dead")[:2] == (0, "delivered 3\n")
    assert sorted(arrived(server)) == ["a", "b", "x"]


def test_other_destinations_are_sent_only_on_demand(mbuzz, folder, server):
    fill(folder, server, "a", dead=["x"])

    exit_code, out, _ = replay(mbuzz, folder, server, key=NEW_KEY)
    assert (exit_code, out) == (
        0,
        (
            "nothing waits to be sent; 1 were meant for another key or address; pass "
            "--any-destination to send them to this one; dead letters are sent with "
            "--dead (there are 1)\n"
        ),
    )
    assert left(folder) == 1
    exit_code, out, _ = replay(
        mbuzz, folder, server, "--any-destination", "--dead", key=NEW_KEY
    )

    assert (exit_code, out) == (0, "delivered 2\n")
    assert server.requests[-1][1]["authorization"] == f"Bearer {NEW_KEY}"


def test_records_of_running_processes_are_left_to_them(mbuzz, folder, server):
    running = fill(folder, server, "a", close=False)

    exit_code, out, _ = replay(mbuzz, folder, server)

    assert (exit_code, out) == (
        0,
        "nothing waits to be sent; 1 belong to running processes, which send them\n",
    )
    assert running.take(max_items=9, max_bytes=999) != []
    running.close()


def test_replay_beside_another_one_says_so(mbuzz, folder, server):
    fill(folder, server, "a")
    running = fill(folder, server, "b", close=False)
    batch = running.take(max_items=1, max_bytes=999)
    fill(folder, server, "c")

    exit_code, out, _ = replay(mbuzz, folder, server)

    assert len(batch) == 1
    assert exit_code == 1
    assert out == (
        "delivered 0\nleft 1: another process was sending them; `mbuzz spool list` "
        "shows what is there now\n"
    )
    running.close()


def test_expired_events_are_told(mbuzz, folder, server, monkeypatch):
    monkeypatch.setenv("MBUZZ_SPOOL_FOR", "60")
    fill(folder, server, "a", clock=ManualClock(SYSTEM_CLOCK.now_ms() - 100_000))

    assert replay(mbuzz, folder, server)[:2] == (0, "delivered 0, expired 1\n")


def test_interrupted_replay_leaves_the_rest(start, folder, server):
    fill(folder, server, *[f"{n:03}" for n in range(300)])
    server.mode = "hang"
    running = start(
        *("spool", "replay", "--spool-dir", folder),
        *("--api-key", KEY, "--api-url", server.url),
    )
    assert server.wait_for(lambda: server.requests)

    running.send(signal.SIGINT)

    assert running.end() == 130
    assert running.out == "delivered 0\n"
    assert "Traceback" not in running.err
    assert left(folder) == 300


# -- purge --


@pytest.mark.parametrize(
    ("options", "said", "waiting", "letters"),
    [
        (["--dead"], "removed 1 dead letter\n", 2, 0),
        (["--waiting"], "removed 2 waiting events\n", 0, 1),
        (["--dead", "--waiting"], "removed 1 dead letter and 2 waiting events\n", 0, 0),
    ],
    ids=["dead", "waiting", "both"],
)
def test_purge_removes_what_was_chosen(
    mbuzz, folder, server, options, said, waiting, letters
):
    fill(folder, server, "a", "b", dead=["x"])

    found = mbuzz("spool", "purge", *options, "--yes", "--spool-dir", folder)

    assert found == (0, said, "")
    assert (left(folder), len(dead(folder))) == (waiting, letters)
    again = mbuzz("spool", "purge", *options, "--yes", "--spool-dir", folder)
    assert again == (0, "there is nothing to remove\n", "")


def test_purge_of_one_destination(mbuzz, folder, server):
    fill(folder, server, "a")
    fill(folder, server, "b", key=NEW_KEY)
    name = fingerprint(f"{server.url}/api/v1 {KEY}")
    options = ["--waiting", "--yes", "--spool-dir", folder, "--destination"]

    assert mbuzz("spool", "purge", *options, name)[0] == 0
    exit_code, _, err = mbuzz("spool", "purge", *options, "nobody")

    assert left(folder) == 1
    assert exit_code == 1
    assert err == (
        f"mbuzz spool: there is no destination 'nobody' in {folder}; `mbuzz spool "
        "list` shows them\n"
    )


def test_purge_leaves_what_running_processes_have(mbuzz, folder, server):
    running = fill(folder, server, "a", close=False)

    found = mbuzz("spool", "purge", "--waiting", "--yes", "--spool-dir", folder)

    assert found == (0, "there is nothing to remove\n", "")
    assert len(running.take(max_items=9, max_bytes=999)) == 1
    running.close()


def test_purge_without_a_choice_or_a_yes_is_one_sentence(mbuzz, run, folder, server):
    fill(folder, server, "a")

    assert mbuzz("spool", "purge", "--spool-dir", folder) == (
        2,
        "",
        (
            "mbuzz spool: nothing was chosen to be removed; pass --dead for the dead "
            "letters, --waiting for what was never sent, or both\n"
        ),
    )
    found = run("spool", "purge", "--waiting", "--spool-dir", folder, piped="")
    assert found == (
        2,
        "",
        (
            "mbuzz spool: removing 1 waiting event for good needs a yes, and there is "
            "no terminal to ask on; pass --yes\n"
        ),
    )
    assert left(folder) == 1


@pytest.mark.parametrize(
    ("answer", "exit_code"), [("y\n", 0), ("no\n", 1), ("\n", 1), (END_OF_INPUT, 1)]
)
def test_purge_asks_on_a_terminal(tmp_path, folder, server, answer, exit_code):
    fill(folder, server, "a")

    found, shown = on_terminal(
        tmp_path,
        *("spool", "purge", "--waiting", "--spool-dir", folder),
        typed=(("Remove 1 waiting event for good? [y/N]", answer),),
    )

    assert found == exit_code, shown
    assert left(folder) == exit_code

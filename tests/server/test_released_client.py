"""The released client of the field, unchanged, against a real `mbuzz serve`.

It is installed from the package index into an environment of its own; where that
cannot be reached these tests are skipped. The programs are in `released/`.
"""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.processes import a_backend, unmeasured

RELEASE = "mbuzz==0.11.1"
PROGRAMS = Path(__file__).parent / "released"
VISITOR, PHONE = "65dabef0" * 8, "0123cdef" * 8
PATIENCE = 120.0  # seconds for a package to come


def clean():
    """Return the environment without this project on the path of imports."""
    return {k: v for k, v in unmeasured().items() if k != "PYTHONPATH"}


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """Return the Python of an environment with the released client."""
    home = tmp_path_factory.mktemp("released")
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    folder = "Scripts" if os.name == "nt" else "bin"
    python = home / folder / f"python{sysconfig.get_config_var('EXE') or ''}"
    install = ["-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    try:
        done = subprocess.run(
            [sys.executable, *install, "--retries", "1", "--timeout", "10", RELEASE],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env=clean(),
        )
    except subprocess.TimeoutExpired:
        pytest.skip("the package index did not answer in time")
    if done.returncode:
        why = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        pytest.skip(f"{RELEASE} cannot be had: {' '.join(why)[:200]}")
    return python


@pytest.fixture
def backend(tmp_path):
    """Return a backend that is served by the command, in a process of its own."""
    with a_backend(tmp_path) as found:
        yield found


@pytest.fixture
def run(released, backend, tmp_path):
    """Return a function that runs one of the programs and gives what it printed."""

    def start(name, *before, after=()):
        program = [released, PROGRAMS / name, *before, backend.url, backend.key, *after]
        done = subprocess.run(
            [str(part) for part in program],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            cwd=tmp_path,
            env=clean(),
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return start


def test_calls_of_the_released_client_arrive(run, backend):
    said = run("calls.py")

    # What the program sees: where this client looks for ids, there they are.
    taken = ["landed", "viewed", "signed_up", "from_phone", "from_mail", "job"]
    events = [said[name] for name in taken]
    assert all(event["success"] for event in events)
    assert [event["event_type"] for event in events] == [
        *["page_view", "page_view", "Signup", "page_view"],
        *["newsletter_opened", "invoice_paid"],
    ]
    assert (said["identified"], said["phone_too"]) == (True, True)
    assert not said["nobody"]["success"]
    bought, again = said["bought"], said["bought_again"]
    assert bought["conversion_id"].startswith("conv_")
    assert bought["attribution"]["status"] == "complete"
    assert bought["attribution"]["touchpoints"] == 2
    assert again["conversion_id"] == bought["conversion_id"]
    assert said["of_an_event"]["success"]
    assert not said["of_no_event"]["success"]

    # What the backend has: all of it, in order, under the same ids.
    rows = backend.rows(
        "SELECT e.event_id, e.event_type, v.visitor_id FROM events e"
        " LEFT JOIN visitors v ON v.id = e.visitor ORDER BY e.id"
    )
    assert rows == [
        (event["event_id"], event["event_type"], event["visitor_id"])
        for event in events
    ]
    assert backend.rows("SELECT user_id FROM identities ORDER BY id") == [
        ("123",),
        ("ada@shop.example",),
    ]
    sessions = backend.rows(
        "SELECT v.visitor_id, s.channel, s.page_view_count FROM sessions s"
        " JOIN visitors v ON v.id = s.visitor ORDER BY s.id"
    )
    assert sessions == [(VISITOR, "paid_search", 2), (PHONE, "email", 1)]
    credits_ = backend.rows(
        "SELECT c.channel, c.revenue FROM credits c"
        " JOIN conversions o ON o.id = c.conversion"
        f" WHERE c.model = 'linear' AND o.public_id = '{bought['conversion_id']}'"
        " ORDER BY c.position"
    )
    assert credits_ == [("paid_search", 49_995_000), ("email", 49_995_000)]
    totals = backend.totals()
    assert (totals["conversions"], totals["revenue"]) == (2, "99.99")
    assert (totals["visits"], totals["page_views"]) == (2, 3)


@pytest.mark.parametrize("framework", ["flask", "django"])
def test_middleware_of_the_released_client_is_understood(run, backend, framework):
    packages = sysconfig.get_path("purelib")

    cached, minted, shoes, account, thanks = run("site.py", framework, after=[packages])

    assert not cached["viewed"]["success"]  # nobody yet: its own rule
    assert minted == 204
    viewed = [step["viewed"] for step in (shoes, account, thanks)]
    assert all(view["success"] for view in viewed)
    assert account["identified"] is True
    assert thanks["bought"]["success"]
    assert thanks["bought"]["attribution"]["touchpoints"] == 1
    # Every page announced a visit under an id of its own; all of it is one visit.
    assert backend.rows(
        "SELECT s.channel, s.page_view_count, COUNT(*) FROM sessions s"
        " JOIN events e ON e.session = s.id GROUP BY s.id"
    ) == [("paid_search", 3, 7)]
    report = backend.report()
    assert report["totals"]["visitors"] == 1
    assert report["totals"]["revenue"] == "49.90"
    earned = {row["channel"]: row["credits"] for row in report["rows"]}
    assert earned["paid_search"]["first_touch"]["revenue"] == "49.90"

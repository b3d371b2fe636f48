"""What a process pays before its first event is out, and at its end."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import faults
from tests.benchmarks.figures import Figure
from tests.benchmarks.raw_sink import KEY, running

_ROOT = Path(__file__).resolve().parents[2]
_GIVEN = '{"url": "https://shop.example/products/1?utm_source=google", "plan": "pro"}'
_LIBRARIES = "import json, http.client, threading, datetime"
_POST = f"""{_LIBRARIES}, os
event = {{"id": os.urandom(16).hex(), "properties": {_GIVEN}}}
body = json.dumps({{"events": [event]}})
connection = http.client.HTTPConnection("URL"[7:])
connection.request("POST", "/api/v1/events", body)
connection.getresponse().read()
"""
_TRACK = f"""import mbuzz
mbuzz.configure(api_key="{KEY}", api_url="URL"OPTIONS)
mbuzz.track("Product Viewed", user_id="42", properties={_GIVEN})
"""


def _run(code: str) -> tuple[float, float]:
    """Return a process's CPU and its duration in seconds."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=_ROOT,
        env={"PATH": os.defpath},
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begin


def import_row(starts: int) -> list[Figure]:
    """Return the CPU of importing and of a first event, beyond a bare interpreter."""
    with running() as sink:
        programs = {
            "bare": "pass",
            "libraries": _LIBRARIES,
            "post": _POST.replace("URL", sink.url),
            "import": "import mbuzz",
            "track": _TRACK.replace("URL", sink.url).replace("OPTIONS", ""),
        }
        spent: dict[str, list[float]] = {name: [] for name in programs}
        for code in programs.values():
            _run(code)  # writes the bytecode
        sink.arrived()
        for _ in range(starts):
            for name, code in programs.items():
                spent[name].append(_run(code)[0] * 1000)
        arrived = sink.arrived().ids
    bare = min(spent["bare"])
    least = {name: min(values) - bare for name, values in spent.items()}
    median = {
        name: statistics.median(values) - statistics.median(spent["bare"])
        for name, values in spent.items()
    }
    return [
        Figure(
            row="import",
            what="import mbuzz, CPU",
            unit="ms",
            floor=least["libraries"],
            ours=least["import"],
            goal=0.15,
            note=f"floor imports the HTTP client; bare {bare:.1f} ms",
        ),
        Figure(
            row="import",
            what="import, configure, track(), exit; CPU",
            unit="ms",
            floor=least["libraries"],
            ours=least["track"],
            goal=1.2,
            sound=arrived == 2 * starts,
            note=f"medians {median['track']:.1f}/{median['libraries']:.1f}; "
            f"a floor that posts: {least['post']:.1f}; lost {2 * starts - arrived}",
        ),
    ]


def exit_row() -> list[Figure]:
    """Return how long the end of a process takes while the endpoint hangs."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for spool in (False, True):
            options = f', spool_dir="{folder}"' if spool else ""
            with faults.running("hang") as server:
                code = _TRACK.replace("URL", server.url).replace("OPTIONS", options)
                bare = min(_run("pass")[1] for _ in range(3))
                took = _run(code)[1]
                server.mode("ok")
                note = "the event is counted as dropped"
                kept = True
                if spool:
                    said = faults.replay(folder, server.url)
                    kept = len(server.arrived()) == 1
                    note = f"{'nothing lost' if kept else 'LOST'}; replay {said}"
            figures.append(
                Figure(
                    row="exit",
                    what=f"exit while the endpoint hangs{', spool' if spool else ''}",
                    unit="s",
                    floor=None,
                    ours=took - bare,
                    goal=2.0 + 0.2,  # and what the import takes
                    sound=kept,
                    note=note,
                )
            )
    return figures

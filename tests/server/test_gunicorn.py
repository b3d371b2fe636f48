"""The backend under gunicorn, with several processes on one database."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from mbuzz import ids
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server import bootstrap, create_app
from mbuzz.server.settings import ServerSettings
from tests.processes import PATIENCE, environment, process, wait_for

pytest.importorskip("fcntl", reason="gunicorn is for POSIX")

BATCHES = 20


def test_nothing_is_lost_or_doubled_by_two_processes(tmp_path):
    database, log = tmp_path / "mbuzz.db", tmp_path / "gunicorn.log"
    app = create_app(ServerSettings(database=str(database)))
    first = bootstrap.prepare(app.storage, SYSTEM_CLOCK)
    app.close()
    assert first is not None
    command = (
        *("-m", "gunicorn", "--workers=2", "--threads=4", "--bind=127.0.0.1:0"),
        "mbuzz.server:create_app()",
    )
    env = environment(MBUZZ_SERVER_DATABASE=str(database), HOME=str(tmp_path))
    headers = {"Authorization": f"Bearer {first.api_key}"}

    with process(command, tmp_path, env, log):
        listening = re.compile(r"Listening at: (http://\S+)")
        wait_for(lambda: listening.search(log.read_text()), "gunicorn")
        (url,) = listening.findall(log.read_text())

        def send(number: int) -> int:
            event = {
                "id": f"evt_{number:032x}",
                "event_type": "page_view",
                "visitor_id": ids.visitor_id(),
                "properties": {"url": "https://shop.example/"},
            }
            answer = requests.post(
                f"{url}/api/v1/events",
                json={"events": [event]},
                headers=headers,
                timeout=PATIENCE,
            )
            return answer.status_code

        twice = [number for number in range(BATCHES) for _ in range(2)]
        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(send, twice))
        report = requests.get(
            f"{url}/api/v1/reports/channels", headers=headers, timeout=PATIENCE
        ).json()

    assert statuses == [202] * len(twice)
    assert report["totals"]["page_views"] == BATCHES

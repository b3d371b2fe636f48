"""The demo's stage: starts the servers, sends the visitors, tells what came of it."""

from __future__ import annotations

import argparse
import json
import queue
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from mbuzz import api
from mbuzz.cli.console import CliError, Progress, call_api
from mbuzz.cli.demo import shop
from mbuzz.cli.demo.browser import Browser
from mbuzz.cli.demo.simulation import Person, Visit, people
from mbuzz.cli.report import grouped, render
from mbuzz.cli.running import Stop, listen, until_stopped, wait_for
from mbuzz.client import Client
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.config import Config
from mbuzz.server import bootstrap
from mbuzz.server.app import create_app, scheduler
from mbuzz.server.http.wsgi_server import WSGIServer
from mbuzz.server.jobs import Scheduler
from mbuzz.server.settings import ServerSettings

_BROWSERS = 4  # visitors at a time
_STEP_MS = 40_000  # between two pages of a visit
_FLUSH_WITHIN = 30.0  # seconds
_SHOWN = ("first_touch", "linear", "shapley")  # of all, side by side


def perform(args: argparse.Namespace) -> int:
    """Run the demo and return its exit code."""
    with (
        until_stopped(insist=False) as stopped,
        tempfile.TemporaryDirectory(prefix="mbuzz-demo-") as folder,
    ):
        settings = ServerSettings(
            database=str(Path(folder) / "demo.db"),
            rate_limit=10_000,  # weeks of traffic come in seconds here
            rate_burst=50_000,
        )
        app = create_app(settings)
        try:
            with (
                listen(shop.app, "127.0.0.1", args.port, "--port") as front,
                listen(app, "127.0.0.1", args.port and args.port + 1, "--port") as back,
            ):
                front.start()
                back.start()
                first = bootstrap.prepare(app.storage, SYSTEM_CLOCK, live=True)
                assert first is not None, "the database is new"
                jobs = scheduler(app.storage)
                return _show(args, front, back, jobs, first, stopped)
        finally:
            app.close()


def _show(
    args: argparse.Namespace,
    front: WSGIServer,
    back: WSGIServer,
    jobs: Scheduler,
    first: bootstrap.FirstStart,
    stopped: Stop,
) -> int:
    config = Config(api_key=first.api_key, api_url=back.url, network=True)
    client = Client(config, clock=shop.SimulatedClock())
    before = api.swap(client)
    try:
        crowd = people(args.visitors, args.seed, SYSTEM_CLOCK.now_ms())
        print(f"shop {front.url}  backend {back.url}", flush=True)
        if not _send(crowd, front, stopped):
            print("stopped; nothing is left behind")
            return 130
        if not client.flush(_FLUSH_WITHIN):
            raise CliError(f"not everything was delivered: {client.stats()}")
        jobs.run_due()  # which trains the data-driven models
        report = _report(first, back)
        print(f"\n{render({**report, 'models': _SHOWN})}\n")
        agree = _compare(crowd, report)
        if not args.once:
            _wait(front, back, first, stopped)
        return 0 if agree else 1
    finally:
        client.close()
        api.swap(before)


def _send(crowd: list[Person], front: WSGIServer, stopped: Stop) -> bool:
    """Send everybody through the shop; False if that was interrupted."""
    progress = Progress(f"{len(crowd)} visitors, {_visits(crowd)} visits", len(crowd))
    free = queue.SimpleQueue[HTTPConnection]()

    def visit(person: Person) -> None:
        connection = free.get()
        try:
            if not stopped.is_set():
                _live(person, connection, front.url)
        finally:
            free.put(connection)

    with ExitStack() as connections, ThreadPoolExecutor(_BROWSERS) as pool:
        for _ in range(_BROWSERS):
            connection = HTTPConnection(front.host, front.port)
            free.put(connections.enter_context(closing(connection)))
        for _ in pool.map(visit, crowd):
            if stopped.is_set():
                break
            progress.step()
        pool.shutdown(cancel_futures=True)
    progress.finish()
    return not stopped.is_set()


def _visits(crowd: list[Person]) -> int:
    return sum(len(person.visits) for person in crowd)


def _live(person: Person, connection: HTTPConnection, origin: str) -> None:
    """Let one person make all visits, each device with cookies of its own."""
    devices: dict[int, Browser] = {}
    for visit in person.visits:
        browser = devices.get(visit.device)
        if browser is None:
            browser = devices[visit.device] = Browser(connection, origin)
        _make_visit(person, visit, browser)


def _make_visit(person: Person, visit: Visit, browser: Browser) -> None:
    at_ms = visit.at_ms
    landing = f"/?{visit.query}" if visit.query else "/"
    browser.arrive(landing, at_ms, visit.source.referrer)
    for page in visit.pages:
        at_ms += _STEP_MS
        browser.click(page, at_ms)
    if visit.log_in or visit.sign_up:
        at_ms += _STEP_MS
        path = "/sign-up" if visit.sign_up else "/log-in"
        browser.submit(path, {"user": person.user_id}, at_ms)
    if visit.order is not None:
        form = {
            "order": visit.order.id,
            "items": ",".join(visit.order.items),
            "user": person.user_id,
        }
        for _ in range(1 + visit.order.sent_twice):
            at_ms += _STEP_MS
            browser.submit("/checkout", form, at_ms)


def _report(first: bootstrap.FirstStart, back: WSGIServer) -> dict[str, Any]:
    args = argparse.Namespace(api_key=first.api_key, api_url=back.url)
    body = call_api(args, "/reports/channels", "application/json")
    report: dict[str, Any] = json.loads(body)
    return report


def _compare(crowd: list[Person], report: dict[str, Any]) -> bool:
    """Hold every model's sum against the shop's own books."""
    orders = [v.order for person in crowd for v in person.visits if v.order]
    sold = sum((order.amount for order in orders), Decimal(0))
    money = f"{grouped(f'{sold:.2f}')} {shop.CURRENCY}"
    agree = (
        report["totals"]["conversions"] == len(orders)
        and Decimal(report["totals"]["revenue"]) == sold
        and report["totals"]["visits"] == _visits(crowd)
        and all(_sums_to(report, model, sold) for model in report["models"])
    )
    print(
        f"The shop's own books: {_visits(crowd):,} visits, {len(orders)} orders, "
        f"{money}."
    )
    number = len(report["models"])
    verdict = "agree with them, to the cent." if agree else "DIFFER. That is a bug."
    print(f"All {number} attribution models {verdict}")
    return agree


def _sums_to(report: dict[str, Any], model: str, sold: Decimal) -> bool:
    shares = (Decimal(row["credits"][model]["revenue"]) for row in report["rows"])
    return sum(shares, Decimal(0)) == sold


def _wait(
    front: WSGIServer,
    back: WSGIServer,
    first: bootstrap.FirstStart,
    stopped: Stop,
) -> None:
    print(f"\n  shop       {front.url}/  (browse it: your visits count, too)")
    print(f"  dashboard  {back.url}/")
    print(f"             log in as {first.email} with {first.password}")
    print("\nCtrl-C ends the demo and removes its data.", flush=True)
    wait_for(stopped)

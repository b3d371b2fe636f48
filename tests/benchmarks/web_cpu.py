"""The CPU that each adapter adds to a request, delivery included."""

from __future__ import annotations

import asyncio
import cProfile
import io
import math
import pstats
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import mbuzz
from tests.benchmarks import web_apps, web_requests
from tests.benchmarks.calls import BURST, PAUSE
from tests.benchmarks.figures import Figure, apart, of_each
from tests.benchmarks.raw_sink import configure, running
from tests.benchmarks.web_apps import ASYNC, BARE, EMPTY, LAYERS, OURS, SYNC

_GOALS = {"asset": 5.0, "fetch": 5.0, "page": 60.0, "first": math.inf}
_NAMES = {
    "asset": "skipped asset",
    "fetch": "fetch, no page",
    "page": "returning visitor's page",
    "first": "first visit",
}
_FIRSTS = 15  # in a round: all of them within the burst that may ask the backend
_TOLD = r"^(?!.*(web_|time\.sleep))"  # not what only measures
Run = Callable[[str, str, int], None]  # layer, kind, how many


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Microseconds of CPU a request, the least of all rounds."""

    layers: dict[str, float]
    sound: bool

    def added(self, layer: str) -> float:
        """Return what a layer costs."""
        return self.layers[layer] - self.layers[BARE]


def _runner(name: str) -> Run:
    """Return what serves requests, in bursts, to the application of an adapter."""
    if name in SYNC:
        apps = {layer: SYNC[name](layer) for layer in LAYERS}
        environs = {
            kind: [one.environ() for one in web_requests.many(kind)]
            for kind in web_requests.KINDS
        }

        def run(layer: str, kind: str, count: int) -> None:
            app, given = apps[layer], environs[kind]
            for number in range(count):
                web_apps.serve(app, given[number % len(given)])
                if number % BURST == BURST - 1:
                    time.sleep(PAUSE)

        return run
    loop = asyncio.new_event_loop()
    aapps = {layer: ASYNC[name](layer) for layer in LAYERS}
    scopes = {
        kind: [one.scope() for one in web_requests.many(kind)]
        for kind in web_requests.KINDS
    }

    async def arun(layer: str, kind: str, count: int) -> None:
        app, given = aapps[layer], scopes[kind]
        for number in range(count):
            await web_apps.aserve(app, given[number % len(given)])
            if number % BURST == BURST - 1:
                await asyncio.sleep(PAUSE)

    return lambda *what: loop.run_until_complete(arun(*what))


def spend(name: str, count: int, rounds: int) -> dict[str, Spent]:
    """Return the CPU of each kind of request; the layers take turns."""
    with running(cookies=True) as sink:
        configure(sink.url)  # before the middleware is made, which may ask for it
        run = _runner(name)
        for layer in LAYERS:
            run(layer, "first", len(web_requests.PATHS))  # paths are learned
            for kind in ("asset", "fetch", "page"):
                run(layer, kind, BURST)
        mbuzz.flush(60)
        time.sleep(0.5)  # the bucket of what may ask fills again
        sink.arrived()
        found = {}
        for kind in web_requests.KINDS:
            number = _FIRSTS if kind == "first" else count
            least = dict.fromkeys(LAYERS, math.inf)
            for _ in range(3 if kind == "first" else rounds):
                for layer in LAYERS:
                    begin = time.process_time_ns()
                    run(layer, kind, number)
                    if layer == OURS and kind in ("page", "first"):
                        mbuzz.flush(60)
                    spent = (time.process_time_ns() - begin) / number / 1000
                    least[layer] = min(least[layer], spent)
            due = {"page": count * rounds, "first": 3 * _FIRSTS}.get(kind, 0)
            found[kind] = Spent(layers=least, sound=sink.arrived().ids == due)
        mbuzz.close()
    return found


def track_alone(count: int, rounds: int) -> float:
    """Return the CPU of `mbuzz.page` and its delivery, without any web about it."""
    with running(cookies=True) as sink:
        configure(sink.url)
        least = math.inf
        for _ in range(rounds + 1):
            begin = time.process_time_ns()
            for number in range(count):
                mbuzz.page(
                    url=f"https://shop.example/products/{number % 5}?color=red",
                    referrer="https://shop.example/products/7",
                    visitor_id=f"{number % 200 + 1:064x}",
                    session_id=f"{number % 200 + 1:032x}",
                )
                if number % BURST == BURST - 1:
                    time.sleep(PAUSE)
            mbuzz.flush(60)
            least = min(least, (time.process_time_ns() - begin) / count / 1000)
        mbuzz.close()
    return least


def cpu_row(count: int, rounds: int) -> list[Figure]:
    """Return what each adapter adds, beside what an empty layer adds."""
    alone = apart(track_alone, [count], [rounds])
    names = [*SYNC, *ASYNC]
    spent = apart(spend, names, [count] * len(names), [rounds] * len(names))
    return [
        *of_each("cpu", ["mbuzz.page() alone"], alone, _alone),
        *of_each("cpu", names, spent, _figures),
    ]


def _alone(what: str, spent: float) -> list[Figure]:
    return [
        Figure(
            row="cpu",
            what=f"{what}, delivery included",
            unit="us",
            floor=None,
            ours=spent,
            goal=math.inf,
        )
    ]


def _figures(name: str, spent: dict[str, Spent]) -> list[Figure]:
    return [_figure(name, kind, one) for kind, one in spent.items()]


def _figure(name: str, kind: str, spent: Spent) -> Figure:
    note = f"bare {spent.layers[BARE]:.1f}, empty layer {spent.added(EMPTY):+.1f}"
    return Figure(
        row="cpu",
        what=f"{name}: {_NAMES[kind]}",
        unit="us",
        floor=None,
        ours=spent.added(OURS),
        goal=_GOALS[kind],
        sound=spent.sound,
        note=note if spent.sound else f"{note}; EVENTS LOST OR TOO MANY",
    )


# -- where it goes --


def profile(count: int) -> str:
    """Return the functions that take most time in the caller, WSGI."""
    texts = []
    with running(cookies=True) as sink:
        configure(sink.url)
        run = _runner("wsgi")
        run(OURS, "first", len(web_requests.PATHS))
        for kind in ("page", "asset"):
            run(OURS, kind, BURST)
            mbuzz.flush(60)
            profiler = cProfile.Profile()
            profiler.runcall(partial(run, OURS, kind, count))
            text = io.StringIO()
            stats = pstats.Stats(profiler, stream=text)
            stats.strip_dirs()
            for order in ("cumulative", "tottime"):
                stats.sort_stats(order).print_stats(_TOLD, 15)
            texts.append(f"wsgi, {_NAMES[kind]}, {count} times\n{text.getvalue()}")
        mbuzz.close()
    return "\n".join(texts)

"""What requests wait for, with a backend that is quick, slow or gone: WSGI and ASGI."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import mbuzz
from tests.benchmarks import web_apps, web_load, web_peers, web_requests
from tests.benchmarks.figures import Figure, apart, failed, of_each
from tests.benchmarks.raw_sink import Sink, configure, given_session, running
from tests.benchmarks.web_apps import BARE, OURS
from tests.benchmarks.web_load import BACKENDS, VIEW, Spans, longer, share

_NEW = 0.3  # share of the requests without cookies
_OPEN_RATE = 200.0  # a second, of eight threads
_ASGI_NEW, _ASGI_RATE = 0.15, 100.0
_LONGEST_WAIT = 50.0  # ms
_HANDFUL = 8  # waits of more than 40 ms in an outage: twice as many as may wait at once
_NOTICED, _LONG = 10.0, 40.0  # ms beyond the bare median
_ASGI_NOISE = 2.0  # ms; an event loop's timers are a millisecond coarse
_BUSY = "MACHINE TOO BUSY TO JUDGE; "
_MORE_LAG = 0.25  # ms that count as none
_SID_DELAY, _SID_VIEW, _SID_RATE = 0.02, 0.05, 15.0  # fewer than may ask in a second
_WARM = 3  # first visits of each path, the backend being well
_BETWEEN = 0.02  # seconds from one of them to the next
_DRAIN = 0.1  # seconds, so that one side's delivery does not run beside the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """What was measured against one backend, under one kind of load."""

    most_noise: float = 1.0  # ms from the bare median to its p99, to be judged by
    turns: list[tuple[Spans, Spans]] = field(default_factory=list)  # bare and ours
    peers: dict[str, Spans] = field(default_factory=dict)

    def whole(self) -> tuple[Spans, Spans]:
        """Return all turns of both sides."""
        return _joined(self.turns)

    def quiet(self) -> tuple[Spans, Spans]:
        """Return the quieter half of the turns, as the bare application tells.

        Other work on the machine comes and goes; what ours does has no say in it.
        """
        ordered = sorted(self.turns, key=lambda turn: share(turn[0].all, 0.99))
        return _joined(ordered[: (len(ordered) + 1) // 2])

    @property
    def busy(self) -> bool:
        """Tell whether the machine did too much else for a judgment."""
        bare = self.quiet()[0].all
        return share(bare, 0.99) - share(bare, 0.5) > self.most_noise

    def needs(self, turns: int) -> bool:
        """Tell whether to go on: a busy machine is given twice the turns."""
        done = len(self.turns)
        return done < turns or (done < 2 * turns and self.busy)


def _joined(turns: Sequence[tuple[Spans, Spans]]) -> tuple[Spans, Spans]:
    bare, ours = Spans(), Spans()
    for its_bare, its_ours in turns:
        bare.extend(its_bare)
        ours.extend(its_ours)
    return bare, ours


def _server(app: object) -> Callable[[bool, int], web_apps.Headers]:
    known = [one.environ() for one in web_requests.many("page")]
    new = [one.environ() for one in web_requests.many("first")]

    def serve(is_new: bool, number: int) -> web_apps.Headers:
        given = (new if is_new else known)[number % web_requests.MANY]
        return web_apps.serve(app, given)

    return serve


def _warm(serve: Callable[[bool, int], object]) -> None:
    for number in range(_WARM * len(web_requests.PATHS)):
        serve(True, number)
        time.sleep(_BETWEEN)


def measure(backend: str, seconds: float, turns: int) -> dict[str, Waited]:
    """Serve with and without mbuzz by turns, in a closed loop and in an open one."""
    found = {}
    with running(cookies=True) as sink:
        configure(sink.url)
        bare_app = web_apps.wsgi(BARE, VIEW)
        bare, ours = _server(bare_app), _server(web_apps.wsgi(OURS, VIEW))
        _warm(ours)
        _warm(bare)
        web_load.spoil(sink, backend)
        for name, rate in (("closed", None), ("open", _OPEN_RATE)):
            found[name] = Waited()
            while found[name].needs(turns):
                without = web_load.threads(bare, seconds, new=_NEW, rate=rate)
                tracked = web_load.threads(ours, seconds, new=_NEW, rate=rate)
                found[name].turns.append((without, tracked))
                mbuzz.flush(_DRAIN)
        mbuzz.close(0.1)
        for name in ("posting", "joining"):
            peer = _server(getattr(web_peers, name)(bare_app, sink.url))
            spans = web_load.threads(peer, seconds * turns / 2, new=_NEW)
            found["closed"].peers[name] = spans
    return found


def waits_row(seconds: float, turns: int) -> list[Figure]:
    """Return what is added to requests of 5 ms at 8 threads, backend by backend."""
    count = len(BACKENDS)
    results = apart(measure, list(BACKENDS), [seconds] * count, [turns] * count)
    return of_each("waits", list(BACKENDS), results, _of_loads)


def _of_loads(backend: str, found: dict[str, Waited]) -> list[Figure]:
    figures = []
    for load, waited in found.items():
        figures += _latency(f"{backend}, {load} loop", waited)
    return [*figures, _throughput(backend, found["closed"])]


def _latency(what: str, waited: Waited) -> list[Figure]:
    bare, ours = waited.quiet()
    busy = waited.busy

    def figure(name: str, part: float, goal: float) -> Figure:
        floor = share(bare.all, part)
        of_new = share(ours.of_new, part) - share(bare.of_new, part)
        peers = "".join(
            f"; {peer} {share(spans.all, part) - floor:+.2f}, "
            f"new {share(spans.of_new, part) - floor:+.2f}"
            for peer, spans in waited.peers.items()
        )
        return Figure(
            row="waits",
            what=f"{what}: added {name}",
            unit="ms",
            floor=None,
            ours=share(ours.all, part) - floor,
            goal=math.inf if busy else goal,
            note=f"{_BUSY if busy else ''}bare {floor:.2f}; new {of_new:+.2f}{peers}",
        )

    return [figure("p50", 0.5, 0.05), figure("p99", 0.99, 1.0), _longest(what, waited)]


def _longest(what: str, waited: Waited) -> Figure:
    bare, ours = (spans.all for spans in waited.whole())
    middle = share(bare, 0.5)
    noise = max(bare) - middle
    waits = [longer(spans, middle + _NOTICED) for spans in (ours, bare)]
    long = [longer(spans, middle + _LONG) for spans in (ours, bare)]
    busy = noise > _NOTICED
    return Figure(
        row="waits",
        what=f"{what}: longest",
        unit="ms",
        floor=None,
        ours=max(ours) - middle,
        goal=math.inf if busy else _LONGEST_WAIT + max(noise, 2.0),
        sound=busy or long[0] <= _HANDFUL,
        note=f"{_BUSY if busy else ''}bare {noise:.1f}; of {len(ours):,} took 10 ms "
        f"more {waits[0]} (bare {waits[1]}), 40 ms more {long[0]} (bare {long[1]})",
    )


def _throughput(backend: str, waited: Waited) -> Figure:
    bare, ours = waited.quiet()
    busy = waited.busy
    peers = ", ".join(
        f"{peer} {spans.rate / bare.rate:.2f}" for peer, spans in waited.peers.items()
    )
    return Figure(
        row="waits",
        what=f"{backend}: requests a second, 8 threads",
        unit="1/s",
        floor=bare.rate,
        ours=ours.rate,
        goal=-math.inf if busy else 0.97,
        least=True,
        note=f"{_BUSY if busy else ''}{peers}",
    )


# -- ASGI --


def measure_loop(backend: str, seconds: float, turns: int) -> Waited:
    """Serve 100 requests a second in one event loop, with and without by turns."""
    known = [one.scope() for one in web_requests.many("page")]
    new = [one.scope() for one in web_requests.many("first")]
    waited = Waited(most_noise=_ASGI_NOISE)

    async def load(app: object) -> Spans:
        async def serve(is_new: bool, number: int) -> None:
            given = (new if is_new else known)[number % web_requests.MANY]
            await web_apps.aserve(app, given)

        return await web_load.loop(serve, seconds, new=_ASGI_NEW, rate=_ASGI_RATE)

    async def run(sink: Sink) -> None:
        apps = {layer: web_apps.asgi(layer, VIEW) for layer in (BARE, OURS)}
        for number in range(_WARM * len(web_requests.PATHS)):
            await web_apps.aserve(apps[OURS], new[number])
            await web_apps.aserve(apps[BARE], new[number])
            await asyncio.sleep(_BETWEEN)
        web_load.spoil(sink, backend)
        while waited.needs(turns):
            waited.turns.append((await load(apps[BARE]), await load(apps[OURS])))
            await asyncio.to_thread(mbuzz.flush, _DRAIN)

    with running(cookies=True) as sink:
        configure(sink.url)
        asyncio.run(run(sink))
        mbuzz.close(0.1)
    return waited


def asgi_row(seconds: float, turns: int) -> list[Figure]:
    """Return what is added in an event loop, and how late that runs."""
    count = len(BACKENDS)
    results = apart(measure_loop, list(BACKENDS), [seconds] * count, [turns] * count)
    return of_each(
        "asgi",
        list(BACKENDS),
        results,
        lambda backend, waited: [
            *_latency(f"asgi, {backend}", waited),
            _lag(backend, waited),
        ],
    )


def _lag(backend: str, waited: Waited) -> Figure:
    bare, ours = (spans.lag for spans in waited.quiet())
    busy = waited.busy
    return Figure(
        row="asgi",
        what=f"asgi, {backend}: added loop lag, p99",
        unit="ms",
        floor=None,
        ours=share(ours, 0.99) - share(bare, 0.99),
        goal=math.inf if busy else _MORE_LAG,
        note=f"{_BUSY if busy else ''}bare {share(bare, 0.99):.2f}, longest "
        f"{max(bare):.1f}; ours longest {max(ours):.1f}",
    )


# -- session ids --


def count_given(name: str, delay: float, view: float, visitors: int) -> float:
    """Return the share of new visitors whose first response has the backend's sid."""
    given: list[bool] = []
    with running(cookies=True) as sink:
        configure(sink.url)
        is_async = name in web_apps.ASYNC
        app = {**web_apps.SYNC, **web_apps.ASYNC}[name](OURS, view)
        environs = [one.environ() for one in web_requests.many("first")]
        scopes = [one.scope() for one in web_requests.many("first")]
        sink.behave(delay)

        def note(headers: object) -> None:
            sid = web_apps.session_given(headers) or ""
            given.append(sid.startswith(given_session("")))

        def serve(_: bool, number: int) -> None:
            note(web_apps.serve(app, environs[number]))

        async def aserve(_: bool, number: int) -> None:
            note(await web_apps.aserve(app, scopes[number]))

        async def run() -> None:
            for number in range(len(web_requests.PATHS)):
                await aserve(True, number)
                await asyncio.sleep(0.1)
            given.clear()
            await web_load.loop(aserve, visitors / _SID_RATE, new=1.0, rate=_SID_RATE)

        if is_async:
            asyncio.run(run())
        else:
            for number in range(len(web_requests.PATHS)):
                serve(True, number)
                time.sleep(0.1)
            given.clear()
            web_load.threads(serve, visitors / _SID_RATE, new=1.0, rate=_SID_RATE)
        mbuzz.close(1.0)
    return sum(given) / len(given) * 100


def sids_row(visitors: int) -> list[Figure]:
    """Return how many first responses carry the session id that the backend gave."""
    names = [*web_apps.SYNC, *web_apps.ASYNC]
    cases = [(name, _SID_DELAY, _SID_VIEW) for name in names]
    cases += [("wsgi", 0.0, VIEW), ("asgi", 0.0, VIEW), ("wsgi", _SID_DELAY, VIEW)]
    columns = list(zip(*cases, strict=True))
    results = apart(count_given, *columns, [visitors] * len(cases), workers=2)
    figures = []
    for (name, delay, view), result in zip(cases, results, strict=True):
        what = f"{name}: backend {delay * 1000:.0f} ms, view {view * 1000:.0f} ms"
        if isinstance(result, str):
            figures.append(failed("sids", what, result))
            continue
        goal = 95.0 if view == _SID_VIEW else -math.inf
        figures.append(
            Figure(
                row="sids",
                what=what,
                unit="%",
                floor=None,
                ours=result,
                goal=goal,
                least=True,
                note="new visitors with the backend's sid at once",
            )
        )
    return figures

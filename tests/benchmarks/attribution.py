"""What attribution costs, beside peers: `python3 -m tests.benchmarks.attribution`.

The floor is a peer's CPU on the same journeys, in the same run; each measurement is a
process of its own, and the middle one of some rounds counts. Journeys are in memory
before, in the form that each asks for. Peers, if they are there to be measured, come by
`pip install -r tests/benchmarks/peers.txt`.
"""

from __future__ import annotations

import argparse
import math
import pickle
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mbuzz.server.attribution import algorithmic, markov, shapley
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.models import PRESETS, Model
from mbuzz.server.attribution.paths import observe
from mbuzz.server.attribution.totals import channel_totals
from mbuzz.server.attribution.trained import TRAINED, train
from mbuzz.server.attribution.weights import WHOLE
from tests.benchmarks import rows
from tests.benchmarks.figures import Figure, apart
from tests.server.attribution.journey_worlds import journeys, perf_records

INSTALL = "no peer: pip install -r tests/benchmarks/peers.txt"
FIVE = {
    "first_touch": "run_first_click",
    "last_touch": "run_last_click",
    "linear": "run_linear",
    "u_shaped": "run_position_based",
    "time_decay": "run_time_decay",
}
_SEPARATOR = " > "
_SEED = 13
_SMALL = 10_000
Totals = Mapping[str, float]


class Spent(NamedTuple):
    """What one measurement took, and the conversions of each channel by each model."""

    seconds: float  # of CPU
    megabytes: float  # resident, at most
    found: dict[str, Totals]


def _spent(work: Callable[[], dict[str, Totals]]) -> Spent:
    begin = time.process_time()
    found = work()
    seconds = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Spent(seconds, peak / 1024, found)


def _read(path: str) -> list[Journey]:
    with Path(path).open("rb") as file:
        return [Journey(*fields) for fields in pickle.load(file)]


def _conversions(totals: Mapping[str, tuple[int, int]]) -> Totals:
    return {channel: credit / WHOLE for channel, (credit, _) in totals.items()}


def our_rules(path: str) -> Spent:
    """Measure the conversions and revenues of five rules by channel."""
    given = _read(path)

    def work() -> dict[str, Totals]:
        sold = [one for one in given if one.converted_at_ms is not None]
        return {key: _conversions(channel_totals(PRESETS[key], sold)) for key in FIVE}

    return _spent(work)


def our_markov(order: int, path: str) -> Spent:
    """Measure training and the channel report."""
    given = _read(path)

    def work() -> dict[str, Totals]:
        model = markov.train(observe(given), order)
        model.channel_revenue()
        return {
            "report": model.channel_conversions(),
            "effects": model.removal_effects,
        }

    return _spent(work)


def our_shapley(path: str) -> Spent:
    """Measure training, which has the conversions of channels before cuts."""
    given = _read(path)
    return _spent(lambda: {"raw": shapley.train(observe(given)).raw_conversions})


def our_algorithmic(path: str) -> Spent:
    """Measure training."""
    given = _read(path)
    return _spent(
        lambda: {"coefficients": algorithmic.train(observe(given)).coefficients}
    )


def our_models(path: str) -> Spent:
    """Measure eleven models and the credits and revenues of each conversion in rows."""
    given = _read(path)

    def work() -> dict[str, Totals]:
        table = observe(given)
        models = [
            *PRESETS.values(),
            *(Model(key=key, weigh=train(key, table).weigh) for key in TRAINED),
        ]
        # Kept until the end, as whoever writes them in one piece would.
        kept = []
        sold = [one for one in given if one.converted_at_ms is not None]
        for model in models:
            for journey in sold:
                division = model.divide(journey)
                assert division is not None
                weights = division.weights
                revenues = weights.revenues(journey.revenue or 0)
                kept.append((division.positions, weights.credits, revenues))
        return {"rows": {"count": float(sum(len(row[1]) for row in kept))}}

    return _spent(work)


def _frame(path: str) -> Any:
    import polars as pl

    given = _read(path)
    return pl.DataFrame(
        {
            "id": list(range(len(given))),
            "path": [_SEPARATOR.join(one.channels) for one in given],
            "converted": [one.converted_at_ms is not None for one in given],
            "hours": [
                _SEPARATOR.join(
                    str((one.times_ms[-1] - time_ms) / 3_600_000)
                    for time_ms in one.times_ms
                )
                for one in given
            ],
        }
    )


def their_mam(runs: Mapping[str, tuple[str, Mapping[str, Any]]], path: str) -> Spent:
    """Measure marketing-attribution-models, the reading of its table included."""
    from mam import MAM

    frame = _frame(path)

    def work() -> dict[str, Totals]:
        read = MAM(
            frame,
            format_type="journey",
            channels_colname="path",
            journey_with_conv_colname="converted",
            user_id_colname="id",
            time_till_conv_colname="hours",
        )
        found: dict[str, Totals] = {}
        for name, (run, options) in runs.items():
            result = getattr(read, run)(**options)
            found[name] = dict(result.to_polars().iter_rows())
            if name == "credits":
                effects = result.metadata["removal_effect"]
                found["effects"] = effects["removal_effect"].to_dict()
        return found

    return _spent(work)


def their_channel_attribution(order: int, path: str) -> Spent:
    """Measure ChannelAttribution's simulation, as it is by default."""
    import ChannelAttribution
    import pandas as pd

    given = _read(path)
    frame = pd.DataFrame(
        {
            "path": [_SEPARATOR.join(one.channels) for one in given],
            "conversions": [int(one.converted_at_ms is not None) for one in given],
            "revenue": [(one.revenue or 0) / 1_000_000 for one in given],
            "nulls": [int(one.converted_at_ms is None) for one in given],
        }
    )

    def work() -> dict[str, Totals]:
        found = ChannelAttribution.markov_model(
            frame,
            "path",
            "conversions",
            var_value="revenue",
            var_null="nulls",
            order=order,
            out_more=True,
            flg_pro=False,
            verbose=False,
        )
        effects = found["removal_effects"]
        name, effect = "channel_name", "removal_effects_conversion"
        result = found["result"]
        return {
            "effects": dict(zip(effects[name], effects[effect], strict=True)),
            "report": dict(zip(result[name], result["total_conversions"], strict=True)),
        }

    return _spent(work)


def _apart(measure: Callable[[str], Spent], path: str, rounds: int) -> Spent | str:
    """Return the middle of some measurements, each in a process of its own."""
    spent: list[Spent] = []
    for result in apart(measure, [path] * rounds):
        if isinstance(result, str):
            return result
        spent.append(result)
    seconds = statistics.median(one.seconds for one in spent)
    return spent[0]._replace(
        seconds=seconds, megabytes=max(one.megabytes for one in spent)
    )


def _differences(ours: Spent, theirs: Spent) -> str:
    """Say how far the results are apart, at most."""
    said = []
    for name in ours.found.keys() & theirs.found.keys():
        mine, other = ours.found[name], theirs.found[name]
        far = max(abs(mine[key] - other.get(key, 0.0)) for key in mine)
        said.append(f"{name} {far:.1e}")
    return ", ".join(sorted(said))


def _beside(
    row: str,
    what: str,
    ours: Callable[[str], Spent],
    peers: Mapping[str, tuple[float, Callable[[str], Spent]]],
    options: argparse.Namespace,
) -> list[Figure]:
    """Return a line for each peer, with its goal: so many times faster."""
    mine = _apart(ours, options.path, options.rounds)
    if isinstance(mine, str):
        raise RuntimeError(mine)
    lines = []
    for name, (times, measure) in peers.items():
        theirs = _apart(measure, options.path, options.rounds)
        missing = isinstance(theirs, str)
        note = theirs if isinstance(theirs, str) else _differences(mine, theirs)
        if missing and "ModuleNotFoundError" in note:
            note = f"{INSTALL} ({note.rsplit(' ', 1)[-1]})"
        lines.append(
            Figure(
                row=row,
                what=f"{what} ({name})",
                unit="s CPU",
                floor=None if isinstance(theirs, str) else theirs.seconds,
                ours=mine.seconds,
                goal=math.inf if missing else 1 / times,
                note=note if missing else f"apart at most: {note}",
            )
        )
    return lines


def rules_row(options: argparse.Namespace) -> list[Figure]:
    """Compare five rules."""
    runs = {key: (run, {}) for key, run in FIVE.items()}
    peers = {"mam": (6.0, partial(their_mam, runs))}
    return _beside("rules", "five rules, totals", our_rules, peers, options)


def markov_row(order: int, options: argparse.Namespace) -> list[Figure]:
    """Compare the Markov chain of an order, exact here, simulated there."""
    times = {1: 2.0, 2: 1.5, 3: 1.2}[order]
    peers = {"ChannelAttribution": (times, partial(their_channel_attribution, order))}
    if order == 1:
        peers["mam"] = (7.0, partial(their_mam, {"credits": ("run_markov", {})}))
    ours = partial(our_markov, order)
    return _beside(f"markov{order}", f"Markov, order {order}", ours, peers, options)


def shapley_row(options: argparse.Namespace) -> list[Figure]:
    """Compare the Shapley values of conversion rates."""
    runs = {"raw": ("run_shapley", {"max_size": None})}
    peers = {"mam": (5.0, partial(their_mam, runs))}
    return _beside("shapley", "Shapley, of rates", our_shapley, peers, options)


def all_row(options: argparse.Namespace) -> list[Figure]:
    """Measure all models with their rows, against limits of time and memory."""
    spent = _apart(our_models, options.path, 1)
    if isinstance(spent, str):
        raise RuntimeError(spent)
    count = f"{spent.found['rows']['count']:,.0f} rows"
    return [
        Figure(
            row="all",
            what=f"eleven models, {name}",
            unit=unit,
            floor=None,
            ours=value,
            goal=goal,
            note=count,
        )
        for name, unit, value, goal in (
            ("credits in rows", "s CPU", spent.seconds, 10.0),
            ("memory", "MB", spent.megabytes, 1500.0),
        )
    ]


def small_row(options: argparse.Namespace) -> list[Figure]:
    """Measure each trained model and the five rules on few journeys."""
    works: dict[str, Callable[[str], Spent]] = {
        **{f"Markov, order {order}": partial(our_markov, order) for order in (1, 2, 3)},
        "Shapley": our_shapley,
        "algorithmic": our_algorithmic,
        "five rules": our_rules,
    }
    lines = []
    for name, work in works.items():
        spent = _apart(work, options.small_path, options.rounds)
        if isinstance(spent, str):
            raise RuntimeError(spent)
        lines.append(
            Figure(
                row="small",
                what=f"{name}, {_SMALL:,} journeys",
                unit="s CPU",
                floor=None,
                ours=spent.seconds,
                goal=0.1,
            )
        )
    return lines


ROWS: rows.Rows = {
    "rules": rules_row,
    "markov1": partial(markov_row, 1),
    "markov2": partial(markov_row, 2),
    "markov3": partial(markov_row, 3),
    "shapley": shapley_row,
    "all": all_row,
    "small": small_row,
}


def _written(folder: str, count: int) -> str:
    path = Path(folder) / f"{count}.pickle"
    made = journeys(perf_records(count, _SEED))
    path.write_bytes(pickle.dumps([tuple(journey) for journey in made], protocol=5))
    return str(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the rows that were asked for, and print each as soon as it is known."""
    parser = rows.parser("attribution", __doc__, ROWS)
    parser.add_argument("--journeys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="the middle one counts")
    options = rows.parsed(parser, ROWS, arguments)
    rows.isolate()
    with tempfile.TemporaryDirectory() as folder:
        options.path = _written(folder, options.journeys)
        options.small_path = _written(folder, _SMALL)
        rows.measure(ROWS, options)


if __name__ == "__main__":
    main()

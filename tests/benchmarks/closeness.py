"""How near models come to a known truth: `python3 -m tests.benchmarks.closeness`.

In made-up worlds it is known what each channel did. The truth is its Shapley value when
touchpoints of some channels do not happen, and all else stays: shares of that are held
against each model's shares, by their distance (half the sum of all differences, 0 to 1)
and by rank (Kendall's tau, -1 to 1). All draws are seeded.

These worlds have no hidden causes, and show channels to people by chance: this ranks
models where all is well, and says nothing of how right they are about real people.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from statistics import mean

from mbuzz.server.attribution.coalitions import shapley_values
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.markov import MarkovModel
from mbuzz.server.attribution.markov import train as train_markov
from mbuzz.server.attribution.models import PRESETS, Model
from mbuzz.server.attribution.paths import observe
from mbuzz.server.attribution.totals import channel_totals
from mbuzz.server.attribution.trained import train
from tests.server.attribution.journey_worlds import LIFT, LiftWorld

Shares = Mapping[str, float]
# From the channels met, in order, to the chance to convert at each step.
Chances = Callable[[LiftWorld, Sequence[int]], list[float]]

_DAY_MS = 86_400_000
_LONGEST = 40
_WALKS_OF_TRUTH = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Worlds in which people decide in the same way."""

    name: str
    chances: Chances
    worlds: Sequence[LiftWorld]


def at_each_touch(world: LiftWorld, walk: Sequence[int]) -> list[float]:
    """Return chances that rise with each new channel, wherever one can convert."""
    met: set[int] = set()
    found = []
    for channel in walk:
        met.add(channel)
        lifted = 1 - (1 - world.base) * prod(1 - world.lift[one] for one in sorted(met))
        found.append(world.can_convert[channel] * lifted)
    return found


def at_the_end(world: LiftWorld, walk: Sequence[int]) -> list[float]:
    """Return one chance, after the last touchpoint, of all channels met."""
    lifted = prod(1 - world.lift[one] for one in sorted(set(walk)))
    return [0.0] * (len(walk) - 1) + [1 - (1 - world.base) * lifted] if walk else []


def at_the_end_with_decay(world: LiftWorld, walk: Sequence[int]) -> list[float]:
    """Return the same, where a channel's lift halves with every two steps since."""
    last = {channel: step for step, channel in enumerate(walk)}
    lifted = prod(
        1 - world.lift[one] * 0.5 ** ((len(walk) - 1 - last[one]) / 2)
        for one in sorted(last)
    )
    return [0.0] * (len(walk) - 1) + [1 - (1 - world.base) * lifted] if walk else []


def random_world(seed: int, strongest: float, base: float) -> LiftWorld:
    """Return a world of six to eight channels; one of them does nothing."""
    draw = random.Random(seed).random
    size = 6 + int(draw() * 3)

    def chances() -> list[float]:
        weights = [0.1 + draw() ** 2 for _ in range(size)]
        return [weight / sum(weights) for weight in weights]

    return LiftWorld(
        channels=[f"c{index}" for index in range(size)],
        start=chances(),
        leave=[0.2 + 0.2 * draw() for _ in range(size)],
        following=[chances() for _ in range(size)],
        base=base,
        lift=[0.0, *(strongest * draw() ** 2 for _ in range(size - 1))],
        can_convert=[1] * size,
    )


def walks(world: LiftWorld, draw: Callable[[], float]) -> Iterator[list[int]]:
    """Yield what people would walk whom nothing converts, without an end."""
    names = range(len(world.channels))
    picker = random.Random(int(draw() * 2**53))
    while True:
        walk = picker.choices(names, world.start)
        while len(walk) < _LONGEST and picker.random() >= world.leave[walk[-1]]:
            walk += picker.choices(names, world.following[walk[-1]])
        yield walk


def journeys(family: Family, world: LiftWorld, count: int, seed: int) -> list[Journey]:
    """Return what is seen: walks up to the conversion, a day between touchpoints."""
    draw = random.Random(seed).random
    found = []
    for walk, _ in zip(walks(world, draw), range(count), strict=False):
        length, converted = len(walk), False
        for step, chance in enumerate(family.chances(world, walk), 1):
            if draw() < chance:
                length, converted = step, True
                break
        times_ms = range(0, length * _DAY_MS, _DAY_MS)
        channels = tuple([world.channels[one] for one in walk[:length]])
        found.append(
            Journey(channels, times_ms, times_ms[-1] if converted else None, 1_000_000)
        )
    return found


def truth(family: Family, world: LiftWorld, seed: int) -> Shares:
    """Return the shares of channels in the process, exact for each of many walks."""
    draw = random.Random(seed).random
    values = [0.0] * len(world.channels)
    for walk, _ in zip(walks(world, draw), range(_WALKS_OF_TRUTH), strict=False):
        players = sorted(set(walk))
        worths = []
        for mask in range(1 << len(players)):
            present = {one for bit, one in enumerate(players) if mask >> bit & 1}
            chances = family.chances(world, [one for one in walk if one in present])
            worths.append(1 - prod(1 - chance for chance in chances))
        for player, value in zip(players, shapley_values(worths), strict=True):
            values[player] += value
    return _shares(dict(zip(world.channels, values, strict=True)))


def results(given: Sequence[Journey]) -> dict[str, Shares]:
    """Return the shares that each model gives to channels."""
    table = observe(given)
    weighers = {
        "markov 1, credit rows": train("markov", table).weigh,
        "shapley, conversions": train("shapley", table, worth="conversions").weigh,
        "shapley, rates": train("shapley", table).weigh,
        "algorithmic": train("algorithmic", table).weigh,
    }
    models = {
        **{
            key.replace("_", " "): PRESETS[key]
            for key in ("first_touch", "last_touch", "linear", "time_decay", "u_shaped")
        },
        **{name: Model(key=name, weigh=weigh) for name, weigh in weighers.items()},
    }
    found = {
        name: _shares({key: float(credit) for key, (credit, _) in totals.items()})
        for name, totals in (
            (name, channel_totals(model, given)) for name, model in models.items()
        )
    }
    report: MarkovModel = train_markov(table)
    found["markov 1, channel report"] = _shares(report.removal_effects)
    return found


def distance(one: Shares, other: Shares) -> float:
    """Return the total variation distance."""
    names = one.keys() | other.keys()
    return sum(abs(one.get(name, 0) - other.get(name, 0)) for name in names) / 2


def tau(one: Shares, other: Shares) -> float:
    """Return Kendall's rank correlation; ties count as neither."""
    names = sorted(one.keys() | other.keys())
    signs = [
        _sign(one.get(a, 0) - one.get(b, 0)) * _sign(other.get(a, 0) - other.get(b, 0))
        for a, b in combinations(names, 2)
    ]
    return mean(signs)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _shares(values: Mapping[str, float]) -> Shares:
    whole = sum(values.values())
    return {name: value / whole for name, value in values.items()}


def families(worlds: int) -> list[Family]:
    """Return so many random worlds of each kind, and the one made by hand."""
    touch = [random_world(100 + number, 0.06, 0.004) for number in range(worlds)]
    end = [random_world(200 + number, 0.25, 0.02) for number in range(worlds)]
    decay = [random_world(300 + number, 0.25, 0.02) for number in range(worlds)]
    return [
        Family(name="at touch", chances=at_each_touch, worlds=touch),
        Family(name="end", chances=at_the_end, worlds=end),
        Family(name="end, decay", chances=at_the_end_with_decay, worlds=decay),
        Family(name="by hand", chances=at_each_touch, worlds=[LIFT]),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the mean distance and rank correlation of each model and family."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.benchmarks.closeness", description=__doc__
    )
    parser.add_argument("--worlds", type=int, default=8, help="of each random family")
    parser.add_argument("--journeys", type=int, default=40_000)
    options = parser.parse_args(arguments)
    distances: dict[str, list[float]] = {}
    ranks: dict[str, list[float]] = {}
    known = families(options.worlds)
    for family in known:
        far: dict[str, list[float]] = {}
        ranked: dict[str, list[float]] = {}
        for number, world in enumerate(family.worlds):
            true = truth(family, world, 1000 + number)
            seen = journeys(family, world, options.journeys, 2000 + number)
            for name, shares in results(seen).items():
                far.setdefault(name, []).append(distance(shares, true))
                ranked.setdefault(name, []).append(tau(shares, true))
        for name in far:
            distances.setdefault(name, []).append(mean(far[name]))
            ranks.setdefault(name, []).append(mean(ranked[name]))
    print(f"{'distance to truth':26}", *(f"{one.name:>11}" for one in known), end="")
    print(f"{'mean':>8}   tau, {known[0].name}")
    for name, row in sorted(distances.items(), key=lambda item: mean(item[1])):
        print(f"{name:26}", *(f"{value:11.3f}" for value in row), end="")
        print(f"{mean(row):8.3f}   {ranks[name][0]:.2f}")


if __name__ == "__main__":
    main()

"""The answer of `mbuzz attribute` for people: tables of what channels earned."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mbuzz.cli.attribution.earnings import Earnings, shares
from mbuzz.cli.attribution.json_answer import billionths
from mbuzz.cli.attribution.line_values import UNATTRIBUTED_ROW
from mbuzz.cli.attribution.sample import Sample
from mbuzz.cli.console import table
from mbuzz.server.attribution.markov import MarkovModel
from mbuzz.server.attribution.weights import WHOLE

_DAY_MS: Final = 86_400_000
_HUNDREDTH_OF_MILLIONTHS: Final = 10_000
_HUNDREDTH_OF_WHOLE: Final = WHOLE // 100
_FEW: Final = 30  # conversions
_CREDIT: Final = len(billionths(WHOLE))


def lines(sample: Sample, found: Mapping[str, Earnings]) -> Iterator[str]:
    """Yield the tables, and what is to be known of them."""
    yield _read(sample)
    yield _window(sample)
    if 0 < sample.converted < _FEW:
        yield (
            f"With fewer than {_FEW} conversions chance decides much of what follows."
        )
    credits_ = {name: one.credits for name, one in found.items()}
    yield from _block("Conversions", credits_, _HUNDREDTH_OF_WHOLE)
    if any(one.journey.revenue is not None for one in sample.conversions):
        revenues = {name: one.revenues for name, one in found.items()}
        yield from _block("Revenue", revenues, _HUNDREDTH_OF_MILLIONTHS)
    for one in found.values():
        if one.fitted.chain is not None:
            yield from _chain(one, one.fitted.chain)
        if one.fitted.fallback:
            yield (
                "\nalgorithmic had nothing to compare conversions with, so that it "
                "gives the same to each\nchannel of a journey."
            )


def _read(sample: Sample) -> str:
    facts = f"Journeys: {sample.journeys:,}. Conversions: {sample.converted:,}"
    if sample.unattributed:
        facts += f", of which {sample.unattributed:,} without a touch in the window"
    return f"{facts}."


def _window(sample: Sample) -> str:
    if not sample.timed:
        return "Paths without times: all touches count."
    if not sample.lookback_ms:
        return "No lookback: all touches up to the conversion count."
    return f"Lookback: {sample.lookback_ms / _DAY_MS:g} days before the conversion."


def _block(
    title: str, sums: Mapping[str, Mapping[str, int]], hundredth: int
) -> Iterator[str]:
    """Yield tables with a column for each model, as many as fit beside each other."""
    rows = _channels(sums)
    columns = {
        name: _cells([each.get(channel, 0) for channel in rows], hundredth)
        for name, each in sums.items()
    }
    heads = ["channel", *rows, "Total"]
    for names in _fitting(heads, columns):
        yield f"\n{title}\n"
        body = zip(heads[1:], *(columns[name] for name in names), strict=True)
        yield table(["channel", *names], [*body], foot=True)


def _channels(sums: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return all rows, by what they got under the last model; no channel at the end."""
    (*_, last) = sums.values()
    every = {channel for each in sums.values() for channel in each}
    return sorted(
        every,
        key=lambda channel: (
            channel == UNATTRIBUTED_ROW,
            -last.get(channel, 0),
            channel,
        ),
    )


def _fitting(
    heads: Sequence[str], columns: Mapping[str, Sequence[str]]
) -> Iterator[list[str]]:
    """Yield the names of columns, as many at a time as the terminal has room for."""
    room = shutil.get_terminal_size().columns
    first = max(map(len, heads))
    width, names = first, list[str]()
    for name, cells in columns.items():
        wide = 2 + max(map(len, [name, *cells]))
        if names and width + wide > room:
            yield names
            width, names = first, []
        width += wide
        names.append(name)
    yield names


def _cells(parts: Sequence[int], hundredth: int) -> list[str]:
    """Return *parts* and their sum with two decimals, so that they add up as shown.

    What rounding down has left over goes to those that lost most by it.
    """
    total = (sum(parts) + hundredth // 2) // hundredth
    shown = [part // hundredth for part in parts]
    by_loss = sorted(range(len(parts)), key=lambda n: -(parts[n] % hundredth))
    for index in by_loss[: total - sum(shown)]:
        shown[index] += 1
    return [_decimal(cell) for cell in [*shown, total]]


def _decimal(hundredths: int) -> str:
    sign = "-" if hundredths < 0 else ""
    return f"{sign}{abs(hundredths) // 100:,}.{abs(hundredths) % 100:02d}"


def _chain(earned: Earnings, chain: MarkovModel) -> Iterator[str]:
    """Yield both totals of a Markov model, and the effects that they follow from."""
    effects = chain.removal_effects
    rows = sorted(effects, key=lambda channel: (-effects[channel], channel))
    conversions, revenue = chain.channel_conversions(), chain.channel_revenue()
    columns = [
        ["removal effect", *(f"{effects[name]:.4f}" for name in rows), ""],
        ["credits", *_cells([earned.credits[n] for n in rows], _HUNDREDTH_OF_WHOLE)],
        [
            "report",
            *_cells([round(conversions[n] * WHOLE) for n in rows], _HUNDREDTH_OF_WHOLE),
        ],
    ]
    if chain.revenue:
        cells = _cells([earned.revenues[n] for n in rows], _HUNDREDTH_OF_MILLIONTHS)
        columns.append(["revenue credits", *cells])
        cells = _cells([round(revenue[n]) for n in rows], _HUNDREDTH_OF_MILLIONTHS)
        columns.append(["revenue report", *cells])
    heads, *body = zip(["channel", *rows, "Total"], *columns, strict=True)
    yield f"\nMarkov chain, order {chain.order}\n"
    yield table(heads, body, foot=True)
    yield (
        "\nCredits share each conversion among the touches of its own journey, as the "
        "tables above\ndo; the report, ChannelAttribution's, shares all of them by "
        "removal effect."
    )
    if chain.estimated:
        yield (
            "Removal effects that are estimates, since exact ones would have taken "
            f"too long: {', '.join(chain.estimated)}."
        )


def credit_lines(sample: Sample, found: Mapping[str, Earnings]) -> Iterator[str]:
    """Yield a line for each touch of each journey that converted, by time."""
    id_width = max([7, *(len(one.id) for one in sample.conversions)])
    widths = [max(len(name), _CREDIT) for name in found]
    wide = max(map(len, [*sample.channels, "channel", UNATTRIBUTED_ROW]))

    def line(id: str, channel: str, cells: Sequence[str]) -> str:
        numbers = "  ".join(map(str.rjust, cells, widths))
        return f"{id:{id_width}}  {channel:{wide}}  {numbers}"

    yield ""
    yield line("journey", "channel", [*found])
    for one in sample.conversions:
        channels = one.journey.channels
        columns = []
        for each in found.values():
            got = dict(shares(sample, each.fitted.model, one))
            columns.append(got or {len(channels): WHOLE})
        for position, channel in enumerate([*channels, UNATTRIBUTED_ROW]):
            if position < len(channels) or any(position in got for got in columns):
                cells = [billionths(got.get(position, 0)) for got in columns]
                yield line(one.id, channel, cells)

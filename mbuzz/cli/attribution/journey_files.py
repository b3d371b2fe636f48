"""Files of journeys: one JSON object a line, or a table of paths."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

from mbuzz.cli.attribution import journey_lines, path_lines, text_lines
from mbuzz.cli.attribution.line_values import LineError
from mbuzz.cli.attribution.path_lines import Columns
from mbuzz.cli.attribution.sample import Conversion, Sample
from mbuzz.cli.console import CliError
from mbuzz.server.attribution.journeys import Journey, within

_TABLES: Final = frozenset({".csv", ".tsv"})
_OBJECTS: Final = frozenset({".jsonl", ".ndjson", ".json"})
_NO_TIMES: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a file is read.

    Attributes:
        lookback_ms: How far back the window of a conversion reaches; 0 is no limit.
        as_of_ms: Where the windows of journeys without a conversion end; with None
            they have no window: a file does not know what was going on when.
        separator: What is between the channels of a path.
        skip_bad: Whether lines that cannot be read are counted instead of refused.
    """

    lookback_ms: int
    as_of_ms: int | None = None
    separator: str = path_lines.SEPARATOR
    skip_bad: bool = False


def read(name: str, reading: Reading) -> Sample:
    """Return what the file *name* says; ``-`` is the standard input.

    A name that ends in .csv or .tsv is a table of paths, one in .jsonl, .ndjson or
    .json has journeys; of others the first line tells.

    Raises:
        CliError: If it cannot be read, or a line of it is wrong; the text has its
            number.
    """
    with text_lines.opened(name) as file:
        lines = text_lines.numbered(name, file)
        for number, raw in lines:
            first = number, raw
            if raw.strip(b"\xef\xbb\xbf \t\r\n"):
                break
        else:
            raise CliError(
                f"{text_lines.named(name)} is empty; give a file of journeys, one JSON "
                "object a line, or a table with the columns path, conversions, value "
                "and null"
            )
        return _Reader(name, reading).read(first, lines)


class _Reader:
    """Takes a file's lines into a sample, and says which cannot be."""

    def __init__(self, name: str, reading: Reading) -> None:
        self._name = name
        self._reading = reading
        self._lines_of: dict[str, int] = {}  # by id
        self._sample = Sample(timed=True, lookback_ms=reading.lookback_ms)

    def read(
        self, first: tuple[int, bytes], rest: Iterator[tuple[int, bytes]]
    ) -> Sample:
        number, raw = first
        if self._is_table(raw):
            self._sample.timed = False
            take = self._rows(number, raw)
        else:
            take = self._journey
            self._note(take, number, raw)
        for number, raw in rest:
            self._note(take, number, raw)
        return self._sample

    def _is_table(self, raw: bytes) -> bool:
        suffix = PurePath(self._name).suffix.lower()
        if suffix in _TABLES or suffix in _OBJECTS:
            return suffix in _TABLES
        return not raw.lstrip(b"\xef\xbb\xbf \t").startswith((b"{", b"["))

    def _note(self, take: Callable[[int, str], None], number: int, raw: bytes) -> None:
        """Take a line in, or say or count that it cannot be."""
        try:
            line = text_lines.text(raw)
            if line and not line.isspace():
                take(number, line)
        except LineError as error:
            told = self._told(number, error)
            if not self._reading.skip_bad:
                raise CliError(f"{told} (--skip-bad leaves such lines out)") from None
            self._sample.first_skipped = self._sample.first_skipped or told
            self._sample.skipped += 1

    def _told(self, number: int, error: LineError) -> str:
        return f"{text_lines.named(self._name)}, line {number}: {error}"

    def _journey(self, number: int, line: str) -> None:
        sample, reading = self._sample, self._reading
        said = journey_lines.parse(line, sample.channels)
        name = str(number) if said.id is None else said.id
        earlier = self._lines_of.setdefault(name, number)
        if earlier != number:
            raise LineError(
                f"id {name!r} is that of line {earlier}, too; give each journey its own"
            )
        sample.unknown |= said.unknown
        times_ms, converted_at_ms = said.times_ms, said.converted_at_ms
        if converted_at_ms is None:
            sample.nulls[self._window_path(said.channels, times_ms)] += 1
            return
        places = _within(times_ms, converted_at_ms, 0)
        journey = Journey(
            tuple(said.channels[place] for place in places),
            [times_ms[place] for place in places],
            converted_at_ms,
            said.revenue,
            {k: at for k, at in said.milestones.items() if at <= converted_at_ms}
            or _NO_TIMES,
        )
        oldest_ms = journey.times_ms[0] if places else converted_at_ms
        cut = 0 < reading.lookback_ms < converted_at_ms - oldest_ms
        sample.conversions.append(Conversion(name, journey, places, len(times_ms), cut))

    def _window_path(
        self, channels: Sequence[str], times_ms: Sequence[int]
    ) -> tuple[str, ...]:
        """Return the path of a journey without a conversion, in its window."""
        lookback_ms, end_ms = self._reading.lookback_ms, self._reading.as_of_ms
        if end_ms is None:
            end_ms, lookback_ms = max(times_ms, default=0), 0
        elif lookback_ms:
            lookback_ms -= 1  # a window that ends now begins after, not at, its edge
        return tuple(channels[n] for n in _within(times_ms, end_ms, lookback_ms))

    def _rows(self, number: int, raw: bytes) -> Callable[[int, str], None]:
        """Return what takes the rows of a table with the header *raw* in."""
        try:
            header = text_lines.text(raw)
            delimiter = max(",;\t", key=header.count)
            columns = Columns.of(_cells(header, delimiter))
        except LineError as error:
            raise CliError(self._told(number, error)) from None
        csv.field_size_limit(text_lines.LONGEST)  # a path may be as long as a line
        self._sample.unknown |= columns.unknown
        return lambda at, line: self._row(at, columns, _cells(line, delimiter))

    def _row(self, number: int, columns: Columns, cells: Sequence[str]) -> None:
        sample = self._sample
        said = columns.row(cells, sample.channels, self._reading.separator)
        path = tuple(said.channels)
        if said.nulls:
            sample.nulls[path] += said.nulls
        if said.conversions:
            places = range(len(path))
            journey = Journey(path, places, len(path), said.revenue)
            sample.conversions.append(
                Conversion(
                    str(number),
                    journey,
                    places,
                    len(path),
                    occurrences=said.conversions,
                )
            )


def _within(times_ms: Sequence[int], end_ms: int, lookback_ms: int) -> Sequence[int]:
    """Return what `within` does, quicker for the most of journeys: those in order."""
    if not times_ms:
        return ()
    first_ms, last_ms = times_ms[0], times_ms[-1]
    whole = last_ms <= end_ms and (not lookback_ms or end_ms - first_ms <= lookback_ms)
    if whole and times_ms == sorted(times_ms):
        return range(len(times_ms))
    return within(times_ms, end_ms, lookback_ms)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise LineError(f"this is no row of a table ({error})") from None

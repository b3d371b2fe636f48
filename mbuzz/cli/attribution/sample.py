"""What a file of journeys says: conversions to divide, and journeys without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mbuzz.cli.attribution.line_values import Channels
from mbuzz.server.attribution.journeys import Journey, within


class Conversion(NamedTuple):
    """What is divided: the journey of a conversion, or of several with the same path.

    Attributes:
        id: What the file calls it, or its line number.
        journey: By time, without touches after the conversion. The revenue is that of
            all of them.
        places: Which of the line's touches those of the journey are.
        touches: How many the line has.
        cut: Whether some of the journey's touches are outside the window.
        occurrences: How many conversions.
    """

    id: str
    journey: Journey
    places: Sequence[int]
    touches: int
    cut: bool = False
    occurrences: int = 1


@dataclass(slots=True, kw_only=True)
class Sample:
    """What a file has said.

    Attributes:
        timed: Whether it says when touches were; tables of paths do not.
        lookback_ms: As it was read; 0 is no limit.
        conversions: Those of the journeys that converted.
        nulls: How many journeys did not convert, by the path in their window.
        channels: All that are named.
        unknown: Keys or columns that mean nothing here.
        skipped: How many lines could not be read.
        first_skipped: The first of them, and why.
    """

    timed: bool
    lookback_ms: int
    conversions: list[Conversion] = field(default_factory=list)
    nulls: Counter[tuple[str, ...]] = field(default_factory=Counter)
    channels: Channels = field(default_factory=Channels)
    unknown: set[str] = field(default_factory=set)
    skipped: int = 0
    first_skipped: str = ""

    @property
    def converted(self) -> int:
        """Return how many conversions there are."""
        return sum(one.occurrences for one in self.conversions)

    @property
    def journeys(self) -> int:
        """Return how many journeys there are, converted or not."""
        return self.converted + self.nulls.total()

    @property
    def revenue(self) -> int:
        """Return what all conversions earned, in millionths of the currency unit."""
        return sum(one.journey.revenue or 0 for one in self.conversions)

    @property
    def unattributed(self) -> int:
        """Return how many conversions have no touch in their window."""
        return sum(
            one.occurrences for one in self.conversions if not self.seen(one).channels
        )

    def seen(self, one: Conversion) -> Journey:
        """Return a conversion's journey with the touches in its window alone."""
        journey = one.journey
        if not one.cut:
            return journey
        assert journey.converted_at_ms is not None, "only times can be cut"
        return journey.only(
            within(journey.times_ms, journey.converted_at_ms, self.lookback_ms)
        )

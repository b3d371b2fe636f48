"""Programs for tests: the recorded ones, and any that is valid."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

from hypothesis import strategies as st

from mbuzz.server.attribution.dsl.syntax import (
    COMPARISONS,
    ONCE,
    SELECTORS,
    UNITS_MS,
    Age,
    Channel,
    Comments,
    CreditTo,
    Describe,
    Distribute,
    Duration,
    Equally,
    Exclude,
    Line,
    Lookback,
    Not,
    Otherwise,
    Program,
    Proportionally,
    Recency,
    Selector,
    WeightBy,
    both,
    either,
)
from mbuzz.server.attribution.journeys import Journey

VECTORS = Path(__file__).parent / "vectors"
RECORDED = json.loads((VECTORS / "programs.json").read_text("utf-8"))
ACCEPTED, REJECTED = RECORDED["accept"], RECORDED["reject"]
CONVERTED_AT_MS = 10**12
DAY_MS = 86_400_000


def model(*lines):
    """Return a program of these statements."""
    return "\n".join(['model "M"', *(f"  {line}" for line in lines), "end", ""])


def journey(*touches, **milestones):
    """Return a journey of channels and their ages in days, and of milestones' ages."""
    return Journey(
        tuple(channel for channel, _ in touches),
        [CONVERTED_AT_MS - round(days * DAY_MS) for _, days in touches],
        CONVERTED_AT_MS,
        None,
        {name: CONVERTED_AT_MS - days * DAY_MS for name, days in milestones.items()},
    )


def shares(division, size):
    """Return the exact share of each of *size* touchpoints."""
    found = [Fraction(0)] * size
    parts = [Fraction(part) for part in division.weights.parts]
    whole = sum(parts)
    for position, part in zip(division.positions, parts, strict=True):
        found[position] = Fraction(part, whole)
    return found


def _said(value):
    return value.strip() != ""


_CHARACTERS = st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])
TEXTS = st.text(_CHARACTERS, min_size=1, max_size=8).filter(_said)
_NOTES = st.text(_CHARACTERS, max_size=6).map(lambda note: note.rstrip(" \t"))
_COMMENTS = st.builds(
    Comments,
    leading=st.lists(_NOTES, max_size=2).map(tuple),
    trailing=st.none() | _NOTES,
)
# Up to 365 days, in any unit.
_DURATIONS = st.builds(
    Duration,
    amount=st.integers(20_000, 50_000_000).map(lambda units: Fraction(units, 10**6)),
    unit=st.sampled_from(sorted(UNITS_MS)),
)


def _selectors(names):
    def of(name):
        if name == "milestone":
            return st.builds(Selector, name=st.just(name), argument=TEXTS)
        if name == "touch":
            numbers = st.integers(-9, 9).filter(bool)
            return st.builds(Selector, name=st.just(name), argument=numbers)
        return st.just(Selector(name=name))

    return st.sampled_from(names).flatmap(of)


_ATOMS = st.one_of(
    _selectors([name for name in SELECTORS if name != "other_touches"]),
    st.builds(Channel, names=st.lists(TEXTS, min_size=1, max_size=3).map(tuple)),
    st.builds(Age, comparison=st.sampled_from(COMPARISONS), duration=_DURATIONS),
)
CONDITIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.builds(Not, condition=inner),
        st.lists(inner, min_size=2, max_size=3).map(both),
        st.lists(inner, min_size=2, max_size=3).map(either),
    ),
    max_leaves=6,
)
_SHARINGS = st.just(Equally()) | st.builds(Recency, half_life=_DURATIONS)
_WEIGHTS = st.one_of(
    st.fractions(Fraction(1, 10**6), 1000, max_denominator=10**6),
    st.integers(1, 10**9).map(lambda millionths: Fraction(millionths, 10**6)),
)
_ASIDE = st.one_of(
    st.builds(Describe, text=TEXTS),
    st.builds(Lookback, duration=_DURATIONS),
    st.builds(Exclude, condition=CONDITIONS),
)


@st.composite
def _credits(draw):
    whom = draw(
        st.lists(
            st.tuples(_selectors(SELECTORS), st.none() | CONDITIONS),
            min_size=1,
            max_size=5,
            unique=True,
        )
    )
    parts = draw(st.lists(st.integers(1, 99), min_size=len(whom), max_size=len(whom)))
    given = [
        CreditTo(
            selector=selector,
            condition=condition,
            weight=Fraction(part, sum(parts)),
            sharing=None if selector.single else draw(_SHARINGS),
        )
        for (selector, condition), part in zip(whom, parts, strict=True)
    ]
    ends = st.sampled_from(["first_touch", "last_touch"])
    fallback = st.builds(Selector, name=ends) | _SHARINGS
    return [*given, Otherwise(share=draw(fallback))]


@st.composite
def _weights(draw):
    factors = draw(
        st.lists(st.builds(WeightBy, condition=CONDITIONS, weight=_WEIGHTS), max_size=5)
    )
    sharings = st.just(Proportionally()) | st.builds(Recency, half_life=_DURATIONS)
    if not factors:
        sharings |= st.just(Equally())
    return [*factors, Distribute(sharing=draw(sharings))]


@st.composite
def programs(draw):
    """Return any valid program, comments and all."""
    statements = [*draw(st.lists(_ASIDE, max_size=3)), *draw(_credits() | _weights())]
    statements = draw(st.permutations(statements))
    kinds = set()
    lines = []
    for statement in statements:
        if statement.kind in ONCE & kinds:
            continue
        kinds.add(statement.kind)
        lines.append(Line(statement=statement, comments=draw(_COMMENTS)))
    return Program(
        name=draw(TEXTS),
        lines=tuple(lines),
        comments=draw(_COMMENTS),
        end=draw(_COMMENTS),
        after=tuple(draw(st.lists(_NOTES, max_size=2))),
    )


@st.composite
def journeys(draw):
    """Return any journey of a conversion, with ties and milestones."""
    ages_ms = sorted(
        draw(st.lists(st.integers(0, 90) | st.integers(0, 90 * DAY_MS), min_size=1)),
        reverse=True,
    )
    channels = st.sampled_from(["direct", "email", "paid_search"])
    milestones = st.dictionaries(
        st.sampled_from(["mql", "sql"]), st.integers(-5, 95 * DAY_MS)
    )
    return Journey(
        tuple(draw(channels) for _ in ages_ms),
        [CONVERTED_AT_MS - age_ms for age_ms in ages_ms],
        CONVERTED_AT_MS,
        None,
        {name: CONVERTED_AT_MS - age_ms for name, age_ms in draw(milestones).items()},
    )

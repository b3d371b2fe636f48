"""What data-driven models learn from: the journeys of everybody, bought or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from functools import partial
from typing import Final

from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.models import Model
from mbuzz.server.attribution.paths import PathTable
from mbuzz.server.model import Tenant
from mbuzz.server.storage.model_port import LearnedJourney, Link, Visit
from mbuzz.server.storage.port import Storage, Stores

_CONVERSIONS: Final = 2_000  # read at a time
_VISITS: Final = 20_000

# A user under all ids, or a browser of which nobody knows whose it is.
_Person = tuple[str, int]


def learn(
    storage: Storage, tenant: Tenant, model: Model, lookback_ms: int, now_ms: int
) -> Generator[None, None, PathTable]:
    """Return all journeys as *model* sees them; each step reads some.

    A conversion's journey is the one it was credited by. Somebody's who has not
    converted, or not since, is what came after that in the window up to now.
    *lookback_ms* is the window of models without one of their own; 0 is no limit.
    """
    table = PathTable()
    after = 0
    while journeys := storage.read(
        partial(_journeys, tenant=tenant, after=after, most=_CONVERSIONS)
    ):
        after = journeys[-1].conversion
        for journey in journeys:
            _add(table, model, _converted(journey), converted=True)
        yield
    window_ms = lookback_ms if model.lookback_ms is None else model.lookback_ms
    from_ms = now_ms - window_ms if window_ms else -1
    people = storage.read(partial(_people, tenant=tenant))
    after = 0
    until: int | None = 0
    while until is not None:
        until, visits = storage.read(
            partial(_visits, tenant=tenant, after=after, from_ms=from_ms)
        )
        people.see(visits)
        after = until or after
        for path in people.of_browsers():
            _add(table, model, Journey(path, ()), converted=False)
        yield
    for path in people.of_users():
        _add(table, model, Journey(path, ()), converted=False)
    return table


def _add(table: PathTable, model: Model, journey: Journey, *, converted: bool) -> None:
    positions = model.sees(journey)
    if positions:
        path = tuple(journey.channels[position] for position in positions)
        table.add(path, conversions=int(converted), nulls=int(not converted))


def _converted(journey: LearnedJourney) -> Journey:
    """Return a conversion's journey, its times counted from the conversion."""
    times_ms = [-before_ms for before_ms in journey.before_ms]
    return Journey(journey.channels, times_ms, 0)


def _journeys(
    stores: Stores, *, tenant: Tenant, after: int, most: int
) -> Sequence[LearnedJourney]:
    return stores.models.learned_journeys(tenant, after, most)


def _visits(
    stores: Stores, *, tenant: Tenant, after: int, from_ms: int
) -> tuple[int | None, Sequence[Visit]]:
    """Return visits of whole visitors and the last of these; None if of all others."""
    until = stores.models.next_visitor(tenant, after, _VISITS)
    last = until if until is not None else 2**63 - 1
    return until, stores.models.visits(tenant, after, last, from_ms)


def _people(stores: Stores, *, tenant: Tenant) -> People:
    return People(stores.models.links(tenant), stores.models.latest_conversions(tenant))


class People:
    """Whose visits are whose, and which of them came after the last conversion."""

    def __init__(
        self,
        links: Sequence[Link],
        conversions: Sequence[tuple[int | None, int | None, int]],
    ) -> None:
        self._links: dict[int, list[Link]] = defaultdict(list)
        for link in links:
            self._links[link.visitor].append(link)
        self._latest: dict[_Person, int] = {}
        for identity, visitor, at_ms in conversions:
            if identity is not None:
                person = ("user", identity)
            elif visitor is not None:
                person = self._whose(visitor, at_ms)
            else:
                continue
            self._latest[person] = max(at_ms, self._latest.get(person, at_ms))
        self._browsers: dict[int, list[str]] = defaultdict(list)
        self._users: dict[int, list[tuple[int, str]]] = defaultdict(list)

    def _whose(self, visitor: int, at_ms: int) -> _Person:
        for link in self._links.get(visitor, ()):
            if link.from_ms <= at_ms and (
                link.until_ms is None or at_ms < link.until_ms
            ):
                return "user", link.identity
        return "visitor", visitor

    def see(self, visits: Sequence[Visit]) -> None:
        """Take visits in, in the order of their visitors and times."""
        for visitor, started_at_ms, channel in visits:
            person = self._whose(visitor, started_at_ms)
            if started_at_ms <= self._latest.get(person, -1):
                continue
            if person[0] == "user":
                self._users[person[1]].append((started_at_ms, channel))
            else:
                self._browsers[visitor].append(channel)

    def of_browsers(self) -> list[tuple[str, ...]]:
        """Return, once, the channels of each browser that nobody was known in."""
        paths = [tuple(path) for path in self._browsers.values()]
        self._browsers.clear()
        return paths

    def of_users(self) -> list[tuple[str, ...]]:
        """Return the channels of each user's visits, on every device."""
        return [
            tuple(channel for _, channel in sorted(visits))
            for visits in self._users.values()
        ]

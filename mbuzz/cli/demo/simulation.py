"""Who comes to the shop, from where, when, and what they buy: all from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal

DAYS = 27  # the backend takes events up to 30 days old
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000

PRICES = {
    "trail-shoes": Decimal("129.90"),
    "road-shoes": Decimal("99.50"),
    "rain-jacket": Decimal("189.00"),
    "cap": Decimal("24.95"),
    "socks": Decimal("12.30"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a visit comes from; the backend must find the channel by itself."""

    name: str
    query: str = ""
    referrer: str = ""
    first: int = 0  # weight among first visits
    later: int = 0  # weight among later ones


SOURCES = (
    Source(
        name="Google ads",
        query="utm_source=google&utm_medium=cpc&utm_campaign=autumn_shoes&gclid={id}",
        referrer="https://www.google.com/",
        first=26,
        later=8,
    ),
    Source(
        name="organic search",
        referrer="https://www.google.com/",
        first=16,
        later=8,
    ),
    Source(name="organic search", referrer="https://duckduckgo.com/", first=4, later=2),
    Source(
        name="newsletter",
        query="utm_source=newsletter&utm_medium=email&utm_campaign=weekly_{week}",
        first=2,
        later=26,
    ),
    Source(
        name="paid social",
        query="utm_source=facebook&utm_medium=paid_social&utm_campaign=lookalike",
        referrer="https://m.facebook.com/",
        first=16,
        later=4,
    ),
    Source(name="social", referrer="https://www.instagram.com/", first=10, later=4),
    Source(name="AI assistant", referrer="https://chatgpt.com/", first=7, later=2),
    Source(name="AI assistant", query="utm_source=perplexity.ai", first=3, later=1),
    Source(
        name="referral",
        referrer="https://running-notes.example/best-shoes",
        first=8,
        later=2,
    ),
    Source(name="direct", first=8, later=34),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A purchase; a visitor may send the same one twice by a double click."""

    id: str
    items: tuple[str, ...]
    sent_twice: bool = False

    @property
    def amount(self) -> Decimal:
        """Return what it costs."""
        return sum((PRICES[item] for item in self.items), Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One visit: where from, which pages, and what happened at its end."""

    at_ms: int
    device: int  # a person may have several, each with its own cookies
    source: Source
    query: str
    pages: tuple[str, ...]
    sign_up: bool = False
    log_in: bool = False
    order: Order | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who comes once or several times."""

    number: int
    visits: tuple[Visit, ...]

    @property
    def user_id(self) -> str:
        """Return the shop's id for the person, once signed up."""
        return f"customer-{self.number}"


def people(count: int, seed: int, now_ms: int) -> list[Person]:
    """Return *count* people whose visits end before *now_ms*, in UTC milliseconds.

    The same *count* and *seed* give the same people, shifted to the present.
    """
    rng = random.Random(seed)
    return [_person(number, rng, now_ms) for number in range(1, count + 1)]


def _person(number: int, rng: random.Random, now_ms: int) -> Person:
    visits: list[Visit] = []
    at_ms = now_ms - DAYS * _DAY_MS + rng.randrange((DAYS - 1) * _DAY_MS)
    interest = rng.random()
    signed_up = False
    for index in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 5))):
        if index:
            at_ms += rng.randrange(40 * _MINUTE_MS, 6 * _DAY_MS)
        if at_ms > now_ms - 60 * _MINUTE_MS:
            break
        device = int(signed_up and rng.random() < 0.2)
        source = _pick(rng, later=bool(index))
        buys = rng.random() < 0.06 + 0.12 * index + 0.18 * interest * (index > 0)
        signs_up = not signed_up and (buys or rng.random() < 0.12)
        visits.append(
            Visit(
                at_ms=at_ms,
                device=device,
                source=source,
                query=source.query.format(
                    id=f"g{rng.randrange(10**9)}", week=1 + index
                ),
                pages=_pages(rng),
                sign_up=signs_up,
                log_in=signed_up and (device == 1 or buys),
                order=_order(number, index, rng) if buys else None,
            )
        )
        signed_up = signed_up or signs_up
    return Person(number=number, visits=tuple(visits))


def _pick(rng: random.Random, *, later: bool) -> Source:
    weights = [source.later if later else source.first for source in SOURCES]
    return rng.choices(SOURCES, weights)[0]


def _pages(rng: random.Random) -> tuple[str, ...]:
    names = list(PRICES)
    return tuple(f"/products/{rng.choice(names)}" for _ in range(rng.randrange(3)))


def _order(number: int, index: int, rng: random.Random) -> Order:
    items = tuple(rng.choice(list(PRICES)) for _ in range(rng.choice((1, 1, 2, 3))))
    return Order(
        id=f"order-{number}-{index}", items=items, sent_twice=rng.random() < 0.05
    )

"""What the report page is asked, in its URL, and what is found for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import urlencode

from mbuzz.server import money
from mbuzz.server.model import Tenant
from mbuzz.server.model_definitions import Models
from mbuzz.server.reporting.channels import ChannelReport, channel_report
from mbuzz.server.reporting.period import Period
from mbuzz.server.storage.port import Stores
from mbuzz.server.storage.rows.accounts import Account

QUICK_PERIODS = (7, 30, 90)  # days
SHOWN_MODELS = ("first_touch", "last_touch", "linear")  # if nobody chose
_MOST_MODELS = 4  # side by side; there are as many colors


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The state of the page as its URL has it, nothing checked yet."""

    environment: str = ""
    first: str = ""
    last: str = ""
    currency: str = ""
    models: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """Read a query; all of it may be left out."""
        environment = query.get("env", "")
        return cls(
            environment=environment if environment in ("live", "test") else "",
            first=query.get("from", "").strip(),
            last=query.get("to", "").strip(),
            currency=query.get("currency", "").strip(),
            models=tuple(filter(None, query.get("models", "").split(",")))[
                :_MOST_MODELS
            ],
        )

    @property
    def path(self) -> str:
        """Return the page's path in this state."""
        state = {
            "env": self.environment,
            "from": self.first,
            "to": self.last,
            "currency": self.currency,
            "models": ",".join(self.models),
        }
        query = urlencode(
            {name: value for name, value in state.items() if value}, safe=","
        )
        return f"/?{query}" if query else "/"

    def in_environment(self, *, live: bool) -> Asked:
        """Return the same question about the other, or the same, data."""
        return replace(self, environment="live" if live else "test")

    def with_model(self, model: str) -> Asked:
        """Return the same question with one more model; the first makes room for it."""
        shown = self.models or SHOWN_MODELS
        return replace(self, models=(*shown, model)[-_MOST_MODELS:])

    def without_model(self, model: str) -> Asked:
        """Return the same question with one model less."""
        shown = self.models or SHOWN_MODELS
        return replace(self, models=tuple(name for name in shown if name != model))

    def in_period(self, first: date, last: date) -> Asked:
        """Return the same question about other days."""
        return replace(self, first=first.isoformat(), last=last.isoformat())


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What storage knows about it; without a report, *problem* says why."""

    asked: Asked
    live: bool
    has_events: bool
    today: date
    models: Models
    report: ChannelReport | None = None
    problem: str | None = None

    def quick_period(self, days: int) -> tuple[date, date]:
        """Return the first and the last of so many days up to today."""
        return self.today - timedelta(days=days - 1), self.today


def find(stores: Stores, account: Account, asked: Asked, now_ms: int) -> Found:
    """Answer a question, from the data of *account* alone.

    Live data is the default, unless there is only test data so far.
    """
    has_events = {
        live: stores.reports.has_events(Tenant(account.id, live))
        for live in (True, False)
    }
    live = has_events[True] or not has_events[False]
    if asked.environment:
        live = asked.environment == "live"
    found = Found(
        asked=asked,
        live=live,
        has_events=has_events[live],
        models=account.policy.models,
        today=Period.parse(None, None, account.timezone, now_ms).last,
    )
    try:
        report = channel_report(
            stores.reports,
            Tenant(account.id, live),
            Period.parse(asked.first, asked.last, account.timezone, now_ms),
            default_currency=account.currency,
            currency=money.currency_code(asked.currency) if asked.currency else None,
            models=asked.models or SHOWN_MODELS,
            known=account.policy.models,
        )
    except ValueError as error:
        return replace(found, problem=str(error))
    return replace(found, report=report)

"""A shop whose visitors come, buy and leave, over HTTP, with its jobs at hand."""

import json
from datetime import UTC, datetime, timedelta

from mbuzz.clock import iso, to_ms
from mbuzz.server.app import scheduler
from mbuzz.server.ingestion import keys
from tests.server.conftest import Caller

NOW = datetime(2026, 11, 20, 10, 35, tzinfo=UTC)
SOURCES = {
    "paid_search": "?utm_source=google&utm_medium=cpc",
    "email": "?utm_source=newsletter&utm_medium=email",
    "paid_social": "?utm_source=facebook&utm_medium=paid_social",
    "direct": "",
}


class ModelShop:
    """What a shop says, and what its account asks."""

    def __init__(self, app, clock, *, live=False):
        self.app = app
        self.clock = clock
        self.jobs = scheduler(app.storage, clock)

        def new_key(stores):
            account = stores.accounts.accounts()[0]
            return keys.create(
                stores.accounts,
                account,
                live=live,
                name="x",
                now_ms=1,
                scopes={"ingest", "read", "admin", "import"},
            )[1]

        self.key = app.storage.write(new_key)
        self.caller = Caller(app, self.key)

    def at(self, days):
        """Return the moment so many days ago."""
        return iso(to_ms(NOW - timedelta(days=days)))

    def visit(self, visitor, channel, days, **fields):
        """Have somebody come so many days ago."""
        url = f"https://shop.example/{SOURCES[channel]}"
        return self.event("page_view", visitor, days, properties={"url": url}, **fields)

    def event(self, event_type, visitor, days, **fields):
        item = {
            "event_type": event_type,
            "visitor_id": visitor,
            "timestamp": self.at(days),
            **fields,
        }
        answered = self.caller.post("/events", {"events": [item]})
        assert answered.json()["accepted"] == 1, answered.body
        return answered.json()["events"][0]

    def journey(self, visitor, *channels, days=1.0):
        """Have somebody come by each of the channels, a day apart, so long ago."""
        for index, channel in enumerate(channels):
            self.visit(visitor, channel, days + len(channels) - 1 - index)

    def buy(self, visitor, days=0.5, revenue="30.00", **fields):
        sale = {
            "conversion_type": "purchase",
            "visitor_id": visitor,
            "revenue": revenue,
            "converted_at": self.at(days),
            **fields,
        }
        return self.caller.post("/conversions", sale).json()

    def asked(self, method, path, body=None, status=200):
        """Ask under the prefix of models; check the status and return the answer."""
        text = b"" if body is None else json.dumps(body).encode()
        answered = self.caller.send(method, f"/api/v1/attribution_models{path}", text)
        assert answered.status == status, answered.body
        return answered.json()

    def work(self):
        """Do all that is due, a little later."""
        self.clock.advance(5)
        return {one.name: one.said for one in self.jobs.run_due() if one.said}

    def credits_of(self, sold, model):
        """Return channel and credit of a conversion under a model."""
        full = self.caller.get(f"/conversions/{sold['conversion_id']}").json()
        return [
            (credit["channel"], round(credit["credit"], 6))
            for credit in full["attribution_credits"].get(model, [])
        ]

    def report(self, *models):
        query = f"?model={','.join(models)}" if models else ""
        return self.caller.get(f"/reports/channels{query}").json()

    def column(self, model):
        """Return what each channel has under a model, by the report."""
        rows = self.report(model)["rows"]
        found = {row["channel"]: row["credits"][model]["conversions"] for row in rows}
        return {channel: count for channel, count in found.items() if count != "0.00"}

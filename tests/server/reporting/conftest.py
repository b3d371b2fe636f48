"""A database in memory and a shop that sells in several currencies."""

from itertools import count

import pytest

from mbuzz.server import money
from mbuzz.server.model import ConversionCall, RefundCall, Tenant, TrackCall
from mbuzz.server.policy import DEFAULT
from mbuzz.server.reporting.channels import channel_report
from mbuzz.server.reporting.period import Period
from mbuzz.server.storage.connection import owner
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.refunds import refund

SITE = "https://shop.example/"
LINKS = {
    "direct": SITE,
    "paid_search": SITE + "?utm_source=google&utm_medium=cpc",
    "email": SITE + "?utm_source=news&utm_medium=email",
    "display": SITE + "?utm_source=ads&utm_medium=display",
    "affiliates": SITE + "?utm_source=p&utm_medium=affiliate",
}
NOON = 1_763_640_000_000  # 2025-11-20T12:00:00Z


class Shop:
    """Sells, and reports what it sold."""

    def __init__(self, storage, tenant):
        self.storage = storage
        self.tenant = tenant
        self._number = 0

    def _do(self, calls):
        def work(stores):
            for call in calls:
                process(stores.tracking, self.tenant, DEFAULT, call)

        self.storage.write(work)

    def _next(self):
        self._number += 1
        return self._number

    def visit(self, channel, at_ms=NOON, visitor=None):
        number = self._next()
        self._do(
            [
                TrackCall(
                    event_id=f"evt_{number}",
                    event_type="page_view",
                    visitor_id=visitor or f"v{number}",
                    user_id=None,
                    session_id=None,
                    occurred_at_ms=at_ms,
                    received_at_ms=at_ms,
                    url=LINKS[channel],
                )
            ]
        )

    def sell(self, minor, currency, journey, at_ms=NOON):
        """Sell to somebody who came by way of *journey*, an hour apart."""
        number = self._next()
        visitor = f"buyer{number}"
        for hours, channel in enumerate(reversed(journey)):
            self.visit(channel, at_ms - hours * 3_600_000, visitor)
        self._do(
            [
                ConversionCall(
                    conversion_id=f"conv_{number:08}",
                    dedupe_key=None,
                    conversion_type="purchase",
                    visitor_id=visitor,
                    user_id=None,
                    event_id=None,
                    revenue_minor=minor,
                    currency=currency,
                    converted_at_ms=at_ms,
                    received_at_ms=at_ms,
                )
            ]
        )

    def refund(self, number, minor, at_ms=NOON):
        """Give back *minor* of the sale *number*, counted from 1."""

        def work(stores):
            rows = stores.tracking._db.rows(
                "SELECT id FROM conversions WHERE account_id = :account_id"
                " AND live = :live ORDER BY id LIMIT 1 OFFSET :skip",
                {**owner(self.tenant), "skip": number - 1},
            )
            sale = stores.tracking.conversion(self.tenant, rows[0][0])
            call = RefundCall(
                refund_id=f"r{self._next()}",
                amount=money.text(minor, sale.currency),
                reason=None,
                refunded_at_ms=at_ms,
                received_at_ms=at_ms,
            )
            refund(stores.tracking, self.tenant, DEFAULT, sale, call)

        self.storage.write(work)

    def report(self, first="2025-11-01", last="2025-11-30", zone="UTC", **options):
        period = Period.parse(first, last, zone, NOON)
        return self.storage.read(
            lambda stores: channel_report(
                stores.reports,
                self.tenant,
                period,
                **{"default_currency": "USD", **options},
            )
        )


@pytest.fixture(scope="session")
def new_shop():
    """Return a maker of shops, each of a new account."""
    storage = SqliteStorage(":memory:")
    accounts = count(1)
    yield lambda live=True: Shop(storage, Tenant(next(accounts), live=live))
    storage.close()


@pytest.fixture
def shop(new_shop):
    return new_shop()

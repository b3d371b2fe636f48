"""The real pipeline on a database in memory, called without HTTP."""

from itertools import count

import pytest

from mbuzz.server.model import (
    AliasCall,
    ConversionCall,
    GroupCall,
    IdentifyCall,
    RefundCall,
    Tenant,
    TrackCall,
)
from mbuzz.server.policy import DEFAULT
from mbuzz.server.storage.sqlite import SqliteStorage
from mbuzz.server.tracking.intake import Batch, Intake
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.refunds import refund, void
from tests.server.tracking.visits import HITS as PAGES

HITS = {**PAGES, "server": (None, None)}  # an event without a page

START = 1_750_000_000_000  # minute 0 of every test


def at(minute):
    """Return a moment in UTC milliseconds; *minute* may be "29:59.999"."""
    if isinstance(minute, str):
        minutes, _, seconds = minute.partition(":")
        return START + int(minutes) * 60_000 + round(float(seconds) * 1000)
    return START + round(minute * 60_000)


class Shop:
    """One environment of one account, and what its clients say."""

    def __init__(self, storage, tenant):
        self.storage = storage
        self.tenant = tenant
        self.policy = DEFAULT
        self._numbers = count(1)

    def do(self, call):
        """Carry out one call in a transaction of its own."""
        return self.take(call, self.policy, "one by one")

    def take(self, call, policy, way):
        """Carry out one call ``one by one`` or ``in a batch``."""
        if way == "one by one":
            return self.write(
                lambda stores: process(stores.tracking, self.tenant, policy, call)
            )
        batch = Batch(self.tenant, policy, [call])
        return self.write(lambda stores: Intake().record(stores, [batch]))[0][0]

    def write(self, work):
        return self.storage.write(work)

    def rows(self, sql, **values):
        """Return rows of a query; `$tenant` stands for the condition."""
        owner = {"account_id": self.tenant.account_id, "live": int(self.tenant.live)}
        sql = sql.replace("$tenant", "account_id = :account_id AND live = :live")
        return self.storage.read(
            lambda stores: stores.tracking._db.rows(sql, {**owner, **values})
        )

    def column(self, columns, table):
        """Return a value of each row, the oldest first; tuples if there are several."""
        found = self.rows(f"SELECT {columns} FROM {table} WHERE $tenant ORDER BY id")
        return [row[0] if len(row) == 1 else row for row in found]

    def event(self, visitor, minute, name="-", **fields):
        url, referrer = HITS[name]
        if visitor is None and not fields.get("user_id"):
            raise AssertionError("an event needs a person")
        return TrackCall(
            **{
                "event_id": f"evt_{next(self._numbers)}",
                "event_type": "job_done" if url is None else "page_view",
                "visitor_id": visitor,
                "user_id": None,
                "session_id": None,
                "occurred_at_ms": at(minute),
                "received_at_ms": at(minute),
                "url": url,
                "referrer": referrer,
                **fields,
            }
        )

    def visit(self, visitor, minute, name="-", **fields):
        return self.do(self.event(visitor, minute, name, **fields))

    def identify(self, user, visitor=None, minute=0, **traits):
        return self.do(
            IdentifyCall(
                user_id=user, visitor_id=visitor, traits=traits, at_ms=at(minute)
            )
        )

    def alias(self, user, previous, minute=0):
        return self.do(AliasCall(user_id=user, previous_id=previous, at_ms=at(minute)))

    def group(
        self, group_id, minute=0, user=None, visitor=None, call_id=None, **traits
    ):
        return self.do(
            GroupCall(
                call_id=call_id,
                group_id=group_id,
                user_id=user,
                visitor_id=visitor,
                traits=traits,
                at_ms=at(minute),
            )
        )

    def conversion(self, minute, visitor=None, user=None, revenue=1000, **fields):
        number = next(self._numbers)
        return ConversionCall(
            **{
                "conversion_id": f"conv_{number:08}",
                "dedupe_key": None,
                "conversion_type": "purchase",
                "visitor_id": visitor,
                "user_id": user,
                "event_id": None,
                "revenue_minor": revenue,
                "currency": None,
                "converted_at_ms": at(minute),
                "received_at_ms": at(minute),
                **fields,
            }
        )

    def convert(self, minute, visitor=None, user=None, revenue=1000, **fields):
        return self.do(self.conversion(minute, visitor, user, revenue, **fields))

    def stored(self, recorded):
        """Return a conversion as it is now."""
        row = recorded.conversion.id
        return self.storage.read(
            lambda stores: stores.tracking.conversion(self.tenant, row)
        )

    def refund(self, recorded, amount=None, refund_id="r1", minute=0, reason=None):
        """Give back *amount*, decimal text, of a conversion."""
        call = RefundCall(
            refund_id=refund_id,
            amount=amount,
            reason=reason,
            refunded_at_ms=at(minute),
            received_at_ms=at(minute),
        )
        row = recorded.conversion.id
        return self.write(
            lambda stores: refund(
                stores.tracking,
                self.tenant,
                self.policy,
                stores.tracking.conversion(self.tenant, row),
                call,
            )
        )

    def void(self, recorded, minute=0, reason=None):
        """Take a conversion out of all counts."""
        row = recorded.conversion.id
        return self.write(
            lambda stores: void(
                stores.tracking,
                self.tenant,
                self.policy,
                stores.tracking.conversion(self.tenant, row),
                at(minute),
                reason,
            )
        )

    def refunded(self, recorded, model="linear"):
        """Return what refunds take back: channel and millionths, refund by refund."""
        return self.rows(
            "SELECT refund_credits.channel, revenue FROM refund_credits"
            " WHERE $tenant AND conversion = :id AND model = :model"
            " ORDER BY refund, position",
            id=recorded.conversion.id,
            model=model,
        )

    def journey(self, recorded):
        """Return the channels that a conversion is credited to now, by "linear"."""
        return [
            channel
            for (channel,) in self.rows(
                "SELECT channel FROM credits WHERE $tenant AND model = 'linear'"
                " AND conversion = :id ORDER BY position",
                id=recorded.conversion.id,
            )
        ]

    def sessions(self):
        """Return the channels of all sessions, the oldest first."""
        found = self.rows(
            "SELECT channel FROM sessions WHERE $tenant"
            " ORDER BY started_at_ms, last_event_at_ms"
        )
        return [channel for (channel,) in found]


@pytest.fixture(scope="session")
def memory():
    """One database for all tests: each has accounts of its own in it."""
    storage = SqliteStorage(":memory:")
    yield storage
    storage.close()


@pytest.fixture(scope="session")
def new_shop(memory):
    """Return a maker of shops, each of a new account."""
    accounts = count(1)
    return lambda: Shop(memory, Tenant(next(accounts), live=True))


@pytest.fixture
def shop(new_shop):
    return new_shop()

"""A shop with people in it, and everything that is stored of them."""

import json
from itertools import count

from mbuzz.server.model import Tenant
from mbuzz.server.policy import DEFAULT
from mbuzz.server.privacy.erasure import erase
from mbuzz.server.privacy.export import export
from mbuzz.server.tracking.intake import Batch, Intake
from mbuzz.testing import ManualClock
from tests.server.tracking.conftest import START, Shop, at

DAY = 24 * 60
DAY_MS = 86_400_000

_accounts = count(1)


class Backend:
    """A storage with a clock, and the shops in it."""

    def __init__(self, storage, *, at_once=False):
        self.storage = storage
        self.at_once = at_once
        self.clock = ManualClock(START + 40 * DAY_MS)
        self.shops = 0

    def shop(self, **settings):
        """Return the shop of a new account that has chosen *settings*."""
        self.shops += 1
        number, now = self.shops, self.clock.now_ms()

        def work(stores):
            account = stores.accounts.create_account(
                f"Shop {number}", f"acct_{number}", "USD", "UTC", now
            )
            stores.accounts._db.run(
                "UPDATE accounts SET settings = :settings WHERE id = :id",
                {"id": account.id, "settings": json.dumps(settings)},
            )
            return account.id

        return PrivateShop(self, Tenant(self.storage.write(work), live=True))

    def sql(self, statement, **values):
        """Run a statement on the database and return its rows."""
        return self.storage.write(
            lambda stores: list(stores.privacy._db.rows(statement, values))
        )

    def dump(self, account_id=None):
        """Return every row of every table, all or those of one account."""
        found = {}
        for (table,) in self.sql(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            " AND name NOT LIKE 'sqlite_%' ORDER BY name"
        ):
            names = [row[1] for row in self.sql(f"PRAGMA table_info({table})")]
            if account_id is not None and "account_id" not in names:
                continue
            where = "" if account_id is None else f"WHERE account_id = {account_id}"
            rows = self.sql(f"SELECT * FROM {table} {where}")
            found[table] = [dict(zip(names, row, strict=True)) for row in rows]
        return found


class PrivateShop(Shop):
    """A shop whose visitors ask for their data."""

    def __init__(self, backend, tenant):
        super().__init__(backend.storage, tenant)
        self.backend = backend
        self.clock = backend.clock
        self.intake = Intake()

    def do(self, call):
        if not self.backend.at_once:
            return super().do(call)
        batch = Batch(self.tenant, DEFAULT, [call])
        return self.write(lambda stores: self.intake.record(stores, [batch])[0][0])

    def find(self, *, user=None, visitor=None, email=None):
        def find(stores):
            if user is not None:
                return stores.privacy.person_of_user(self.tenant, user)
            if visitor is not None:
                return stores.privacy.person_of_visitor(self.tenant, visitor)
            return stores.privacy.person_of_email(self.tenant, email)

        return find

    def erase(self, **who):
        ((kind, text),) = who.items()
        named = None if kind == "email" else (kind, text)
        find = self.find(**who)
        return erase(self.storage, self.clock, self.tenant, find, named, "key key_1")

    def export(self, after=0, **who):
        find = self.find(**who)
        return self.storage.read(
            lambda stores: export(
                stores, self.tenant, find(stores), self.clock.now_ms(), after
            )
        )

    def dump(self):
        return self.backend.dump(self.tenant.account_id)

    def report(self):
        """Return the sums of all time: by model and channel, and the totals."""

        def read(stores):
            period = (self.tenant, 0, 2**60, "USD")
            models = stores.reports.credited_models(self.tenant)
            sums = stores.reports.channel_sums(*period, models)
            totals = stores.reports.totals(*period)
            return sums, totals.conversions, totals.revenue_minor

        return self.storage.read(read)


__all__ = ["DAY", "DAY_MS", "START", "Backend", "PrivateShop", "at"]

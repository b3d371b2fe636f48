"""What of the data deserves a look (backend.md 14, B8)."""

import pytest

from mbuzz.server.model import ConversionCall, Tenant, TrackCall
from mbuzz.server.policy import DEFAULT
from mbuzz.server.reporting.period import Period
from mbuzz.server.reporting.quality import data_quality
from mbuzz.server.tracking.identity import identify
from mbuzz.server.tracking.processor import process
from tests.server.reporting.conftest import NOON, SITE

MINUTE = 60_000
DAY = 1440 * MINUTE


@pytest.fixture
def track(storage):
    """Return a function that tracks (visitor, time, url, ...) in one transaction."""
    numbers = iter(range(100_000))

    def many(events, live=True):
        def work(stores):
            for visitor, at_ms, url, *fields in events:
                call = TrackCall(
                    event_id=f"e{next(numbers)}",
                    event_type="page_view" if url else "job",
                    visitor_id=visitor,
                    user_id=None,
                    session_id=None,
                    occurred_at_ms=at_ms,
                    received_at_ms=at_ms,
                    url=url,
                    **(fields[0] if fields else {}),
                )
                process(stores.tracking, Tenant(1, live), DEFAULT, call)

        storage.write(work)

    return many


@pytest.fixture
def quality(storage):
    def report(first="2025-11-01", last="2025-11-30", live=True):
        period = Period.parse(first, last, "UTC", NOON)
        return storage.read(
            lambda stores: data_quality(stores.reports, Tenant(1, live), period)
        )

    return report


def found(report):
    return {one.flag: (one.count, list(one.examples)) for one in report.findings}


def test_nothing_is_found_in_nothing(quality):
    report = quality()

    assert (report.visits, report.events, report.findings) == (0, 0, [])
    assert report.direct_percent == 0


def test_B8_shares(track, quality):
    track(
        [
            ("v1", NOON, SITE),
            ("v1", NOON + MINUTE, SITE + "a"),
            ("v1", NOON + 60 * MINUTE, SITE, {"referrer": "https://t.co/"}),
            ("v2", NOON, SITE, {"user_agent": "curl/8"}),
        ]
    )

    report = quality()

    assert (report.visits, report.events) == (2, 4)
    assert (report.bot_percent, report.one_event_percent) == (25, 50)
    assert (report.direct_percent, report.visitors_per_1000_visits) == (50, 500)
    assert found(report) == {"bot": (1, [])}


def test_flags_of_events_and_visits_count_once(track, quality):
    track(
        [
            ("v1", NOON, SITE + "?utm_source=x"),
            ("v1", NOON + MINUTE, SITE + "?utm_source=x&utm_medium=cpc"),
            ("v1", NOON + 2 * MINUTE, SITE + "?utm_source=y", {"referrer": SITE}),
            ("v2", NOON, SITE, {"flags": frozenset({"clock_future"})}),
        ]
    )

    assert found(quality()) == {
        "unassigned_channel": (2, []),
        "paid_medium_unknown_source": (1, []),
        "internal_utm": (1, []),
        "clock_future": (1, []),
    }


def test_many_direct_visits_and_no_referrer_at_all(track, quality):
    track([(f"v{n}", NOON, SITE) for n in range(50)])
    assert found(quality()) == {
        "direct_share_high": (50, []),
        "no_referrer_ever": (50, []),
    }

    track(
        [
            (f"w{n}", NOON, SITE, {"referrer": "https://www.google.com/"})
            for n in range(40)
        ]
    )
    assert found(quality()) == {}


def test_application_without_page_events(track, quality):
    track([("v1", NOON, None), ("v2", NOON, None)])

    assert found(quality()) == {"no_url": (2, [])}


def test_several_spellings_of_one_source(track, quality):
    names = ["google-ads", "google_ads", "GoogleAds", "news"]
    track(
        [
            (f"v{n}", NOON, f"{SITE}?utm_source={name}&utm_medium=email")
            for n, name in enumerate(names)
        ]
    )

    assert found(quality()) == {
        "case_variants": (3, ["google-ads, google_ads, googleads"])
    }


def test_unknown_sites_inside_of_visits(track, quality):
    def back(url):
        return SITE + "thanks", {"referrer": url}

    track(
        [
            ("v1", NOON, SITE, {"referrer": "https://first.example/"}),
            ("v1", NOON + MINUTE, *back("https://acs.psp.example/done")),
            ("v1", NOON + 2 * MINUTE, *back(SITE)),
            ("v1", NOON + 3 * MINUTE, *back("https://www.paypal.com/")),
            ("v1", NOON + 4 * MINUTE, *back("https://pay.shop.example/")),
            ("v2", NOON, SITE),
            ("v2", NOON + MINUTE, *back("https://acs.psp.example/other")),
        ]
    )

    assert found(quality()) == {"self_referral_unlisted": (2, ["acs.psp.example"])}


def test_day_with_many_more_visits_of_each_visitor(track, quality):
    track(
        [
            (f"v{n}", NOON - DAY, SITE, {"referrer": "https://www.google.com/"})
            for n in range(60)
        ]
    )
    track(
        [
            (
                f"v{n % 15}",
                NOON + (n // 15) * 60 * MINUTE,
                SITE,
                {"referrer": "https://www.google.com/"},
            )
            for n in range(60)
        ]
    )

    assert found(quality()) == {"session_inflation": (1, [])}


def test_visitor_who_became_somebody_else(storage, track, quality):
    from mbuzz.server.model import IdentifyCall

    track([("v1", NOON, SITE)])
    for user, at_ms in (("u1", NOON), ("u2", NOON + MINUTE)):
        call = IdentifyCall(user_id=user, visitor_id="v1", traits={}, at_ms=at_ms)
        storage.write(
            lambda stores, call=call: identify(stores.tracking, Tenant(1, True), call)
        )

    assert found(quality()) == {"visitor_relinked": (1, [])}


def test_conversions_that_were_not_taken_as_they_were_meant(storage, quality):
    def convert(order, revenue, flags=(), **fields):
        call = ConversionCall(
            conversion_id=f"conv_{order}_{revenue}",
            dedupe_key=order,
            conversion_type="purchase",
            visitor_id="v1",
            user_id=None,
            event_id=None,
            revenue_minor=revenue,
            currency=None,
            converted_at_ms=NOON + int(order),
            received_at_ms=NOON + int(order),
            flags=frozenset(flags),
            **fields,
        )
        storage.write(
            lambda stores: process(stores.tracking, Tenant(1, True), DEFAULT, call)
        )

    convert("1", 100, inherits=True)
    convert("2", 100, ["rounded"], is_acquisition=True)
    convert("2", 200)  # the same order
    convert("3", 100, ["rounded", "clock_future"], is_acquisition=True)

    assert found(quality()) == {
        "rounded": (2, []),
        "clock_future": (1, []),
        "amount_differs": (1, []),
        "already_acquired": (1, []),
        "no_acquisition": (1, []),
    }


def test_other_days_and_other_environments_do_not_count(track, quality):
    track([("v1", NOON, SITE + "?utm_source=x")])

    assert quality(live=False).visits == 0
    assert quality("2025-11-01", "2025-11-19").events == 0
    assert quality("2025-11-20", "2025-11-20").events == 1

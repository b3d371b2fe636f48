"""Erasing people: all of theirs goes, sums stay, nothing comes back (G1-G6, E7)."""

import json
from pathlib import Path

import pytest

from mbuzz.server.privacy import erasure
from mbuzz.server.tracking.processor import EventRecorded, Refused
from tests.server.privacy.people import DAY, DAY_MS, at

KIM = "kim-browser-4711"
ZOE = "zoe-browser-0815"


def live_of(shop):
    """Let two people do everything, each under marked names."""
    for name, browser in (("kim", KIM), ("zoe", ZOE)):
        url = f"https://shop.example/{name}-page?utm_source=x&gclid={name}-click"
        mark = {"name": f"{name}-property"}
        shop.visit(browser, 0, "G")
        shop.visit(
            browser,
            1,
            url=url,
            referrer=f"https://{name}-referrer.example/",
            session_id=f"{name}-session",
            properties=mark,
            event_id=f"{name}-event",
        )
        shop.visit(
            browser, 2, "server", user_id=f"{name}-user", event_type=f"{name}-did"
        )
        shop.visit(None, 3, "server", user_id=f"{name}-user", properties=mark)
        shop.visit(browser, 4, user_agent="Googlebot/2.1", event_id=f"{name}-bot")
        shop.identify(
            f"{name}-user", browser, 5, email=f"{name}@Example.com", name=name
        )
        shop.alias(f"{name}-user", f"{name}-other-id", 6)
        shop.group("company", 7, user=f"{name}-user", call_id=f"{name}-call")
        shop.convert(
            8,
            browser,
            revenue=1999,
            properties=mark,
            dedupe_key=f"{name}-order",
            conversion_id=f"conv_{name}",
        )
        shop.convert(DAY, user=f"{name}-user", revenue=1001)
        shop.storage.write(
            lambda stores, browser=browser, name=name: stores.tracking.save_reply(
                shop.tenant, f"batch of {name}", "d", json.dumps({"v": browser}), at(0)
            )
        )


def mentions(rows, text):
    return [
        (table, row)
        for table, kept in rows.items()
        for row in kept
        if text in json.dumps(row, default=repr).lower()
    ]


def without_calls(rows):
    """Leave out the ids of group calls, which name nobody."""
    return {name: kept for name, kept in rows.items() if name != "group_calls"}


def test_nothing_that_names_an_erased_person_is_left_in_any_table(shop):
    live_of(shop)
    assert mentions(shop.dump(), "kim")

    done = shop.erase(user="kim-user")

    assert done.status == "done"
    assert mentions(without_calls(shop.dump()), "kim") == []
    assert mentions(without_calls(shop.dump()), KIM) == []
    assert mentions(shop.dump(), "zoe")


def test_nothing_of_others_is_touched(shop):
    live_of(shop)

    def of_zoe():
        ((visitor,),) = shop.rows(
            "SELECT id FROM visitors WHERE $tenant AND visitor_id = :zoe", zoe=ZOE
        )
        ((identity,),) = shop.rows(
            "SELECT id FROM identities WHERE $tenant AND user_id = 'zoe-user'"
        )
        rows = shop.dump()
        return mentions(rows, "zoe"), [
            (table, row)
            for table, kept in rows.items()
            for row in kept
            if row.get("visitor") == visitor or row.get("identity") == identity
        ]

    before = of_zoe()
    shop.erase(user="kim-user")

    assert of_zoe() == before


def test_erasing_says_how_much_it_was(shop):
    live_of(shop)

    done = shop.erase(user="kim-user")

    assert dict(done.counts) == {
        "events": 5,
        "sessions": 2,
        "conversions_anonymised": 2,
        "links": 2,
        "memberships": 1,
        "visitors": 2,  # one that the second id waited for
        "users": 1,
    }
    assert shop.export(user="zoe-user")["events"]


def test_G2_reports_say_the_same_as_before_to_the_cent(shop):
    live_of(shop)
    before = shop.report()

    shop.erase(user="kim-user")

    assert shop.report() == before
    assert before[1:] == (4, 6000)


def test_G2_anonymous_conversion_keeps_amount_type_time_and_channels(shop):
    shop.visit(KIM, 0, "G")
    bought = shop.convert(5, KIM, dedupe_key="order", properties={"a": "b"})

    shop.erase(visitor=KIM)

    ((public_id, *kept),) = shop.rows(
        "SELECT public_id, dedupe_key, conversion_type, visitor, identity, event,"
        " revenue_minor, currency, converted_at_ms, properties"
        " FROM conversions WHERE $tenant"
    )
    assert public_id != bought.conversion.public_id
    assert kept == [None, "purchase", None, None, None, 1000, "USD", at(5), "{}"]
    assert shop.journey(bought) == ["paid_search"]


def test_G2_credits_of_the_erased_do_not_change_when_more_is_known_of_others(shop):
    shop.visit(KIM, 0, "G")
    shop.identify("u1", KIM, 1)
    bought = shop.convert(5, user="u1")
    shop.erase(visitor=KIM)

    shop.visit("phone", 2, "newsletter")
    shop.identify("u1", "phone", 10)

    assert shop.journey(bought) == ["paid_search"]


def test_G2_conversions_go_too_where_the_account_wants_that(backend):
    shop = backend.shop(erase_conversions="full")
    shop.visit(KIM, 0, "G")
    shop.convert(5, KIM)
    shop.convert(5, ZOE)

    done = shop.erase(visitor=KIM)

    assert done.counts["conversions_deleted"] == 1
    assert shop.report()[1:] == (1, 1000)


def test_j_shared_browser_keeps_the_other_users_part(shop):
    shop.visit("shared", 0, "G")
    shop.identify("u1", "shared", 1)
    shop.visit("own", 2, "newsletter")
    shop.identify("u1", "own", 3)
    shop.identify("u2", "shared", 100)
    shop.visit("shared", 200, "google")
    second = shop.convert(210, user="u2")

    shop.erase(user="u1")

    assert shop.sessions() == ["organic_search"]
    assert shop.rows("SELECT visitor_id FROM visitors WHERE $tenant") == [("shared",)]
    assert shop.rows("SELECT user_id FROM identities WHERE $tenant") == [("u2",)]
    assert shop.journey(second) == ["organic_search"]
    shop.visit("shared", 220, "newsletter")
    assert shop.journey(shop.convert(230, user="u2")) == ["organic_search", "email"]


def test_visit_in_which_the_user_changed_keeps_the_other_users_pages(shop):
    shop.visit("shared", 0, "G")
    shop.identify("u1", "shared", 1)
    shop.identify("u2", "shared", 5)
    shop.visit("shared", 6, "own")
    shop.visit("shared", 7, "own", user_id="u2")

    shop.erase(user="u1")

    assert shop.sessions() == ["direct"]
    assert shop.rows(
        "SELECT page_view_count, started_at_ms FROM sessions WHERE $tenant"
    ) == [(2, at(6))]
    assert shop.rows("SELECT COUNT(DISTINCT session) FROM events WHERE $tenant") == [
        (1,)
    ]


def test_visit_that_falls_apart_leaves_events_without_a_page_in_the_right_part(shop):
    shop.visit("shared", 0, "G")
    for user, minute in (("u1", 1), ("u2", 6), ("u1", 20), ("u2", 45)):
        shop.identify(user, "shared", minute - 1)
        shop.visit("shared", minute, "own", user_id=user)
    shop.visit("shared", 46, "server", user_id="u2")

    shop.erase(user="u1")

    begun = shop.rows("SELECT id, started_at_ms FROM sessions WHERE $tenant")
    home = shop.rows("SELECT session FROM events WHERE $tenant AND url IS NULL")
    assert [dict(begun)[session] for (session,) in home] == [at(45)]


def test_next_user_of_a_shared_browser_does_not_get_what_another_did(shop):
    shop.identify("u1", "shared", 0)
    shop.visit("shared", 1, "G")
    shop.identify("u2", "shared", 100)
    shop.visit("shared", 101, "newsletter")
    shop.identify("u3", "shared", 200)
    shop.erase(user="u3")

    shop.identify("u4", "shared", 300)
    shop.visit("shared", 301, "google")

    assert shop.journey(shop.convert(310, user="u4")) == ["organic_search"]


def test_erasing_a_browser_leaves_its_user(shop):
    shop.visit(KIM, 0, "G")
    shop.visit("phone", 50, "newsletter")
    shop.identify("u1", KIM, 60, email="a@b.example")
    shop.identify("u1", "phone", 61)
    bought = shop.convert(70, KIM, user="u1")

    shop.erase(visitor=KIM)

    assert shop.sessions() == ["email"]
    assert shop.export(user="u1")["users"][0]["traits"] == {"email": "a@b.example"}
    (conversion,) = shop.export(user="u1")["conversions"]
    assert conversion["id"] == bought.conversion.public_id
    assert conversion["visitor_id"] is None


def test_erasing_by_email_erases_every_id_of_the_address(shop):
    shop.identify("u1", "v1", 0, email=" Kim@Example.com")
    shop.identify("u2", "v2", 0, email="kim@example.COM ")
    shop.identify("u3", "v3", 0, email="other@example.com")

    done = shop.erase(email="kim@example.com")

    assert done.counts["users"] == 2
    assert shop.rows("SELECT user_id FROM identities WHERE $tenant") == [("u3",)]


def test_people_of_an_address_are_found_without_their_digests(shop):
    """Those of an older version have none, and neither has what is no address."""
    shop.identify("u1", "v1", 0, email="Kim@Example.com")
    shop.identify("u2", "v2", 0, email="KIM")
    shop.write(
        lambda stores: stores.accounts._db.run(
            "UPDATE identities SET email_hash = NULL WHERE account_id = :account"
            " AND live = :live",
            {"account": shop.tenant.account_id, "live": shop.tenant.live},
        )
    )

    assert shop.erase(email="kim@example.com").counts["users"] == 1
    assert shop.erase(email="kim ").counts["users"] == 1


def test_looking_for_an_address_reads_only_who_may_have_it(shop):
    asked = []
    connection = shop.storage._writer
    connection.set_trace_callback(asked.append)
    shop.write(lambda s: s.privacy.person_of_email(shop.tenant, "kim@example.com"))
    connection.set_trace_callback(None)
    (looked,) = [sql for sql in asked if "email_hash" in sql]

    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {looked}")]

    assert [
        line.split("INDEX ")[1].split(" ")[0] for line in plan if "INDEX" in line
    ] == [
        "identities_by_email",
        "identities_unhashed",
    ]
    assert not any("SCAN" in line for line in plan)


def test_erasing_twice_is_fine_and_unknown_people_are_not_there(shop, backend):
    live_of(shop)
    other = backend.shop()
    other.visit("theirs", 0)

    first, again = shop.erase(user="kim-user"), shop.erase(user="kim-user")

    assert (first.status, again.status) == ("done", "done")
    assert dict(again.counts) == {}
    assert shop.erase(user="nobody") is None
    assert shop.erase(visitor="theirs") is None
    assert shop.erase(email="nobody@example.com") is None
    assert other.sessions() == ["direct"]


# -- nothing comes back


@pytest.fixture
def erased(shop):
    """A shop where u1, with browser and all, was erased just now."""
    shop.visit(KIM, 0, "G", event_id="evt_first")
    shop.identify("u1", KIM, 1)
    shop.convert(2, KIM, conversion_id="conv_first", dedupe_key="order-1")
    shop.visit("shared", 3, event_id="evt_shared")
    shop.identify("u1", "shared", 4)
    shop.identify("u2", "shared", 100)
    shop.erase(user="u1")
    return shop


NOW = 40 * DAY  # when it was


def contents(shop):
    rows = shop.dump()
    return {name: rows[name] for name in rows if name not in ("suppressions", "audit")}


def test_G5_what_still_arrives_for_the_erased_is_answered_and_dropped(erased):
    before = contents(erased)

    answers = [
        erased.visit(KIM, NOW, session_id="s"),
        erased.visit(None, NOW, "server", user_id="u1"),
        erased.visit("new", NOW, user_id="u1"),
        erased.identify("u1", KIM, NOW, email="back@example.com"),
        erased.identify("u9", KIM, NOW),
        erased.alias("u9", "u1", NOW),
        erased.alias("u9", KIM, NOW),
        erased.convert(NOW, KIM),
        erased.convert(NOW, user="u1"),
        erased.convert(NOW, "new", conversion_id="conv_first"),
        erased.convert(NOW, "new", dedupe_key="order-1"),
        erased.convert(NOW, event_id="evt_first"),
    ]

    assert not [answer for answer in answers if isinstance(answer, Refused)]
    assert isinstance(answers[0], EventRecorded)
    assert (answers[0].visitor_id, answers[0].session_id) == (KIM, "s")
    assert contents(erased) == before


def test_E7_late_repeat_of_an_erased_event_of_a_shared_browser_is_dropped(erased):
    before = contents(erased)

    erased.visit("shared", 3, event_id="evt_shared", received_at_ms=at(NOW))

    assert contents(erased) == before


def test_group_call_that_names_the_erased_tells_of_the_group_alone(erased):
    erased.group("company", NOW, user="u1", size=5)

    assert erased.rows("SELECT traits FROM groups WHERE $tenant") == [('{"size":5}',)]
    assert erased.rows("SELECT 1 FROM memberships WHERE $tenant") == []


def test_others_are_not_suppressed(erased):
    erased.visit("shared", NOW, "G")
    erased.visit("u1", NOW + 1, "newsletter")  # a visitor whose id is another's user id
    erased.identify("u2", "v2", NOW)

    assert erased.sessions() == ["paid_search", "email"]


def test_G5_after_thirty_days_the_same_ids_are_new_ones(erased):
    later = NOW + 30 * DAY + 1

    erased.visit(KIM, later, "G")

    assert erased.sessions() == ["paid_search"]


def test_suppressed_ids_cannot_be_read(erased):
    kept = erased.rows("SELECT digest FROM suppressions WHERE $tenant")

    assert {len(digest) for (digest,) in kept} == {32}
    assert KIM not in repr(kept)


# -- much at once, and on disk


def test_G3_large_erasure_is_left_to_the_job(shop, monkeypatch):
    monkeypatch.setattr(erasure, "AT_ONCE", 10)
    for minute in range(0, 40 * 31, 31):
        shop.visit(KIM, minute, "G")
    shop.convert(2000, KIM)
    before = shop.report()

    asked = shop.erase(visitor=KIM)
    again = shop.erase(visitor=KIM)

    assert (asked.status, again.public_id) == ("pending", asked.public_id)
    assert shop.visit(KIM, NOW).visitor_id == KIM  # dropped already
    steps = list(erasure.erase_pending(shop.storage, shop.clock))
    done = shop.storage.read(
        lambda stores: stores.privacy.erasure(shop.tenant, asked.public_id)
    )
    assert len(steps) > 8
    assert done.status == "done"
    assert done.counts == {
        "events": 40,
        "sessions": 40,
        "conversions_anonymised": 1,
        "visitors": 1,
    }
    assert shop.sessions() == []
    assert shop.report() == before


def test_G3_interrupted_erasure_goes_on_where_it_was(shop, monkeypatch):
    monkeypatch.setattr(erasure, "AT_ONCE", 10)
    for minute in range(0, 40 * 31, 31):
        shop.visit(KIM, minute, "G")
    asked = shop.erase(visitor=KIM)
    steps = erasure.erase_pending(shop.storage, shop.clock)
    next(steps)
    steps.close()

    list(erasure.erase_pending(shop.storage, shop.clock))

    done = shop.storage.read(
        lambda stores: stores.privacy.erasure(shop.tenant, asked.public_id)
    )
    assert (done.status, done.counts["events"]) == ("done", 40)


def test_G4_nothing_of_the_erased_stands_in_the_files(file_backend):
    shop = file_backend.shop()
    live_of(shop)
    files = [Path(f"{shop.storage.path}{end}") for end in ("", "-wal")]

    def found(text):
        return any(text in file.read_bytes() for file in files)

    assert found(b"kim-property")
    shop.erase(user="kim-user")

    for text in (b"kim-property", b"kim-page", b"kim-order", KIM.encode()):
        assert not found(text), text
    assert found(b"zoe-property")
    assert not file_backend.storage.read(lambda s: s.privacy.unscrubbed())


def test_journal_that_somebody_reads_is_emptied_later(file_backend):
    shop = file_backend.shop()
    live_of(shop)

    def while_reading(stores):
        stores.tracking.visitor(shop.tenant, KIM)
        shop.erase(user="kim-user")
        return file_backend.storage.read(lambda s: s.privacy.unscrubbed())

    assert file_backend.storage.read(while_reading)
    list(erasure.erase_pending(shop.storage, shop.clock))
    assert not file_backend.storage.read(lambda s: s.privacy.unscrubbed())


def test_G6_audit_says_who_when_and_how_much_but_not_whose(shop):
    live_of(shop)
    shop.erase(user="kim-user")

    ((at_ms, actor, action, details),) = shop.backend.sql(
        "SELECT at_ms, actor, action, details FROM audit WHERE account_id = :id",
        id=shop.tenant.account_id,
    )
    assert (at_ms, actor, action) == (shop.clock.now_ms(), "key key_1", "data.erase")
    assert json.loads(details)["events"] == 5
    assert "kim" not in details


def test_test_data_stays_when_live_data_is_erased(shop):
    live_of(shop)
    twin = type(shop)(shop.backend, shop.tenant._replace(live=False))
    live_of(twin)

    shop.erase(user="kim-user")

    assert twin.export(user="kim-user")["events"]
    assert twin.visit(KIM, DAY_MS).session_id


def test_G2_what_was_said_of_refunds_and_void_orders_goes_as_well(shop):
    shop.visit("v", 0, "G")
    shop.identify("u", "v", 0)
    kept = shop.convert(1, "v", correlation={"flow_id": "secret-flow"})
    shop.refund(kept, "1.00", refund_id="secret-refund", reason="secret-reason")
    shop.void(shop.convert(2, "v"), 3, "secret-void")
    assert json.dumps(shop.dump()).count("secret-") == 4

    shop.erase(user="u")

    left = json.dumps(shop.dump())
    assert "secret-" not in left
    assert len(shop.dump()["refunds"]) == 1  # the sums stay

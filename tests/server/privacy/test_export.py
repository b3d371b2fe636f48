"""Exporting a person: all that is stored of them, and nothing of others (G1)."""

import json

from mbuzz.clock import iso
from mbuzz.server.privacy import export as exporting
from tests.server.privacy.people import at
from tests.server.privacy.test_erasure import KIM, ZOE, live_of

# What an export leaves out, since it says nothing of a person.
NOT_SAID = {
    *("id", "account_id", "live", "visitor", "identity", "session", "event"),
    *("first_event", "last_event", "root_id", "conversion", "id_hour", "member_of"),
    *("attributed_version", "sealed", "frozen", "digest", "request_digest"),
    # How the account counts, and what follows from the rest.
    *("lookback_days", "counting", "counted", "acquires", "inherited_from"),
    *("length", "before_ms", "weight", "version", "refunded_minor", "email_hash"),
}
# Tables that hold no more than ids of calls, or what is said in other places.
NOT_WALKED = {"group_calls", "replies", "audit", "erasures", "suppressions"}


def said_in(value):
    """Yield every plain value that a document has somewhere."""
    if isinstance(value, dict):
        for part in value.values():
            yield from said_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from said_in(part)
    else:
        yield value


def plain(column, value):
    """Yield what a column's value should be called in an export."""
    if value is None or value == "":
        return
    if column.endswith("_ms"):
        if value > 0:
            yield iso(value)
    elif column == "flags":
        yield from value.split()
    elif isinstance(value, str) and value[:1] in "{[":
        yield from said_in(json.loads(value))
    elif column == "revenue_minor":
        yield f"{value // 100}.{value % 100:02}"
    else:
        yield value


def test_everything_stored_of_a_person_is_in_the_export_table_by_table(shop):
    live_of(shop)
    document = shop.export(user="kim-user")
    said = set(said_in(document))
    rows = shop.dump()
    visitors = {
        row["id"]
        for row in rows["visitors"]
        if row["visitor_id"] in (KIM, "kim-other-id")
    }
    (identity,) = [r["id"] for r in rows["identities"] if r["user_id"] == "kim-user"]
    conversions = {
        row["id"]
        for row in rows["conversions"]
        if row["visitor"] in visitors or row["identity"] == identity
    }
    walked = {}
    for table, kept in rows.items():
        for row in kept if table not in NOT_WALKED else ():
            theirs = (
                row.get("visitor") in visitors
                or row.get("identity") == identity
                or row.get("conversion") in conversions
                or (table == "visitors" and row["id"] in visitors)
                or (table == "identities" and row["id"] == identity)
            )
            if theirs:
                walked[table] = walked.get(table, 0) + 1
                for column, value in row.items():
                    if column not in NOT_SAID:
                        missing = set(plain(column, value)) - said
                        assert not missing, (table, column, missing)

    assert walked == {
        "visitors": 2,
        "identities": 1,
        "links": 2,
        "pending_aliases": 1,
        "memberships": 1,
        "sessions": 2,
        "events": 5,
        "conversions": 2,
        "credits": len(shop.rows("SELECT 1 FROM credits WHERE $tenant")) // 2,
    }


def test_nothing_of_others_is_in_it(shop):
    live_of(shop)

    text = json.dumps(shop.export(user="kim-user")).lower()

    assert "zoe" not in text
    assert ZOE not in text
    assert "kim-property" in text


def test_export_of_a_browser_says_who_used_it(shop):
    live_of(shop)

    document = shop.export(visitor=KIM)

    assert document["links"] == [
        {
            "visitor_id": KIM,
            "user_id": "kim-user",
            "from": None,
            "until": None,
            "said_at": iso(at(5)),
        }
    ]
    assert document["users"] == []  # traits are the person's
    assert [event["id"] for event in document["events"]][1] == "kim-event"


def test_export_of_a_user_has_only_their_part_of_a_shared_browser(shop):
    shop.visit("shared", 0, "G", event_id="of-u1")
    shop.identify("u1", "shared", 1)
    shop.identify("u2", "shared", 100)
    shop.visit("shared", 200, "google", event_id="of-u2")
    shop.convert(210, "shared")

    first, second = shop.export(user="u1"), shop.export(user="u2")

    assert [event["id"] for event in first["events"]] == ["of-u1"]
    assert [event["id"] for event in second["events"]] == ["of-u2"]
    assert [len(one["sessions"]) for one in (first, second)] == [1, 1]
    assert [len(one["conversions"]) for one in (first, second)] == [0, 1]
    assert "u2" not in json.dumps(first)


def test_what_is_exported_is_what_is_erased(shop):
    live_of(shop)
    document = shop.export(user="kim-user")

    counts = shop.erase(user="kim-user").counts

    assert counts["events"] == len(document["events"])
    assert counts["sessions"] == len(document["sessions"])
    assert counts["conversions_anonymised"] == len(document["conversions"])
    assert counts["links"] == len(document["links"])


def test_many_events_come_in_several_documents(shop, monkeypatch):
    monkeypatch.setattr(exporting, "MOST_EVENTS", 3)
    for minute in range(7):
        shop.visit(KIM, minute, event_id=f"e{minute}")

    documents = [shop.export(visitor=KIM)]
    while documents[-1]["next_events_after"] is not None:
        after = documents[-1]["next_events_after"]
        documents.append(shop.export(visitor=KIM, after=after))

    ids = [event["id"] for document in documents for event in document["events"]]
    assert ids == [f"e{minute}" for minute in range(7)]
    assert len(documents) == 3

"""One bad item beside good requests of others: only the bad one suffers."""

import json
import threading

from mbuzz.server.storage import maintenance

GOOD_CLIENTS = 3
PAGE = '{"event_type": "page_view", "visitor_id": "poisoner", "properties": {"a": %s}}'
POISON = {
    "half of a character": PAGE % r'"\ud800"',
    "half in a name": PAGE % r'{"\udfff": 1}',
    "half in an id": r'{"event_type": "a", "visitor_id": "\ud800"}',
    "nul": PAGE % r'"a\u0000b"',
    "more than 64 bits": PAGE % ("9" * 30),
    "more than any machine has": PAGE % ("9" * 5_000),
    "not a number": PAGE % "NaN",
    "infinite": PAGE % "1e999",
    "long ago": r'{"event_type": "a", "user_id": "7", "timestamp": -9e99}',
    "deep": PAGE % ("[" * 100_000 + "]" * 100_000),
    "deep objects": PAGE % ('{"a":' * 100_000 + "1" + "}" * 100_000),
    "never closed": PAGE % ("[" * 100_000),
    "money": (
        '{"type": "conversion", "conversion_type": "a", "user_id": "7",'
        ' "revenue": 1e400}'
    ),
    "half in an order": (
        r'{"type": "conversion", "conversion_type": "a", "user_id": "7",'
        r' "order_id": "\ud83d"}'
    ),
}


def good_client(shop, number, stop, done):
    """Send until told to stop, and twenty at least; note every answer."""
    sent = 0
    while sent < 20 or not stop.is_set():
        item = {
            "id": f"evt_{number:02d}{sent:030x}",
            "event_type": "page_view",
            "visitor_id": f"visitor-of-client-{number}",
            "properties": {"url": "https://shop.example/"},
        }
        answer = shop.ask("POST", "/events", json.dumps({"events": [item]}))
        done.append((answer.status, answer.status == 202 and answer.json["accepted"]))
        sent += 1


def test_poison_costs_nobody_else_anything(shop):
    shop.backend.start()
    stop, done = threading.Event(), []
    clients = [
        threading.Thread(target=good_client, args=(shop, number, stop, done))
        for number in range(GOOD_CLIENTS)
    ]
    for client in clients:
        client.start()

    answers = {}
    try:
        for name, item in POISON.items():
            body = f'{{"events": [{item}]}}'
            answers[name] = [shop.ask("POST", "/events", body) for _ in range(3)]
    finally:
        stop.set()
        for client in clients:
            client.join()

    for name, replies in answers.items():
        for reply in replies:
            assert reply.status in (202, 400, 413), name
            assert "Traceback" not in reply.body.decode()
    assert set(done) == {(202, 1)}
    assert shop.health().json["status"] == "ok"
    assert shop.backend.stop() == 0
    assert "Traceback" not in shop.backend.output
    found = maintenance.check(str(shop.backend.database))
    assert found.problems == []
    taken = sum(
        reply.json["accepted"]
        for name, replies in answers.items()
        for reply in replies[:1] * (3 if "order" not in name else 1)
        if reply.status == 202
    )
    assert found.counts["events"] + found.counts["conversions"] == len(done) + taken


def test_good_items_beside_poison_are_taken_unless_that_is_no_json(shop):
    good = {"event_type": "page_view", "visitor_id": "the-good"}
    shop.backend.start()

    for name, poison in POISON.items():
        answer = shop.ask(
            "POST", "/events", f'{{"events": [{json.dumps(good)}, {poison}]}}'
        )
        if answer.status == 202:
            assert answer.json["events"][0]["visitor_id"] == "the-good", name
        else:
            assert answer.status in (400, 413), name
            assert answer.json["error"]

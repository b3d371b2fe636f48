"""Metrics: what Prometheus reads, who may read it, and that the numbers are right."""

import pytest

from mbuzz.server.metrics import Metrics

parser = pytest.importorskip("prometheus_client.parser", reason="is a test dependency")

PAGE = {
    "event_type": "page_view",
    "visitor_id": "v" * 64,
    "properties": {"url": "https://shop.example/?utm_source=news&utm_medium=email"},
}
LOCAL = {
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "127.0.0.1:8787",
    "SERVER_PROTOCOL": "HTTP/1.1",
}
TOKEN = "of-prometheus-0123456789"


def parsed(text):
    """Return the samples of *text*: {(name, labels): value}."""
    found = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.documentation
        assert family.type != "unknown", family.name
        for sample in family.samples:
            where = (sample.name, frozenset(sample.labels.items()))
            assert where not in found
            found[where] = sample.value
    return found


def read(client, **headers):
    answered = client.send("GET", "/metrics", **{**LOCAL, **headers})
    assert answered.status == 200, answered.body
    return parsed(answered.body.decode())


def value(samples, name, **labels):
    return samples.get((name, frozenset(labels.items())), 0)


def test_format_is_that_of_prometheus(caller):
    client = caller()
    client.post("/events", {"events": [PAGE]})

    answered = client.send("GET", "/metrics", **LOCAL)

    assert answered.header("Content-Type") == (
        "text/plain; version=0.0.4; charset=utf-8"
    )
    assert answered.header("Cache-Control") == "no-store"
    assert parsed(answered.body.decode())
    lines = answered.body.decode().splitlines()
    heads = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def test_label_with_any_character_is_read_back():
    metrics = Metrics()
    metrics.took(0, rejected=['a"b\\c\nd'])

    samples = parsed(metrics.text())

    assert value(samples, "mbuzz_events_rejected_total", reason='a"b\\c\nd') == 1


def test_events_are_counted_by_what_became_of_them(caller):
    client = caller()
    batch = {
        "events": [
            {**PAGE, "id": "evt_1"},
            {**PAGE, "id": "evt_1"},
            {"event_type": "nobody's"},
            {
                "type": "conversion",
                "conversion_type": "buy",
                "visitor_id": "v" * 64,
                "revenue": 5,
            },
        ]
    }

    client.post("/events", batch)
    samples = read(client)

    assert value(samples, "mbuzz_events_total", outcome="accepted") == 2
    assert value(samples, "mbuzz_events_total", outcome="duplicate") == 1
    assert value(samples, "mbuzz_events_total", outcome="rejected") == 1
    assert value(samples, "mbuzz_conversions_total") == 1


def test_batch_answered_from_memory_counts_as_repeated(caller):
    client = caller()
    for _ in range(2):
        client.post("/events", {"events": [PAGE]}, HTTP_X_IDEMPOTENCY_KEY="k")

    samples = read(client)

    assert value(samples, "mbuzz_events_total", outcome="accepted") == 1
    assert value(samples, "mbuzz_events_total", outcome="duplicate") == 1


def test_single_calls_are_counted(caller):
    client = caller()
    client.post("/identify", {"user_id": "5", "visitor_id": "v" * 64})
    client.post("/identify", {})
    sale = {"conversion_type": "buy", "visitor_id": "v" * 64, "order_id": "A"}
    client.post("/conversions", sale)
    client.post("/conversions", sale)

    samples = read(client)

    assert value(samples, "mbuzz_events_total", outcome="accepted") == 2
    assert value(samples, "mbuzz_events_total", outcome="duplicate") == 1
    assert value(samples, "mbuzz_events_total", outcome="rejected") == 1
    assert value(samples, "mbuzz_conversions_total") == 1


def test_requests_are_counted_by_route_and_never_by_path(caller):
    client = caller()
    client.get("/validate")
    for number in range(50):
        client.get(f"/secret-{number}")
    client.send("BREW", "/coffee")

    samples = read(client)

    name = "mbuzz_http_requests_total"
    route = "/api/v1/validate"
    assert value(samples, name, method="GET", route=route, status="200") == 1
    assert value(samples, name, method="GET", route="unknown", status="404") == 50
    assert value(samples, name, method="OTHER", route="unknown", status="404") == 1
    duration = "mbuzz_http_request_duration_seconds_count"
    assert value(samples, duration, route="unknown") == 51
    assert not [where for where in samples if "secret" in str(where)]


def test_buckets_grow_to_the_count(caller):
    client = caller()
    client.post("/events", {"events": [PAGE]})
    samples = read(client)

    for name in ("mbuzz_http_request_duration_seconds", "mbuzz_commit_events"):
        of_name = {
            (float(dict(labels)["le"]), dict(labels).get("route")): count
            for (sample, labels), count in samples.items()
            if sample == f"{name}_bucket"
        }
        for route in {route for _, route in of_name}:
            counts = [of_name[le, r] for le, r in sorted(of_name) if r == route]
            labels = {"route": route} if route else {}
            assert counts == sorted(counts)
            assert counts[-1] == value(samples, f"{name}_count", **labels) > 0


def test_limited_requests_are_counted(caller):
    client = caller(rate_limit=0.01, rate_burst=1)
    client.get("/validate")
    client.get("/validate")

    assert value(read(client), "mbuzz_rate_limited_total") == 1


def test_database_and_its_writer_are_measured(caller, tmp_path):
    client = caller(database=str(tmp_path / "mbuzz.db"))
    client.post("/events", {"events": [PAGE, PAGE]})

    samples = read(client)

    assert value(samples, "mbuzz_database_bytes") > 0
    assert value(samples, "mbuzz_database_wal_bytes") > 0
    assert value(samples, "mbuzz_disk_free_bytes") > 0
    assert ("mbuzz_writer_queue_units", frozenset()) in samples
    assert value(samples, "mbuzz_commit_duration_seconds_count") >= 2
    assert value(samples, "mbuzz_commit_events_sum") >= 3
    assert value(samples, "mbuzz_start_time_seconds") > 1e9


@pytest.mark.parametrize(
    "headers",
    [
        {"REMOTE_ADDR": "192.0.2.1"},
        {"REMOTE_ADDR": ""},
        {"REMOTE_ADDR": "127.0.0.1.example"},
        {"HTTP_HOST": "stats.example"},
        {"HTTP_HOST": "127.0.0.1.example:80"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"SERVER_PROTOCOL": "HTTP/1.0"},  # nginx, unless told otherwise
    ],
)
def test_others_than_this_machine_need_the_token(caller, headers):
    client = caller(metrics_token=TOKEN)
    client.key = None

    answered = client.send("GET", "/metrics", **{**LOCAL, **headers})
    wrong = {**LOCAL, **headers, "HTTP_AUTHORIZATION": "Bearer wrong"}
    again = client.send("GET", "/metrics", **wrong)

    assert (answered.status, again.status) == (403, 403)
    assert answered.json()["code"] == "forbidden"
    assert read(client, **headers, HTTP_AUTHORIZATION=f"Bearer {TOKEN}")


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8787"])
def test_programs_of_this_machine_need_none(caller, peer, host):
    assert read(caller(), REMOTE_ADDR=peer, HTTP_HOST=host)


def test_trusted_proxy_does_not_make_its_client_local(caller):
    client = caller(trusted_proxies=("127.0.0.1",))
    said = {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}

    assert client.send("GET", "/metrics", **LOCAL, **said).status == 403


def test_metrics_for_all_and_for_nobody(caller):
    afar = {**LOCAL, "REMOTE_ADDR": "192.0.2.1"}

    assert caller(metrics="all").send("GET", "/metrics", **afar).status == 200
    off = caller(metrics="off", metrics_token=TOKEN)
    off.key = TOKEN
    assert off.send("GET", "/metrics", **LOCAL).status == 404

"""The module-level functions: one default client, set up once, never in the way."""

import asyncio
import logging
import threading

import pytest

import mbuzz
from mbuzz import api
from mbuzz.client import Client
from mbuzz.config import Config
from mbuzz.context import context_scope
from mbuzz.errors import ConfigurationError
from mbuzz.testing import capture

KEY = "sk_test_" + "k" * 32
WARNING = (
    "not configured, nothing is tracked; call mbuzz.configure(api_key=...) "
    "or set MBUZZ_API_KEY"
)


# -- set-up --


def test_configure_makes_the_default_client():
    assert mbuzz.configure(api_key=KEY, batch_size=7) is True

    assert mbuzz.default_client().config.batch_size == 7
    assert mbuzz.init is mbuzz.configure


def test_configure_says_what_to_fix_in_one_sentence_and_returns_false(caplog):
    assert mbuzz.configure(api_key="pk_live_123") is False

    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "mbuzz")
    assert record.exc_info is None
    assert record.message.startswith(
        "not configured, nothing will be tracked: api_key must start with"
    ) or record.message.startswith(
        "not configured, nothing will be tracked: api_key must be sk_test_"
    )
    assert "pk_live_123" not in caplog.text


def test_configure_raises_if_it_is_to_be_strict():
    with pytest.raises(ConfigurationError, match="unknown option 'api_kye'"):
        mbuzz.configure(api_kye=KEY, strict=True)


class Unprintable:
    def __str__(self):
        raise RuntimeError("hunter2")

    __repr__ = __str__


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"api_key": Unprintable()},
        {"api_key": KEY, "api_url": Unprintable()},
        {"api_key": KEY, "timeout": Unprintable()},
        {"api_key": KEY, "skip_paths": Unprintable()},
        {"api_key": KEY, "delivery": Unprintable()},
        {"api_key": KEY, "delivery": []},
    ],
    ids=lambda options: "-".join(options) or "nothing",
)
def test_configure_never_raises_unless_it_is_strict(options):
    assert mbuzz.configure(**options) is False
    assert mbuzz.track("Signup", user_id="1").error == "not_configured"


def test_a_failed_configure_leaves_the_client_that_works():
    mbuzz.configure(api_key=KEY)
    before = mbuzz.default_client()

    mbuzz.configure(api_key="wrong")

    assert mbuzz.default_client() is before


def test_the_same_configuration_again_changes_nothing():
    mbuzz.configure(api_key=KEY)
    before = mbuzz.default_client()

    assert mbuzz.configure(api_key=KEY)

    assert mbuzz.default_client() is before


def test_settings_of_a_framework_are_laid_over_the_programs(monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", KEY)
    api.configure(enabled=False, network=False, api_url="http://127.0.0.1:9")

    assert api.configure_also({"enabled": True, "skip_paths": None})
    assert api.configure_also({"enabled": True, "timeout": 3})

    config = api.current_client().config
    assert (config.api_key, config.timeout) == (KEY, 3)
    assert (config.enabled, config.network) == (True, False)
    assert config.api_url == "http://127.0.0.1:9/api/v1"


def test_debug_turns_on_debug_logs(monkeypatch):
    logger = logging.getLogger("mbuzz")
    monkeypatch.setattr(logger, "level", logger.level)

    mbuzz.configure(api_key=KEY, debug=True)

    assert logger.level == logging.DEBUG


def test_another_configuration_flushes_the_first(backend):
    options = {"api_url": backend.url, "network": True, "batch_interval": 3600.0}
    mbuzz.configure(api_key=backend.api_key, **options)
    first = mbuzz.default_client()
    mbuzz.track("Signup", user_id="1")

    mbuzz.configure(api_key=backend.api_key, batch_size=7, **options)

    assert mbuzz.default_client() is not first
    assert first.stats().delivered == 1


def test_options_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", KEY)
    monkeypatch.setenv("MBUZZ_BATCH_SIZE", "7")

    assert mbuzz.configure(batch_interval=2)

    config = mbuzz.default_client().config
    assert (config.batch_size, config.batch_interval) == (7, 2)


# -- without set-up --


def test_without_a_key_nothing_is_tracked_and_it_is_said_once(caplog):
    results = [mbuzz.track("Signup", user_id="1"), mbuzz.page(user_id="1")]

    assert [result.error for result in results] == ["not_configured"] * 2
    assert mbuzz.conversion("purchase", user_id="1").error == "not_configured"
    assert mbuzz.identify("1") is False
    assert mbuzz.alias("1", "v") is False
    assert mbuzz.flush()
    assert mbuzz.close()
    assert mbuzz.stats() == mbuzz.Stats()
    assert mbuzz.default_client() is None
    assert caplog.messages == [WARNING]


def test_a_key_in_the_environment_is_enough(monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", KEY)

    with capture() as events:
        assert mbuzz.track("Signup", user_id="1")

    assert len(events) == 1


def test_a_wrong_key_in_the_environment_is_said_once(monkeypatch, caplog):
    monkeypatch.setenv("MBUZZ_API_KEY", "wrong")

    for _ in range(3):
        assert mbuzz.track("Signup", user_id="1").error == "not_configured"

    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("not configured, nothing will be tracked: ")


def test_threads_that_begin_together_all_find_the_client(monkeypatch):
    monkeypatch.setenv("MBUZZ_API_KEY", KEY)
    start = threading.Barrier(8)
    found = []

    def work():
        start.wait()
        found.append(mbuzz.default_client())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(map(id, found))) == 1
    assert found[0] is not None


def test_a_logger_that_raises_is_not_the_callers_end():
    class Broken(logging.Handler):
        def handle(self, record):
            mbuzz.track("Logged", user_id="1")
            raise OSError("disk full")

    handler = Broken()
    logging.getLogger("mbuzz").addHandler(handler)
    try:
        assert mbuzz.track("Signup", user_id="1").error == "not_configured"
        assert mbuzz.configure(api_key="wrong") is False
    finally:
        logging.getLogger("mbuzz").removeHandler(handler)


# -- the default client --


def test_use_closes_the_client_before_swap_does_not():
    first, second = Client(Config(api_key=KEY)), Client(Config(api_key=KEY))

    assert api.use(first) is None
    assert api.swap(second) is first
    kept, closed = first.delivery, second.delivery
    assert api.use(None) is second
    assert closed.closed
    assert not kept.closed
    assert api.current_client() is None


def test_close_ends_the_worker_and_the_next_call_starts_anew(backend):
    mbuzz.configure(api_key=backend.api_key, api_url=backend.url, network=True)
    mbuzz.track("Before", user_id="1")

    assert mbuzz.close()
    assert mbuzz.stats().delivered == 1
    assert mbuzz.track("After", user_id="1")
    assert mbuzz.flush()


# -- the calls, against the real backend --


def test_every_call_reaches_the_backend(backend):
    mbuzz.configure(api_key=backend.api_key, api_url=backend.url, network=True)

    with mbuzz.context_scope(visitor_id="a" * 64):
        assert mbuzz.page(url="https://shop.example/?utm_source=google")
        assert mbuzz.track("Signup", properties={"plan": "pro"})
        assert mbuzz.identify("42", traits={"name": "Zoë"})
    assert mbuzz.alias("42", "guest-1")
    result = mbuzz.conversion("purchase", user_id="42", revenue="99.90", order_id="1")
    again = mbuzz.conversion("purchase", user_id="42", revenue="99.90", order_id="1")

    assert result.success
    assert result.attribution["linear"]
    assert (result.duplicate, again.duplicate) == (False, True)
    assert again.conversion_id == result.conversion_id
    assert mbuzz.flush()
    stats = mbuzz.stats()
    assert (stats.accepted, stats.delivered, stats.rejected) == (6, 6, 0)


def test_the_async_twins_wait_without_blocking(backend):
    mbuzz.configure(
        api_key=backend.api_key,
        api_url=backend.url,
        network=True,
        conversion_timeout=30.0,
    )

    async def main():
        with context_scope(user_id="42"):
            result = await mbuzz.aconversion("purchase", revenue="9.90")
        mbuzz.track("Signup", user_id="42")
        return result, await mbuzz.aflush(30.0)

    result, flushed = asyncio.run(main())

    assert result.attribution is not None
    assert flushed
    assert mbuzz.stats().delivered == 2


# -- the request being served --


def test_ids_come_from_the_request():
    with context_scope(visitor_id="v", session_id="s", user_id="u") as scope:
        assert not scope.visitor_used
        found = (mbuzz.visitor_id(), mbuzz.session_id(), mbuzz.user_id())
        current = api.current()

    assert found == ("v", "s", "u")
    assert current is scope
    assert scope.visitor_used


def test_outside_of_a_request_there_are_none():
    assert mbuzz.visitor_id() is None
    assert mbuzz.session_id() is None
    assert mbuzz.user_id() is None
    assert api.current() is None
    with context_scope(user_id="u"):
        assert mbuzz.visitor_id() is None


# -- every call has a function --


def test_the_functions_are_the_default_clients():
    with capture() as captured:
        assert mbuzz.track("Signup", user_id="1", request_id="r", flow_id="f")
        assert mbuzz.page(url="https://shop.example/", visitor_id="v", session_id="s")
        assert mbuzz.identify("1", visitor_id="v", traits={"name": "Zoë"})
        assert mbuzz.alias("1", "guest-1")
        assert mbuzz.group("team", user_id="1", visitor_id="v", traits={"seats": 3})
        assert mbuzz.conversion("purchase", user_id="1", revenue="9.90", parent_id="p")

    track, page, identify, alias, group, conversion = captured
    assert track["correlation"] == {"request_id": "r", "flow_id": "f"}
    assert (page["event_type"], page["session_id"]) == ("page_view", "s")
    assert identify["traits"] == {"name": "Zoë"}
    assert alias["previous_id"] == "guest-1"
    assert (group["group_id"], group["user_id"]) == ("team", "1")
    assert group["traits"] == {"seats": 3}
    assert conversion["correlation"] == {"parent_id": "p"}


def test_every_function_of_a_client_takes_the_same_as_its():
    import inspect

    own = {"context", "express"}  # the middleware's
    for name in "track page identify alias group conversion flush close".split():
        taken = inspect.signature(getattr(mbuzz, name)).parameters
        by_client = inspect.signature(getattr(Client, name)).parameters
        assert list(taken) == [p for p in by_client if p not in {"self", *own}], name
        for parameter in taken.values():
            other = by_client[parameter.name]
            assert (parameter.default, parameter.kind) == (other.default, other.kind)
            assert parameter.annotation == other.annotation


def test_without_configuration_every_call_says_so(caplog):
    results = [
        mbuzz.track("Signup", user_id="1"),
        mbuzz.page(url="https://shop.example/", visitor_id="v"),
        mbuzz.conversion("purchase", user_id="1"),
    ]
    bools = [mbuzz.identify("1"), mbuzz.alias("1", "2"), mbuzz.group("g")]

    assert {result.error for result in results} == {"not_configured"}
    assert all("mbuzz.configure(" in result.message for result in results)
    assert bools == [False, False, False]
    assert (mbuzz.flush(), mbuzz.close()) == (True, True)
    assert (bool(mbuzz.health()), mbuzz.stats().accepted) == (False, 0)
    assert len(caplog.messages) == 1


def test_health_and_stats_are_the_default_clients(backend):
    mbuzz.configure(api_key=backend.api_key, api_url=backend.url, network=True)
    mbuzz.track("Signup", user_id="1")

    assert mbuzz.flush(30.0)
    assert mbuzz.health()
    assert mbuzz.health().status == "ok"
    assert mbuzz.stats() == api.current_client().stats()
    assert mbuzz.stats().delivered == 1


def test_health_says_that_the_key_is_wrong(backend):
    mbuzz.configure(api_key="sk_test_" + "x" * 32, api_url=backend.url, network=True)
    mbuzz.track("Signup", user_id="1")

    assert mbuzz.flush(30.0)
    health = mbuzz.health()

    assert not health
    assert (health.status, health.reason) == ("failing", "http_401")

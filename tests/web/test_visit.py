"""Who a request is, read when first needed; and ways to be somebody else afterwards."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz import api
from mbuzz.context import context_scope, serving
from mbuzz.testing import capture
from mbuzz.web.request import EnvironRequest
from mbuzz.web.site import Site
from mbuzz.web.visit import Visit
from tests.web.visits import (
    FETCH,
    HTML,
    JSON,
    KEY,
    NAVIGATION,
    RETURNING,
    SESSION,
    VISITOR,
    environ,
    welcoming,
)

GONE = {"_mbuzz_vid": ("", 0), "_mbuzz_sid": ("", 0)}
THREADS = 8


class Counting(EnvironRequest):
    """A request that counts how often its headers are read."""

    __slots__ = ("reads",)

    def __init__(self, given, trust):
        super().__init__(given, trust)
        self.reads = 0

    def header(self, name):
        self.reads += 1
        return super().header(name)

    @property
    def cookie(self):
        self.reads += 1
        return super().cookie


@pytest.fixture
def events():
    with capture() as captured:
        api.configure(api_key=KEY)
        yield captured


def begin(headers=FETCH, *, read=EnvironRequest, site=None, **parts):
    return (site or Site()).begin(read, environ(headers, **parts), {})


def post(cookie=RETURNING, headers=FETCH, **parts):
    return begin(headers, method="POST", cookie=cookie, **parts)


def answered(exchange, headers=JSON):
    cookies = exchange.respond(200, headers)
    return {cookie.name: (cookie.value, cookie.max_age) for cookie in cookies}


# -- lazily --


def test_nothing_is_read_of_a_request_that_nobody_asks_about(events):
    exchange = begin(read=Counting, method="POST", cookie=RETURNING)

    assert exchange.respond(200, JSON) == ()
    exchange.end()

    assert exchange.request.reads == 0


def test_all_is_read_once(events):
    exchange = begin(read=Counting, method="POST", cookie=RETURNING)
    context = exchange.context
    first = context.visitor_id
    reads = exchange.request.reads

    again = [getattr(context, name) for name in ("session_id", "url", "consent")]

    assert (first, again[0]) == (VISITOR, SESSION)
    assert exchange.request.reads == reads


def test_unknown_attribute_is_an_error_as_everywhere(events):
    context = post().context

    with pytest.raises(AttributeError, match="nonsense"):
        _ = context.nonsense
    assert not hasattr(context, "__deepcopy__")


@pytest.mark.parametrize("asked", ["visitor_id", "url", "new_visitor", "consent"])
def test_threads_that_are_first_at_once_agree(events, asked):
    for _ in range(20):
        exchange = begin(NAVIGATION)
        context = Visit(exchange.request, exchange.site, 1_790_000_000_000)
        context.is_page = True
        start = threading.Barrier(THREADS)

        def read(context=context, start=start):
            start.wait(5)
            getattr(context, asked)
            return context.visitor_id, context.session_id, context.request_id

        with ThreadPoolExecutor(THREADS) as pool:
            found = {f.result(5) for f in [pool.submit(read) for _ in range(THREADS)]}

        assert len(found) == 1


def test_slow_reader_does_not_undo_what_has_happened_since(events):
    reading, done = threading.Event(), threading.Event()

    def consent(request):
        if threading.current_thread() is slow:
            reading.set()
            assert done.wait(5)
        return True

    api.configure(api_key=KEY, consent=consent)
    context = post().context
    seen = []
    slow = threading.Thread(target=lambda: seen.append(context.visitor_id))
    slow.start()
    assert reading.wait(5)

    with serving(context):
        api.reset()
    fresh = context.visitor_id
    done.set()
    slow.join(5)

    assert fresh not in (None, VISITOR)
    assert (seen, context.visitor_id) == ([fresh], fresh)


def test_request_that_ends_while_it_is_read_is_not_half_read(events):
    reading, ended = threading.Event(), threading.Event()

    def consent(request):
        reading.set()
        assert ended.wait(5)
        return True

    api.configure(api_key=KEY, consent=consent)
    exchange = post(cookie="")
    reader = threading.Thread(target=lambda: exchange.context.visitor_id)
    reader.start()
    assert reading.wait(5)

    exchange.end()
    ended.set()
    reader.join(5)

    assert exchange.context.visitor_id is None
    assert exchange.context.consent == "unknown"


def test_user_who_is_named_before_anything_is_read_stays(events):
    exchange = post()
    exchange.context.user_id = "u1"

    with serving(exchange.context):
        api.track("Seen")

    assert events.assert_tracked("Seen", user_id="u1")["visitor_id"] == VISITOR


def test_log_in_is_known_to_the_rest_of_the_request(events):
    exchange = post()

    with serving(exchange.context):
        api.identify("u1")
        api.track("Seen")

    events.assert_identified("u1", visitor_id=VISITOR)
    events.assert_tracked("Seen", user_id="u1", visitor_id=VISITOR)


# -- after the request --


def test_request_that_has_ended_keeps_what_was_read(events):
    exchange = post()
    assert exchange.context.visitor_id == VISITOR

    exchange.end()

    assert exchange.context.session_id == SESSION


def test_request_that_has_ended_unread_makes_nobody(events):
    exchange = post()
    exchange.end()

    with serving(exchange.context):
        track = api.track("Seen")
        later = api.track("Seen", user_id="u1")

    assert (track.error, later.success) == ("missing_identity", True)
    assert "visitor_id" not in events.assert_tracked("Seen", user_id="u1")


@pytest.mark.parametrize(
    "options",
    [{"respect_gpc": True}, {"respect_dnt": True}, {"consent": lambda request: True}],
    ids=["gpc", "dnt", "consent"],
)
def test_it_is_too_late_to_ask_for_consent(events, options):
    api.configure(api_key=KEY, **options)
    exchange = post()
    exchange.end()

    with serving(exchange.context):
        assert api.track("Seen", user_id="u1").error == "no_consent"
    assert events == []


@pytest.mark.parametrize("read_before", [True, False])
def test_reset_after_the_request_makes_nobody(events, read_before):
    exchange = post()
    if read_before:
        _ = exchange.context.visitor_id
    exchange.end()

    with serving(exchange.context):
        assert api.reset()
        assert api.track("Seen").error == "missing_identity"


# -- cookies --


def test_session_without_its_visitor_joins_nobody(events):
    exchange = post(cookie=f"_mbuzz_sid={SESSION}")

    with serving(exchange.context):
        api.track("Seen")

    event = events.assert_tracked("Seen")
    assert "session_id" not in event
    assert answered(exchange) == {"_mbuzz_vid": (event["visitor_id"], 31_536_000)}


def test_privacy_control_takes_click_ids_out_of_the_page(events):
    headers = {
        **NAVIGATION,
        "Sec-GPC": "1",
        "Referer": "https://ads.example/?msclkid=1#x",
    }

    begin(headers, query="gclid=abc&utm_source=x").respond(200, HTML)

    found = events.assert_tracked("page_view")["properties"]
    assert found["url"].endswith("/?gclid=[redacted]&utm_source=x")
    assert found["referrer"] == "https://ads.example/?msclkid=[redacted]"


def test_websocket_makes_nobody_new(events):
    context = post(cookie="").context
    context.can_answer = False

    with serving(context):
        first = api.track("Seen").error
        api.reset()
        second = api.track("Seen").error

    assert (first, second, events) == ("missing_identity", "missing_identity", [])


# -- reset: the next one may be somebody else --


def test_log_out_makes_the_cookies_expire(events):
    exchange = post()

    with serving(exchange.context):
        assert api.reset()

    assert answered(exchange) == GONE
    assert events == []


def test_log_out_of_somebody_without_cookies_sets_none(events):
    exchange = post(cookie="")

    with serving(exchange.context):
        api.reset()

    assert answered(exchange) == {}


def test_what_is_said_after_a_log_out_is_somebody_elses(events):
    exchange = post()

    with serving(exchange.context):
        api.identify("u1")
        api.track("Before")
        api.reset()
        api.track("After")
        api.track("After")

    before, after, second = events.tracked()
    cookies = answered(exchange)
    assert (before["visitor_id"], before["user_id"]) == (VISITOR, "u1")
    assert after["visitor_id"] == second["visitor_id"] != VISITOR
    assert "user_id" not in after
    assert "session_id" not in after  # the browser could not go on with it
    assert cookies == {
        "_mbuzz_vid": (after["visitor_id"], 31_536_000),
        "_mbuzz_sid": ("", 0),
    }


def test_log_out_twice_is_one_log_out(events):
    exchange = post()

    with serving(exchange.context):
        api.reset()
        api.reset()
        api.track("After")

    event = events.assert_tracked("After")
    assert answered(exchange)["_mbuzz_vid"][0] == event["visitor_id"] != VISITOR


def test_page_of_a_log_out_is_the_next_visitors(events):
    exchange = begin(NAVIGATION, cookie=RETURNING)

    with serving(exchange.context):
        api.reset()
    cookies = answered(exchange, HTML)

    (view,) = events
    assert view["visitor_id"] != VISITOR
    assert cookies == {
        "_mbuzz_vid": (view["visitor_id"], 31_536_000),
        "_mbuzz_sid": (view["session_id"], 1_800),
    }


def test_log_in_after_a_log_out_is_the_next_visitors(events):
    exchange = post()

    with serving(exchange.context):
        api.reset()
        api.identify("u2")

    (said,) = events.identified()
    assert said["visitor_id"] != VISITOR
    assert answered(exchange)["_mbuzz_vid"][0] == said["visitor_id"]


def test_log_out_inside_of_a_flow_is_the_requests(events):
    exchange = post()

    with serving(exchange.context), context_scope(flow_id="f"):
        api.reset()
        api.track("After")
    with serving(exchange.context):
        api.track("Later")

    after, later = events
    assert after["visitor_id"] == later["visitor_id"] != VISITOR


def test_log_out_inside_of_an_explicit_identity_is_the_browsers(events):
    exchange = post()

    with serving(exchange.context), context_scope(user_id="u9"):
        assert api.reset()
        assert api.track("After").error == "missing_identity"
    with serving(exchange.context):
        api.track("Later")

    later = events.assert_tracked("Later")["visitor_id"]
    assert later not in (None, VISITOR)
    assert answered(exchange)["_mbuzz_vid"][0] == later


def test_log_out_without_a_request_does_nothing(events):
    assert (api.reset(), api.forget()) == (False, False)


# -- forget: a refusal --

MOMENTS = {
    "unread": lambda: None,
    "read": api.visitor_id,
    "said": lambda: api.track("Before"),
    "log-in": lambda: api.identify("u1"),
    "reset": api.reset,
    "forgotten": api.forget,
}


@pytest.mark.parametrize("before", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("page", [True, False], ids=["page", "call"])
def test_refusal_makes_the_cookies_expire_and_all_be_silent(events, before, page):
    headers = NAVIGATION if page else FETCH
    exchange = begin(headers, cookie=RETURNING)
    with serving(exchange.context):
        before()
        said = len(events)

        assert api.forget()
        results = [api.track("After"), api.track("After", user_id="u1")]
        spoken = [api.identify("u1"), api.group("g", user_id="u1"), api.reset()]

    assert [result.error for result in results] == ["no_consent"] * 2
    assert spoken == [False, False, True]
    assert answered(exchange, HTML) == GONE
    assert len(events) == said


@pytest.mark.parametrize("before", MOMENTS.values(), ids=MOMENTS)
def test_refusal_of_a_new_visitor_leaves_no_cookie(events, before):
    exchange = post(cookie="")

    with serving(exchange.context):
        before()
        api.forget()

    assert answered(exchange) == {}


def test_refusal_on_a_page_that_was_announced_leaves_no_cookie(events):
    exchange = begin(NAVIGATION, site=welcoming())
    assert len(events) == 1

    with serving(exchange.context):
        api.forget()
        api.track("After")

    assert answered(exchange, HTML) == {}
    assert len(events) == 1


def test_refusal_inside_of_a_flow_is_the_requests(events):
    exchange = post()

    with serving(exchange.context):
        with context_scope(flow_id="f"):
            api.forget()
        assert api.track("After").error == "no_consent"

    assert answered(exchange) == GONE


# -- any order --

STEPS = {
    "track": lambda: api.track("Seen"),
    "identify": lambda: api.identify("u1"),
    "reset": api.reset,
    "forget": api.forget,
    "read": api.visitor_id,
}


@given(
    steps=st.lists(st.sampled_from(list(STEPS)), max_size=8),
    cookie=st.sampled_from(
        [RETURNING, "", f"_mbuzz_vid={VISITOR}", f"_mbuzz_sid={SESSION}"]
    ),
    page=st.booleans(),
    announced=st.booleans(),
)
def test_identities_never_mix(steps, cookie, page, announced):
    with capture() as events:
        api.configure(api_key=KEY)
        exchange = begin(
            NAVIGATION if page else FETCH,
            site=welcoming() if announced else Site(),
            cookie=cookie,
        )
        parts = [len(events)]
        with serving(exchange.context):
            for step in steps:
                STEPS[step]()
                if step in ("reset", "forget"):
                    parts.append(len(events))
        cookies = answered(exchange, HTML if page else JSON)

    parts.append(len(events))
    lives = [events[a:b] for a, b in zip([0, *parts], parts, strict=False)]
    # before and after a reset: different visitors, each one for all of its events
    first, *others = [
        {event["visitor_id"] for event in life} for life in _joined(lives)
    ]
    seen = set(first)
    for life in others:
        assert len(life) <= 1
        assert not life & seen
        seen |= life
    last = next((life for life in reversed([first, *others]) if life), set())
    if "forget" in steps:
        assert {age for _, age in cookies.values()} <= {0}
        after = events[parts[1 + _resets_before(steps)] :]
        assert after == []
    elif cookies.get("_mbuzz_vid", ("", 0))[1] and last and steps[-1:] != ["reset"]:
        assert cookies["_mbuzz_vid"][0] in last | {exchange.context.visitor_id}


def _joined(lives):
    """Join what the landing itself recorded with what came before the first reset."""
    return [[*lives[0], *lives[1]], *lives[2:]]


def _resets_before(steps):
    """Return how many resets came before the first refusal."""
    return steps[: steps.index("forget")].count("reset")

"""The context goes where it is sent: threads, executors, jobs; and nowhere else."""

import asyncio
import functools
import inspect
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz.context import RequestContext, context_scope, current, serving
from mbuzz.travel import attach, bind, carrier

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WHOLE = {
    "visitor_id": "ab" * 32,
    "session_id": "cd" * 16,
    "user_id": "42",
    "request_id": "req-1",
    "flow_id": "checkout 7",
    "parent_id": "evt_1",
    "traceparent": TRACEPARENT,
}


def told(context):
    return {name: getattr(context, name) for name in WHOLE}


# -- carrier and attach --


def test_there_is_nothing_to_carry_outside_of_a_request():
    assert carrier() == {}


def test_a_carrier_is_flat_text_that_survives_json():
    with context_scope(**WHOLE):
        carried = carrier()

    assert carried == WHOLE
    assert json.loads(json.dumps(carried)) == WHOLE


def test_a_job_runs_as_the_visitor_and_in_the_flow_that_caused_it():
    with attach(WHOLE) as context:
        assert current() is context
        assert told(context) == WHOLE
        assert carrier() == WHOLE

    assert current() is None


def test_a_carrier_has_what_is_known_and_nothing_of_the_page():
    request = RequestContext(
        visitor_id="v", url="https://h/", referrer="https://a/", user_agent="Firefox"
    )

    with serving(request):
        assert carrier() == {"visitor_id": "v"}


def test_a_carried_visitor_is_one_that_the_browser_must_know():
    request = RequestContext(visitor_id="v")

    with serving(request), context_scope(flow_id="f"):
        carrier()

    assert request.visitor_used


def test_a_number_as_a_user_is_carried_as_text():
    with context_scope(user_id=42):
        assert carrier() == {"user_id": "42"}


@pytest.mark.parametrize(
    "value",
    ["", "u" * 256, "a\nb", "\ud800", True, 1.5, b"u", ["u"], object(), 10**999],
)
def test_what_no_queue_could_keep_is_not_carried(value):
    with context_scope(visitor_id="v", user_id=value):
        assert carrier() == {"visitor_id": "v"}


@pytest.mark.parametrize("surroundings", [None, WHOLE], ids=["alone", "in a request"])
@pytest.mark.parametrize(
    "nothing", [None, {}, {"x": "y"}, "", "visitor_id", 5, [WHOLE]]
)
def test_an_unusable_carrier_is_nobody(nothing, surroundings):
    with attach(surroundings) as outer:
        with attach(nothing) as context:
            assert told(context) == dict.fromkeys(WHOLE)
            assert carrier() == {}
        assert current() is outer


def test_a_job_of_nobody_knows_the_user_it_identifies():
    with attach({}):
        current().user_id = "42"

        assert carrier() == {"user_id": "42"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"visitor_id": "v" * 256, "session_id": "s"},
        {"visitor_id": "a b", "session_id": "s"},
        {"visitor_id": ["v"]},
        {"session_id": "s"},
        {"user_id": "u" * 256},
        {"user_id": None},
        {"user_id": {"id": 1}},
        {"request_id": "a\r\nb"},
        {"flow_id": b"f"},
        {"parent_id": True},
        {"traceparent": "00-1-2-01"},
        {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"},
        {"url": "https://h/"},
        {5: "x", None: "y"},
    ],
)
def test_what_a_carrier_has_wrong_is_left_out_and_the_rest_counts(wrong):
    usable = {"flow_id": "f"} if "flow_id" not in wrong else {"parent_id": "p"}

    with attach({**wrong, **usable}) as context:
        assert carrier() == usable
        assert context.url is None


class Broken(dict):
    """A mapping that cannot be read."""

    def get(self, *_):
        raise RuntimeError


class BrokenText(str):
    def __len__(self):
        raise RuntimeError


@pytest.mark.parametrize("value", [Broken(WHOLE), {"user_id": BrokenText("u")}])
def test_a_carrier_that_raises_is_nobody(value):
    with attach(value) as context:
        assert told(context) == dict.fromkeys(WHOLE)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(
    JUNK
    | st.dictionaries(
        st.sampled_from(sorted(WHOLE))
        | JUNK.filter(lambda key: not isinstance(key, list)),
        JUNK,
        max_size=9,
    )
)
def test_whatever_is_attached_can_be_carried_on(given):
    with attach(given):
        carried = carrier()
        with attach(json.loads(json.dumps(carried))):
            assert carrier() == carried

    assert all(0 < len(value) <= 255 for value in carried.values())
    assert current() is None


def test_an_error_in_a_job_ends_its_block():
    with pytest.raises(KeyError), attach(WHOLE):
        raise KeyError

    assert current() is None


# -- bind --


def seen():
    return current()


async def aseen():
    await asyncio.sleep(0)
    return current()


def test_a_bound_function_runs_as_the_request_in_a_pool():
    request = RequestContext(visitor_id="v")
    with ThreadPoolExecutor(1) as pool:
        with serving(request):
            bound, plain = pool.submit(bind(seen)), pool.submit(seen)

        assert bound.result(30) is request
        assert plain.result(30) is None
        assert pool.submit(seen).result(30) is None  # nothing is left on the thread
    assert request.visitor_used


def test_a_bound_function_runs_as_its_request_within_another():
    mine, other = RequestContext(), RequestContext()
    with serving(mine):
        bound = bind(seen)

    with serving(other):
        assert bound() is mine
        assert current() is other


def test_a_function_bound_by_nobody_runs_as_nobody():
    bound = bind(seen)

    with serving(RequestContext()):
        assert bound() is None


def test_a_user_who_is_set_in_a_bound_function_is_the_requests():
    request = RequestContext()

    def log_in():
        current().user_id = "42"

    with serving(request):
        thread = threading.Thread(target=bind(log_in))
    thread.start()
    thread.join()

    assert request.user_id == "42"


def test_one_bound_function_may_run_many_times_at_once():
    request, together = RequestContext(), threading.Barrier(8)

    def meet():
        together.wait(30)
        return current()

    with serving(request):
        bound = bind(meet)
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(bound) for _ in range(8)]

        assert {id(future.result()) for future in found} == {id(request)}
        assert pool.submit(seen).result() is None


def test_a_bound_coroutine_function_is_one_and_runs_as_the_request():
    request = RequestContext()
    with serving(request):
        bound = bind(aseen)

    async def main():
        with serving(RequestContext()) as _:
            outer = current()
            found = await asyncio.gather(bound(), bound(), aseen())
            inline = await bound()
            return [*found, inline, current()], outer

    found, outer = asyncio.run(main())
    assert inspect.iscoroutinefunction(bound)
    assert found == [request, request, outer, request, outer]


class Job:
    def __call__(self):
        return current()

    def method(self):
        return current()


class AsyncJob:
    async def __call__(self):
        return current()


@pytest.mark.parametrize(
    "function",
    [Job(), Job().method, functools.partial(seen), lambda: current()],
    ids=["object", "method", "partial", "lambda"],
)
def test_whatever_can_be_called_can_be_bound(function):
    with serving(RequestContext()) as _:
        request, bound = current(), bind(function)

    assert bound() is request


@pytest.mark.parametrize(
    "function",
    [AsyncJob(), functools.partial(aseen)],
    ids=["object", "partial"],
)
def test_whatever_can_be_awaited_can_be_bound(function):
    with serving(RequestContext()):
        request, bound = current(), bind(function)

    async def main():
        return await bound()

    assert asyncio.run(main()) is request


def test_a_bound_function_looks_like_what_it_binds():
    def order(cart: str, *, gift: bool = False) -> str:
        """Buy what is in the cart."""
        return f"{cart} {gift}"

    bound = bind(order)

    assert bound("c", gift=True) == "c True"
    assert (bound.__name__, bound.__doc__) == ("order", "Buy what is in the cart.")
    assert inspect.signature(bound) == inspect.signature(order)


@pytest.mark.parametrize("in_request", [False, True])
def test_errors_of_a_bound_function_are_the_callers(in_request):
    def fail():
        raise KeyError("mine")

    with serving(RequestContext() if in_request else None):
        bound = bind(fail)

    with pytest.raises(KeyError, match="mine"):
        bound()
    assert current() is None


def test_every_way_out_of_a_request_leaves_the_thread_clean():
    for way, failing in product([attach, lambda c: context_scope(**c)], [False, True]):
        try:
            with way(WHOLE):
                bind(seen)()
                if failing:
                    raise KeyError
        except KeyError:
            pass
        assert current() is None

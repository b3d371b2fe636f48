"""Who is being served: found by all code that runs for a request, and by no other."""

import asyncio
import contextvars
import threading

import pytest

from mbuzz import context
from mbuzz.context import (
    RequestContext,
    context_scope,
    current,
    read_traceparent,
    serving,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_nobody_is_served_outside_of_a_block():
    assert current() is None


def test_a_block_has_its_context_and_gives_the_outer_one_back():
    outer, inner = RequestContext(user_id="1"), RequestContext(user_id="2")

    with serving(outer):
        with serving(inner):
            assert current() is inner
        assert current() is outer

    assert current() is None


def test_an_error_in_the_block_ends_it_as_well():
    with pytest.raises(KeyError), serving(RequestContext()):
        raise KeyError

    assert current() is None


def test_a_scope_gives_calls_an_explicit_identity():
    with context_scope(
        visitor_id="v",
        session_id="s",
        user_id="u",
        request_id="r",
        flow_id="f",
        parent_id="p",
    ) as scope:
        assert current() is scope
        found = [getattr(scope, name) for name in RequestContext.__slots__]

    assert sorted(x for x in found if isinstance(x, str)) == ["f", "granted", *"prsuv"]
    assert current() is None


def test_threads_do_not_see_each_others_context():
    seen = []
    with serving(RequestContext()):
        thread = threading.Thread(target=lambda: seen.append(current()))
        thread.start()
        thread.join()

    assert seen == [None]


def test_a_user_who_is_set_in_a_task_is_seen_by_the_request():
    async def request():
        with serving(RequestContext(visitor_id="v")) as _:

            async def log_in():
                current().user_id = "42"

            await asyncio.create_task(log_in())
            return current().user_id

    assert asyncio.run(request()) == "42"


def test_concurrent_tasks_keep_their_own():
    async def request(name):
        with serving(RequestContext(visitor_id=name)):
            await asyncio.sleep(0)
            return current().visitor_id

    async def main():
        return await asyncio.gather(*(request(str(n)) for n in range(10)))

    assert asyncio.run(main()) == [str(n) for n in range(10)]


def test_a_block_left_in_another_context_than_it_was_entered_in():
    block = serving(RequestContext())
    contextvars.copy_context().run(block.__enter__)

    block.__exit__(None, None, None)

    assert current() is None


def test_the_repr_tells_nothing_of_who_it_is():
    shown = repr(RequestContext(visitor_id="v", user_id="u", url="https://h/?token=x"))

    assert shown == "<RequestContext>"
    assert context.current() is None


def test_one_block_may_be_used_again_and_inside_of_itself():
    outer, inner = RequestContext(), RequestContext()
    block = serving(inner)

    with serving(outer):
        with block, block:
            assert current() is inner
        with block:
            assert current() is inner
        assert current() is outer

    assert current() is None


# -- a scope in a request --


def a_page():
    return RequestContext(
        visitor_id="v",
        session_id="s",
        user_id="u",
        url="https://shop.example/",
        referrer="https://a.example/",
        user_agent="Firefox",
        request_id="r",
        flow_id="f",
        parent_id="p",
        traceparent=TRACEPARENT,
        started_at_ms=1,
    )


def facts(context):
    names = {*RequestContext.__slots__, "trace_id"}
    return {name: getattr(context, name) for name in names}


def test_a_scope_of_correlation_only_is_still_the_request():
    with serving(a_page()), context_scope(flow_id="checkout") as scope:
        assert current() is scope
        assert facts(scope) == {**facts(a_page()), "flow_id": "checkout"}


def test_a_scope_of_nothing_is_still_the_request():
    with serving(a_page()), context_scope(request_id=None) as scope:
        assert facts(scope) == facts(a_page())


def test_what_happens_in_a_flow_is_known_to_the_request_and_stays_so():
    request = a_page()
    request.user_id = None
    with serving(request), context_scope(flow_id="a"), context_scope(parent_id="b"):
        current().user_id = "42"
        current().visitor_used = True
        request.visitor_id = "w"

        assert current().visitor_id == "w"

    assert (request.user_id, request.visitor_used) == ("42", True)
    assert (request.flow_id, request.parent_id) == ("f", "p")


@pytest.mark.parametrize("given", ["visitor_id", "session_id", "user_id"])
def test_a_scope_with_an_identity_has_no_other(given):
    with serving(a_page()), context_scope(**{given: "x"}) as scope:
        found = facts(scope)

    tied = {"request_id", "flow_id", "parent_id", "traceparent", "trace_id"}
    page = facts(a_page())
    nothing = facts(RequestContext())
    assert found == {**nothing, **{name: page[name] for name in tied}, given: "x"}


def test_a_log_in_under_another_identity_is_not_the_requests():
    request = a_page()
    with serving(request), context_scope(visitor_id="w") as scope:
        scope.user_id = "42"

    assert request.user_id == "u"


def test_an_identity_given_as_empty_is_nobody():
    with serving(a_page()), context_scope(user_id="") as scope:
        assert (scope.visitor_id, scope.user_id) == (None, "")


# -- traces --


def test_the_trace_is_part_of_the_correlation():
    with context_scope(traceparent=TRACEPARENT) as scope:
        assert scope.trace_id == TRACE


def test_a_context_without_a_trace_has_no_id_of_one():
    assert RequestContext().trace_id is None


def test_white_space_around_a_traceparent_is_none_of_it():
    assert read_traceparent(f" {TRACEPARENT}\t") == TRACEPARENT


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"00",
        5,
        "",
        "00",
        TRACE,
        TRACEPARENT.upper(),
        TRACEPARENT + "-00",
        TRACEPARENT + ", " + TRACEPARENT,
        TRACEPARENT[:-1],
        TRACEPARENT.replace("00-", "01-", 1),
        TRACEPARENT.replace("00-", "ff-", 1),
        TRACEPARENT.replace("b", "g"),
        TRACEPARENT.replace("b", "\N{ARABIC-INDIC DIGIT ONE}"),
        TRACEPARENT.replace(TRACE, "0" * 32),
        TRACEPARENT.replace("00f067aa0ba902b7", "0" * 16),
        TRACEPARENT.replace("-", "_"),
        " " * 300 + TRACEPARENT,
        "-" * 10_000,
    ],
)
def test_what_is_no_traceparent_is_ignored(header):
    assert read_traceparent(header) is None

    with context_scope(traceparent=header) as scope:
        assert (scope.traceparent, scope.trace_id) == (None, None)

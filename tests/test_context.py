"""Who is being served: found by all code that runs for a request, and by no other."""

import asyncio
import contextvars
import threading

import pytest

from mbuzz import context
from mbuzz.context import RequestContext, context_scope, current, serving


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

    assert sorted(x for x in found if isinstance(x, str)) == list("fprsuv")
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


def test_the_repr_says_who_and_nothing_else():
    shown = repr(RequestContext(visitor_id="v", user_id="u", url="https://h/?token=x"))

    assert shown == "<RequestContext visitor=v user=u>"
    assert context.current() is None

"""Async twins: the same calls, for code that must not wait in its event loop."""

import asyncio
import inspect
import threading

import pytest

import mbuzz
from mbuzz import api
from mbuzz.asynchronous import twin
from mbuzz.client import Client
from mbuzz.context import RequestContext, serving
from mbuzz.testing import capture

TWINS = "track page identify alias group conversion flush close".split()
PATIENCE = 15.0


def wait_for_it(seconds: float = 1.0, *, word: str = "done") -> str:
    """Wait."""
    return f"{word} in {threading.current_thread().name}"


@pytest.mark.parametrize("home", [api, Client, mbuzz], ids=["api", "Client", "mbuzz"])
@pytest.mark.parametrize("name", TWINS)
def test_every_call_has_a_twin_that_takes_the_same(home, name):
    call, its_twin = getattr(home, name), getattr(home, f"a{name}")

    assert inspect.iscoroutinefunction(its_twin)
    assert inspect.signature(its_twin) == inspect.signature(call)
    assert its_twin.__name__ == f"a{name}"
    assert name in its_twin.__doc__


def test_a_twin_returns_what_the_call_returns_from_another_thread():
    assert asyncio.run(twin(wait_for_it)(2.0, word="over")).startswith(
        "over in asyncio"
    )


def test_what_the_call_raises_comes_through():
    def failing():
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        asyncio.run(twin(failing)())


def test_a_twin_does_nothing_before_it_is_awaited():
    with capture() as captured:
        coroutine = mbuzz.atrack("Signup", user_id="1")
        before = list(captured)
        coroutine.close()

    assert before == captured == []


def test_the_event_loop_goes_on_meanwhile():
    entered, leave = threading.Event(), threading.Event()

    def waiting():
        entered.set()
        return leave.wait(PATIENCE)

    async def main():
        task = asyncio.create_task(twin(waiting)())
        while not entered.is_set():
            await asyncio.sleep(0)
        leave.set()  # only a loop that goes on comes here
        return await task

    assert asyncio.run(main()) is True


def test_a_twin_that_is_cancelled_ends_in_its_own_thread():
    entered, leave, ended = threading.Event(), threading.Event(), threading.Event()

    def waiting():
        entered.set()
        leave.wait(PATIENCE)
        ended.set()

    async def main():
        task = asyncio.create_task(twin(waiting)())
        while not entered.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        leave.set()

    asyncio.run(main())

    assert ended.wait(PATIENCE)


def test_the_twins_of_the_module_track():
    async def main():
        return (
            await mbuzz.atrack("Signup", user_id="1", properties={"plan": "pro"}),
            await mbuzz.apage(url="https://shop.example/", visitor_id="v"),
            await mbuzz.aidentify("1", visitor_id="v", traits={"name": "Zoë"}),
            await mbuzz.aalias("1", "guest-1"),
            await mbuzz.agroup("team", user_id="1", traits={"seats": 3}),
            await mbuzz.aconversion("purchase", user_id="1", revenue="9.90"),
            await mbuzz.aflush(1.0),
            await mbuzz.aclose(1.0),
        )

    with capture() as captured:
        results = asyncio.run(main())

    assert all(results)
    kinds = [item["type"] for item in captured]
    assert kinds == ["track", "track", "identify", "alias", "group", "conversion"]


def test_the_twins_of_a_client_track_for_it():
    async def main(client):
        return (
            await client.atrack("Signup", user_id="1"),
            await client.apage(url="https://shop.example/", visitor_id="v"),
            await client.aidentify("1"),
            await client.aalias("1", "guest-1"),
            await client.agroup("team"),
            await client.aconversion("purchase", user_id="1"),
            await client.aflush(1.0),
            await client.aclose(1.0),
        )

    client = Client(mbuzz.Config(api_key="sk_test_" + "k" * 32))
    with capture() as captured:
        results = asyncio.run(main(client))

    assert all(results)
    assert len(captured) == 6


def test_the_request_goes_along_and_a_log_in_comes_back():
    async def main():
        around = RequestContext(visitor_id="v", session_id="s", request_id="r")
        with serving(around):
            await mbuzz.atrack("Seen")
            await mbuzz.aidentify("42")
            await mbuzz.atrack("Known")
        return around.user_id

    with capture() as captured:
        user = asyncio.run(main())

    seen, _, known = captured
    assert (seen["visitor_id"], seen["correlation"]) == ("v", {"request_id": "r"})
    assert known["user_id"] == user == "42"


def test_twins_without_configuration_say_so():
    async def main():
        track = await mbuzz.atrack("Signup", user_id="1")
        conversion = await mbuzz.aconversion("purchase", user_id="1")
        bools = [
            await mbuzz.aidentify("1"),
            await mbuzz.aalias("1", "2"),
            await mbuzz.agroup("g"),
        ]
        return track, conversion, bools, await mbuzz.aflush(), await mbuzz.aclose()

    track, conversion, bools, flushed, closed = asyncio.run(main())

    assert (track.error, conversion.error) == ("not_configured", "not_configured")
    assert bools == [False, False, False]
    assert (flushed, closed) == (True, True)


def test_many_at_once():
    async def main():
        calls = (mbuzz.atrack("Signup", user_id=number) for number in range(100))
        return await asyncio.gather(*calls)

    with capture() as captured:
        results = asyncio.run(main())

    assert all(results)
    assert {item["id"] for item in captured} == {result.event_id for result in results}

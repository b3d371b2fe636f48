"""What the backend says after the page went out: it holds from the next page on."""

import threading
import time

import pytest

from mbuzz import api
from mbuzz.context import serving
from mbuzz.testing import ManualClock
from mbuzz.web.late import LateAnswers
from tests.web.backends import PATIENCE, a_backend, says
from tests.web.visits import FETCH, HTML, JSON, begin, values

VISITOR, OTHER, TOLD_VISITOR = "ab" * 32, "cd" * 32, "ef" * 32
SESSION, TOLD_SESSION = "01" * 16, "told_session"
TOLD = (TOLD_VISITOR, TOLD_SESSION)


@pytest.fixture
def late(clock):
    return LateAnswers(clock)


def test_answer_stands_for_what_was_proposed(late):
    late.keep(VISITOR, SESSION, TOLD)

    assert late.correct(VISITOR, SESSION) == TOLD
    assert late.correct(OTHER, "another_session") == (OTHER, "another_session")


def test_visitor_is_corrected_also_after_the_session(late):
    late.keep(VISITOR, SESSION, TOLD)

    assert late.correct(VISITOR, None) == (TOLD_VISITOR, None)
    assert late.correct(VISITOR, "next_session") == (TOLD_VISITOR, "next_session")


@pytest.mark.parametrize(
    "held", [(TOLD_VISITOR, SESSION), (VISITOR, TOLD_SESSION), TOLD]
)
def test_browser_that_took_half_of_the_answer_gets_all_of_it(late, held):
    late.keep(VISITOR, SESSION, TOLD)

    assert late.correct(*held) == TOLD


def test_answer_that_confirms_changes_nothing(late):
    late.keep(VISITOR, SESSION, (VISITOR, SESSION))

    assert late.correct(VISITOR, SESSION) == (VISITOR, SESSION)


def test_answer_holds_for_as_long_as_a_session(late, clock):
    late.keep(VISITOR, SESSION, TOLD)

    clock.advance(1_799)
    before = late.correct(VISITOR, SESSION)
    clock.advance(2)

    assert (before, late.correct(VISITOR, SESSION)) == (TOLD, (VISITOR, SESSION))


def test_newest_answer_holds(late):
    late.keep(VISITOR, SESSION, TOLD)
    late.keep(VISITOR, SESSION, (OTHER, "newer_session"))

    assert late.correct(VISITOR, SESSION) == (OTHER, "newer_session")


def test_oldest_answers_are_forgotten_first(late):
    for number in range(10_002):
        late.keep(f"v{number}", f"s{number}", (f"V{number}", f"S{number}"))

    assert late.correct("v0", "s0") == ("v0", "s0")
    assert late.correct("v2", "s2") == ("V2", "S2")
    assert late.correct("v10001", "s10001") == ("V10001", "S10001")


def test_answer_that_is_given_again_is_not_the_oldest(late):
    for number in (*range(10_000), 0, 10_000):
        late.keep(f"v{number}", f"s{number}", (f"V{number}", f"S{number}"))

    assert late.correct("v0", "s0") == ("V0", "S0")
    assert late.correct("v1", "s1") == ("v1", "s1")


def test_answers_come_and_are_asked_for_in_any_thread(late):
    failed = []

    def work(number):
        for n in range(2_000):
            ids = f"v{number}.{n}", f"s{number}.{n}"
            late.keep(*ids, ("V", "S"))
            if late.correct(*ids) != ("V", "S"):
                failed.append(ids)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert failed == []


# -- with a backend that takes its time --


class Slow:
    """A backend that knows its visitors by other names, and says so when it may."""

    def __init__(self, *cookies):
        self.may_answer = threading.Event()
        self._answer = says(*cookies)

    def __call__(self, environ, start_response):
        assert self.may_answer.wait(PATIENCE)
        return self._answer(environ, start_response)


def jar(cookies, *others):
    return "; ".join(f"{n}={v}" for n, v in {**cookies, **dict(others)}.items() if v)


def answer(backend, site, visitor):
    """Let *backend* answer, and wait until *site* knows."""
    backend.may_answer.set()
    until = time.monotonic() + PATIENCE
    while site.late.correct(visitor, None)[0] == visitor and time.monotonic() < until:
        threading.Event().wait(0.005)


def test_late_answer_is_used_on_the_next_page_and_from_then_on(site):
    backend = Slow(f"_mbuzz_vid={TOLD_VISITOR}", f"_mbuzz_sid={TOLD_SESSION}")
    with a_backend(backend, handshake_wait=0.0):
        first = values(begin(site).respond(200, HTML))
        answer(backend, site, first["_mbuzz_vid"])

        second_page = begin(site, cookie=jar(first))
        second = {**first, **values(second_page.respond(200, HTML))}
        site.late = LateAnswers(ManualClock())  # in another process, or later
        third_page = begin(site, cookie=jar(second))
        visit = third_page.context.visitor_id, third_page.context.session_id

    assert TOLD_VISITOR not in first.values()
    assert second == {"_mbuzz_vid": TOLD_VISITOR, "_mbuzz_sid": TOLD_SESSION}
    assert visit == TOLD


def test_late_answer_is_used_by_a_call_between_two_pages(site):
    backend = Slow(f"_mbuzz_vid={TOLD_VISITOR}", f"_mbuzz_sid={TOLD_SESSION}")
    with a_backend(backend, handshake_wait=0.0):
        first = values(begin(site).respond(200, HTML))
        answer(backend, site, first["_mbuzz_vid"])

        call = begin(site, FETCH, method="POST", cookie=jar(first))
        with serving(call.context):
            api.track("Clicked")
        held = {**first, **values(call.respond(200, JSON))}
        page = begin(site, cookie=jar(held))
        held = {**held, **values(page.respond(200, HTML))}

    assert held == {"_mbuzz_vid": TOLD_VISITOR, "_mbuzz_sid": TOLD_SESSION}


def test_late_answer_about_the_session_alone_leaves_the_visitor(site):
    backend = Slow(f"_mbuzz_sid={TOLD_SESSION}")
    with a_backend(backend, handshake_wait=0.0):
        first = values(begin(site).respond(200, HTML))
        backend.may_answer.set()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            page = begin(site, cookie=jar(first))
            if page.context.session_id == TOLD_SESSION:
                break
        second = values(page.respond(200, HTML))

    assert page.context.visitor_id == first["_mbuzz_vid"]
    assert second == {"_mbuzz_sid": TOLD_SESSION}


def test_late_answer_is_nobody_elses(site):
    backend = Slow(f"_mbuzz_vid={TOLD_VISITOR}", f"_mbuzz_sid={TOLD_SESSION}")
    with a_backend(backend, handshake_wait=0.0):
        first = values(begin(site).respond(200, HTML))
        answer(backend, site, first["_mbuzz_vid"])

        other = begin(site, cookie=f"_mbuzz_vid={OTHER}; _mbuzz_sid={SESSION}")

    assert (other.context.visitor_id, other.context.session_id) == (OTHER, SESSION)

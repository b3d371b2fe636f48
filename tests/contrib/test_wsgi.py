"""The WSGI middleware: the shared table, and everything PEP 3333 allows."""

import logging
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from wsgiref.validate import validator

import pytest

import mbuzz
from mbuzz.context import current
from mbuzz.contrib.wsgi import MbuzzMiddleware
from mbuzz.web import exchange, site, visit
from mbuzz.web.pageview import Rules
from tests.contrib.cases import CASES, HTML, JSON, Case, call_wsgi, check, wsgi_environ
from tests.processes import reserve_port
from tests.web.visits import FETCH, NAVIGATION, RETURNING, VISITOR

KEY = "sk_test_" + "0" * 32
THREADS = 100


def site_of(case):
    """Return the application that answers as *case* says."""

    def app(environ, start_response):
        case.does()
        start_response(f"{case.status} OK", list(case.answer))
        chunks = () if case.method == "HEAD" else case.chunks
        return (chunk for chunk in chunks) if case.streamed else list(chunks)

    return app


def page(environ, start_response):
    start_response("200 OK", list(HTML))
    return [b"hello"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_case(case, events):
    check(case, call_wsgi(MbuzzMiddleware(site_of(case)), case), events)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if case.status not in (204, 304)],
    ids=[name for name, case in CASES.items() if case.status not in (204, 304)],
)
def test_case_keeps_to_the_standard(case, events):
    app = validator(MbuzzMiddleware(validator(site_of(case))))
    environ = {**wsgi_environ(case), "wsgi.errors": sys.stderr}
    started = []

    body = app(environ, lambda *start: started.append(start) or (lambda data: None))
    with closing(body):
        list(body)

    assert int(started[0][0][:3]) == case.status


# -- the application's exceptions, and its ways to answer --


def test_exception_before_the_response_passes(events):
    def app(environ, start_response):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call_wsgi(MbuzzMiddleware(app), Case())

    assert current() is None


def test_environ_of_a_request_that_failed_may_be_the_next_visitors(events):
    kept = []

    def app(environ, start_response):
        kept.extend((mbuzz.current(), environ))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call_wsgi(MbuzzMiddleware(app), Case(headers=FETCH))
    context, environ = kept
    environ["HTTP_COOKIE"] = RETURNING

    assert context.visitor_id is None


def test_exception_in_the_body_passes_and_the_body_is_closed(events):
    closed = []

    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        try:
            yield b"a"
            raise ZeroDivisionError
        finally:
            closed.append(True)

    with pytest.raises(ZeroDivisionError):
        call_wsgi(MbuzzMiddleware(app), Case())

    assert closed == [True]
    assert current() is None


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_end_of_the_process_passes(events, error):
    def app(environ, start_response):
        raise error

    with pytest.raises(error):
        call_wsgi(MbuzzMiddleware(app), Case())


def test_second_start_response_replaces_the_first(events):
    calls = []

    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oops", list(HTML), sys.exc_info())
        return [b"sorry"]

    def start_response(status, headers, exc_info=None):
        calls.append((status, headers, exc_info))

    MbuzzMiddleware(app)(wsgi_environ(Case()), start_response)

    assert [status for status, *_ in calls] == ["200 OK", "500 Oops"]
    assert calls[0][1] == calls[1][1]
    assert len(calls[0][1]) == len(HTML) + 2
    assert calls[1][2][0] is ZeroDivisionError
    assert len(events.page_views()) == 1


def test_start_response_that_raises_again_is_heard(events):
    def app(environ, start_response):
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oops", list(HTML), sys.exc_info())

    def headers_are_out(status, headers, exc_info=None):
        raise exc_info[1]

    with pytest.raises(ZeroDivisionError):
        MbuzzMiddleware(app)(wsgi_environ(Case()), headers_are_out)


def test_start_response_of_two_arguments_is_enough(events):
    started = []

    MbuzzMiddleware(page)(wsgi_environ(Case()), lambda s, h: started.append(s))

    assert started == ["200 OK"]


def test_write_is_the_servers_own(events):
    def app(environ, start_response):
        write = start_response("200 OK", list(HTML))
        write(b"by write, ")
        return [b"by return"]

    answer = call_wsgi(MbuzzMiddleware(app), Case())

    assert answer.body == b"by write, by return"
    assert len(answer.cookies) == 2


def test_headers_of_another_kind_pass_with_our_cookies(events):
    def app(environ, start_response):
        start_response("200 OK", iter(HTML))
        return [b"hello"]

    answer = call_wsgi(MbuzzMiddleware(app), Case())

    assert answer.headers[:1] == HTML
    assert len(answer.cookies) == 2


def test_shared_list_of_headers_stays_as_it_is(events):
    def app(environ, start_response):
        start_response("200 OK", HTML)
        return [b"hello"]

    for _ in range(3):
        assert len(call_wsgi(MbuzzMiddleware(app), Case()).headers) == len(HTML) + 2

    assert len(HTML) == 1


def test_application_that_never_starts_is_not_our_matter(events):
    body = MbuzzMiddleware(lambda environ, start_response: [])(
        wsgi_environ(Case(cookie=RETURNING)), None
    )

    assert (body, events) == ([], [])


# -- several of us, and several requests --


def lazily(app):
    """Wrap *app* in a generator, as some middleware is."""

    def wrapped(environ, start_response):
        yield from app(environ, start_response)

    return wrapped


@pytest.mark.parametrize("between", [lambda app: app, lazily])
def test_nested_middleware_tracks_once(events, between):
    app = MbuzzMiddleware(between(MbuzzMiddleware(page)))

    answer = call_wsgi(app, Case())

    assert len(events.page_views()) == 1
    assert len(answer.cookies) == 2


def test_environ_that_is_used_again_is_tracked_again(events):
    environ = wsgi_environ(Case(cookie=RETURNING))

    for _ in range(2):
        MbuzzMiddleware(page)(environ, lambda *_: None)

    assert len(events.page_views()) == 2


def test_request_inside_a_request_is_a_request(events):
    def outer(environ, start_response):
        call_wsgi(MbuzzMiddleware(page), Case(path="/inner"))
        return page(environ, start_response)

    call_wsgi(MbuzzMiddleware(outer), Case(path="/outer"))

    urls = [view["properties"]["url"] for view in events.page_views()]
    assert urls == ["https://shop.example/inner", "https://shop.example/outer"]


def test_one_request_knows_nothing_of_the_one_before(events):
    seen = []

    def app(environ, start_response):
        seen.append((mbuzz.visitor_id(), mbuzz.user_id()))
        mbuzz.identify("42")
        return page(environ, start_response)

    for _ in range(2):
        call_wsgi(MbuzzMiddleware(app), Case())

    assert seen[0][0] != seen[1][0]
    assert [user for _, user in seen] == [None, None]


def test_hundred_requests_at_once_do_not_mix(events):
    together = threading.Barrier(THREADS)

    def app(environ, start_response):
        together.wait(10)
        mbuzz.identify(environ["PATH_INFO"])
        together.wait(10)
        seen = f"{mbuzz.visitor_id()} {mbuzz.user_id()}".encode()
        start_response("200 OK", list(JSON))
        return [seen]

    wrapped = MbuzzMiddleware(app)

    def visit(number):
        visitor = f"{number:064x}"
        case = Case(
            path=f"/{number}",
            cookie=f"_mbuzz_vid={visitor}; _mbuzz_sid=session-{number}",
            headers=FETCH,
        )
        return call_wsgi(wrapped, case).body == f"{visitor} /{number}".encode()

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(visit, range(THREADS)))

    assert {(e["user_id"], int(e["visitor_id"], 16)) for e in events} == {
        (f"/{number}", number) for number in range(THREADS)
    }


def test_reused_thread_knows_nothing_of_the_visitor_before(events):
    mbuzz.configure(strict=True, api_key=KEY, skip_paths=["/admin"])
    seen = []

    def app(environ, start_response):
        seen.append(mbuzz.current())
        return page(environ, start_response)

    wrapped = MbuzzMiddleware(app)

    def serve(case):
        call_wsgi(wrapped, case)
        seen.append(mbuzz.current())

    with ThreadPoolExecutor(1) as pool:
        for path in ("/", "/admin", "/static/a.css"):
            cookie = RETURNING if path == "/" else ""
            pool.submit(serve, Case(path=path, cookie=cookie)).result()

    served, between = seen[::2], seen[1::2]
    assert between == [None, None, None]
    assert [context.visitor_id == VISITOR for context in served] == [True, False, False]


def test_reused_thread_knows_no_visitor_once_tracking_is_off(events):
    seen = []

    def app(environ, start_response):
        seen.append(mbuzz.visitor_id())
        return page(environ, start_response)

    wrapped = MbuzzMiddleware(app)
    call_wsgi(wrapped, Case(cookie=RETURNING))
    mbuzz.configure(enabled=False)
    call_wsgi(wrapped, Case(cookie=RETURNING))

    assert seen == [VISITOR, None]


def test_websocket_by_upgrade_has_the_context_and_is_no_page(events):
    seen = []

    def app(environ, start_response):
        seen.append(mbuzz.visitor_id())
        return page(environ, start_response)

    headers = {**NAVIGATION, "Upgrade": "websocket", "Connection": "Upgrade"}
    answer = call_wsgi(MbuzzMiddleware(app), Case(headers=headers, cookie=RETURNING))

    assert seen == [VISITOR]
    assert (answer.cookies, events) == ({}, [])


def test_thread_that_the_view_starts_has_the_visitor_if_it_is_given_him(events):
    def app(environ, start_response):
        carried = mbuzz.carrier()

        def attached():
            with mbuzz.attach(carried):
                mbuzz.track("Attached")
            mbuzz.track("Afterwards", user_id="1")

        work = [mbuzz.bind(lambda: mbuzz.track("Bound")), attached]
        for target in work:
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
        return page(environ, start_response)

    call_wsgi(MbuzzMiddleware(app), Case(cookie=RETURNING, headers=FETCH))

    visitors = {event["event_type"]: event.get("visitor_id") for event in events}
    assert visitors == {"Bound": VISITOR, "Attached": VISITOR, "Afterwards": None}


# -- whatever the backend does --


def test_site_works_without_configuration(caplog):
    app = MbuzzMiddleware(page)

    answers = [call_wsgi(app, Case()) for _ in range(3)]

    assert {answer.body for answer in answers} == {b"hello"}
    assert {len(answer.headers) for answer in answers} == {len(HTML)}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_site_works_with_a_backend_that_is_down():
    with closing(reserve_port()) as nobody:
        port = nobody.getsockname()[1]
        mbuzz.configure(api_key=KEY, api_url=f"http://127.0.0.1:{port}", network=True)
        app = MbuzzMiddleware(page)

        answers = [call_wsgi(app, Case()) for _ in range(20)]

    assert {len(answer.cookies) for answer in answers} == {2}
    assert mbuzz.stats().accepted == 20


def test_site_works_with_a_backend_that_hangs():
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        mbuzz.configure(api_key=KEY, api_url=url, network=True, handshake_wait=1.0)
        app = MbuzzMiddleware(page)
        took = []
        for _ in range(20):
            started = time.perf_counter()
            assert len(call_wsgi(app, Case()).cookies) == 2
            took.append(time.perf_counter() - started)

    assert sum(took) < 10.0  # if each visitor waited, it would be twenty


def test_page_views_arrive_in_a_real_backend(backend):
    mbuzz.configure(api_key=backend.api_key, api_url=backend.url, network=True)

    answer = call_wsgi(MbuzzMiddleware(page), Case(query="utm_medium=email"))

    assert mbuzz.flush()
    assert mbuzz.stats().delivered == 1
    assert len(answer.cookies) == 2


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (Rules, "classify"),
        (Rules, "is_page"),
        (visit, "read_cookie"),
        (exchange, "Visit"),
        (exchange, "read_head"),
        (site, "Exchange"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bug_of_ours_is_not_the_sites(events, monkeypatch, caplog, place, name):
    monkeypatch.setattr(place, name, None)

    with caplog.at_level(logging.ERROR, logger="mbuzz"):
        answer = call_wsgi(MbuzzMiddleware(page), Case(cookie=RETURNING))

    assert (answer.status, answer.body, answer.cookies) == (200, b"hello", {})
    assert [record.name for record in caplog.records] == ["mbuzz.guard"]


def test_visit_goes_on_while_the_site_tracks(events):
    cookies = {}
    steps = [Case(), Case(path="/a"), Case(path="/b")]
    for step in steps:
        cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        answer = call_wsgi(MbuzzMiddleware(page), Case(path=step.path, cookie=cookie))
        cookies |= {name: morsel.value for name, morsel in answer.cookies.items()}

    views = events.page_views()
    assert {(v["visitor_id"], v["session_id"]) for v in views} == {
        (cookies["_mbuzz_vid"], cookies["_mbuzz_sid"])
    }
    assert len(views) == 3

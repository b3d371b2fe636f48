"""Bodies under the WSGI middleware: of every kind, read and closed in every way."""

import io
import sys
import threading
from contextlib import closing
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from werkzeug.wsgi import ClosingIterator

import mbuzz
from mbuzz.context import current
from mbuzz.contrib.wsgi import MbuzzMiddleware
from tests.contrib.cases import HTML, Case, call_wsgi, wsgi_environ
from tests.web.visits import FETCH, RETURNING, VISITOR

# -- the body --


class Sized:
    def __len__(self):
        return 1

    def __iter__(self):
        return iter([b"x"])


@pytest.mark.parametrize(
    "body", [[b"x"], (b"x",), [], Sized(), io.BytesIO(b"x"), FileWrapper(io.BytesIO())]
)
def test_finished_body_passes_untouched(events, body):
    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        return body

    environ = {**wsgi_environ(Case()), "wsgi.file_wrapper": FileWrapper}

    assert MbuzzMiddleware(app)(environ, lambda *_: None) is body


def test_lazy_body_runs_in_its_request_only(events):
    seen = []

    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        try:
            for number in range(2):
                seen.append(mbuzz.visitor_id())
                yield b"%d" % number
        finally:
            seen.append(mbuzz.visitor_id())

    environ = wsgi_environ(Case())
    body = MbuzzMiddleware(app)(environ, lambda *_: None)
    between = []
    with closing(body):
        for _ in body:
            between.append(current())

    visitor = events.page_views()[0]["visitor_id"]
    assert seen == [visitor] * 3
    assert between == [None, None]
    assert current() is None


def test_response_that_is_late_has_its_cookies(events):
    def app(environ, start_response):
        start_response("200 OK", list(HTML))  # at the first chunk
        yield b"hello"

    assert len(call_wsgi(MbuzzMiddleware(app), Case()).cookies) == 2


class Closable:
    def __init__(self):
        self.closed = []

    def __iter__(self):
        return iter([b"a", b"b"])

    def close(self):
        self.closed.append(mbuzz.visitor_id() is not None)


@pytest.mark.parametrize("chunks_read", [0, 1, 2])
def test_body_is_closed_once_in_its_context(events, chunks_read):
    inner = Closable()

    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        return inner

    body = MbuzzMiddleware(app)(wsgi_environ(Case()), lambda *_: None)
    for _ in range(chunks_read):
        next(body)
    body.close()
    body.close()

    assert inner.closed == [True]


def test_body_that_nobody_closes_leaves_nothing_behind(events):
    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        yield b"a"
        yield b"b"

    next(MbuzzMiddleware(app)(wsgi_environ(Case()), lambda *_: None))

    assert current() is None


# -- files --


class Readable:
    """A file of a kind that only has to be read."""

    def read(self, size=-1):
        return b""


@pytest.mark.parametrize(
    "file", [Readable(), io.BytesIO(b"x")], ids=["readable", "BytesIO"]
)
def test_file_that_the_servers_wrapper_returns_passes_as_it_is(events, file):
    """uWSGI's wrapper is a function, and knows the file again by its identity."""

    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        return environ["wsgi.file_wrapper"](file)

    environ = {**wsgi_environ(Case()), "wsgi.file_wrapper": lambda file, size=0: file}

    assert MbuzzMiddleware(app)(environ, lambda *_: None) is file


# -- the standard, for every kind of body --


def by_write(environ, start_response):
    write = start_response("200 OK", list(HTML))
    write(b"hello")
    return []


def returning(make):
    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        return make(environ)

    return app


def late(environ, start_response):
    start_response("200 OK", list(HTML))
    yield b"hello"


KINDS = {
    "list": returning(lambda _: [b"hello"]),
    "tuple": returning(lambda _: (b"hello",)),
    "nothing": returning(lambda _: []),
    "iterator": returning(lambda _: iter([b"hel", b"lo"])),
    "closing iterator": returning(lambda _: ClosingIterator([b"hello"], [current])),
    "file": returning(lambda e: e["wsgi.file_wrapper"](io.BytesIO(b"hello"))),
    "write": by_write,
    "late": late,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("around", ["around us", "around the site", "both"])
def test_body_keeps_to_the_standard(events, kind, around):
    app = KINDS[kind]
    if around != "around us":
        app = validator(app)
    app = MbuzzMiddleware(app)
    if around != "around the site":
        app = validator(app)
    more = {"wsgi.file_wrapper": FileWrapper, "wsgi.errors": sys.stderr}
    started, written = [], []

    def start_response(status, headers, exc_info=None):
        started.append((status, headers))
        return written.append

    body = app({**wsgi_environ(Case(cookie=RETURNING)), **more}, start_response)
    with closing(body) if hasattr(body, "close") else closing(io.BytesIO()):
        written.extend(body)

    names = [name for name, _ in started[0][1]]
    assert names == ["Content-Type", "Set-Cookie"]
    assert b"".join(written) == (b"" if kind == "nothing" else b"hello")
    assert len(events.page_views()) == 1
    assert current() is None


# -- closed early, late, elsewhere, or in a bad way --


def test_generator_that_is_closed_early_cleans_up_once_in_its_context(events):
    cleaned = []

    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        try:
            while True:
                yield b"more"
        finally:
            cleaned.append(mbuzz.visitor_id())

    body = MbuzzMiddleware(app)(wsgi_environ(Case(cookie=RETURNING)), lambda *_: None)
    assert next(body) == b"more"
    body.close()
    body.close()

    assert cleaned == [VISITOR]
    assert list(body) == []


def test_callbacks_of_a_closing_iterator_run_once_in_its_context(events):
    closed = []

    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        callbacks = [lambda: closed.append(mbuzz.visitor_id())] * 2
        return ClosingIterator(iter([b"a", b"b"]), callbacks)

    answer = call_wsgi(MbuzzMiddleware(app), Case(cookie=RETURNING))

    assert answer.body == b"ab"
    assert closed == [VISITOR, VISITOR]


def test_error_while_closing_passes(events):
    class Broken:
        def __iter__(self):
            return iter([b"a"])

        def close(self):
            raise ZeroDivisionError

    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        return Broken()

    with pytest.raises(ZeroDivisionError):
        call_wsgi(MbuzzMiddleware(app), Case())

    assert current() is None


def test_generator_that_fails_before_it_starts_a_response_is_no_page_view(events):
    def app(environ, start_response):
        raise ZeroDivisionError
        yield b""

    body = MbuzzMiddleware(app)(wsgi_environ(Case()), None)
    with pytest.raises(ZeroDivisionError):
        next(body)
    body.close()

    assert events == []
    assert current() is None


def test_bodies_that_take_turns_on_one_thread_do_not_mix(events):
    """So it is with greenlets, and with servers that are driven by events."""

    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        for _ in range(3):
            yield (mbuzz.visitor_id() or "").encode()

    wrapped = MbuzzMiddleware(app)
    visitors = [f"{number:064x}" for number in range(5)]
    bodies = [
        wrapped(
            wsgi_environ(Case(cookie=f"_mbuzz_vid={visitor}", headers=FETCH)),
            lambda *_: None,
        )
        for visitor in visitors
    ]
    seen = [[chunk.decode() for chunk in turn] for turn in zip(*bodies, strict=True)]
    for body in bodies:
        body.close()

    assert seen == [visitors] * 3
    assert current() is None


def test_body_may_be_read_by_another_thread(events):
    def app(environ, start_response):
        start_response("200 OK", list(HTML))
        yield (mbuzz.visitor_id() or "").encode()

    body = MbuzzMiddleware(app)(wsgi_environ(Case(cookie=RETURNING)), lambda *_: None)
    read = []

    def drain():
        with closing(body):
            read.extend(body)
        read.append(current())

    thread = threading.Thread(target=drain)
    thread.start()
    thread.join()

    assert read == [VISITOR.encode(), None]

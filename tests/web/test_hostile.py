"""Whatever comes in: the site answers as without us, and what we add is well-formed."""

import asyncio
import io
import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbuzz import api
from mbuzz.contrib import asgi, wsgi
from mbuzz.testing import capture
from mbuzz.web.site import Site
from tests.web.backends import a_backend, landing, says
from tests.web.visits import AGENT, KEY, NAVIGATION, RETURNING, SESSION, VISITOR

OWN = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("X-Own", "caf\xe9"),
    ("Set-Cookie", "own=1; Path=/"),
    ("Set-Cookie", "own=2; Path=/x"),
]
BODY = b"<h1>the site's own</h1>"
OURS = re.compile(
    r"(?:_mbuzz_vid=[0-9a-f]{64}; Path=/; Max-Age=31536000"
    r"|_mbuzz_sid=[0-9A-Za-z_-]{8,128}; Path=/; Max-Age=1800)"
    r"; HttpOnly; SameSite=Lax(?:; Secure)?"
)


@pytest.fixture
def events(caplog):
    """Return what is captured, and see that nobody is told of a bug of ours."""
    with capture() as captured:
        api.configure(api_key=KEY, trusted_proxies=2, send_ip=True)
        yield captured
    loud = [r for r in caplog.records if r.levelno > logging.WARNING]
    assert [r.getMessage() for r in loud] == []


# -- two servers, with us and without --


def wsgi_site(environ, start_response):
    api.track("Seen")
    api.visitor_id()
    start_response("200 OK", list(OWN))
    return [BODY]


async def asgi_site(scope, receive, send):
    api.track("Seen")
    api.visitor_id()
    headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in OWN]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def over_wsgi(app, headers, **changed):
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "10.0.0.1",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "10.0.0.2",
        "HTTP_HOST": "shop.example",
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
    }
    for name, value in headers:
        key = f"HTTP_{name.upper().replace('-', '_')}"
        both = key in environ and key != "HTTP_HOST" and isinstance(value, str)
        environ[key] = f"{environ[key]},{value}" if both else value
    environ |= {
        name: value for name, value in changed.items() if name not in ("path", "query")
    }
    if "path" in changed:
        environ["PATH_INFO"] = changed["path"].decode("latin-1")
    if "query" in changed:
        environ["QUERY_STRING"] = changed["query"].decode("latin-1")
    started = []
    body = b"".join(app(environ, lambda *said: started.append(said)))
    ((status, fields),) = started
    return status, list(fields), body


def over_asgi(app, headers, path=b"/", query=b""):
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path.decode("utf-8", "surrogateescape"),
        "raw_path": path,
        "root_path": "",
        "query_string": query,
        "headers": [(b"host", b"shop.example")] * (not _names_host(headers))
        + [(name.lower().encode(), _raw(value)) for name, value in headers],
        "client": ("10.0.0.2", 50_000),
        "server": ("10.0.0.1", 80),
    }
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, None, send))
    fields = [(k.decode(), v.decode("latin-1")) for k, v in sent[0]["headers"]]
    return sent[0]["status"], fields, sent[1]["body"]


def _names_host(headers):
    return any(name.lower() == "host" for name, _ in headers)


def _latin(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _raw(value):
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


SERVERS = {
    "wsgi": (over_wsgi, wsgi_site, wsgi.MbuzzMiddleware),
    "asgi": (over_asgi, asgi_site, asgi.MbuzzMiddleware),
}


@pytest.fixture(params=SERVERS.values(), ids=SERVERS)
def served(request, events):
    """Return what serves a request and sees that it is served as without us."""

    def serve(headers=(), **parts):
        if request.param[0] is over_wsgi:
            headers = [(name, _latin(value)) for name, value in headers]
        return check(request.param, [*NAVIGATION.items(), *headers], **parts)

    return serve


def check(server, headers, **parts):
    """Serve with us and without; return what our cookies are."""
    call, site, middleware = server
    with_us = call(middleware(site), headers, **parts)
    client = api.swap(None)
    plain = call(site, headers, **parts)
    api.swap(client)

    theirs, ours = with_us[1][: len(plain[1])], with_us[1][len(plain[1]) :]
    assert (with_us[0], theirs, with_us[2]) == plain
    assert {name.lower() for name, _ in ours} <= {"set-cookie"}
    assert all(OURS.fullmatch(value) for _, value in ours)
    assert len(ours) in (0, 1, 2)
    return {value.partition("=")[0]: value.split(";")[0] for _, value in ours}


# -- cookies --

JUNK = "x" * 60_000
COOKIES = {
    "one of 60 kB": f"a={JUNK}",
    "10,000": "; ".join(f"a{n}={n}" for n in range(10_000)),
    "500 twins": "; ".join(f"_mbuzz_vid=junk{n}" for n in range(500)),
    "500 prefixes": "; ".join(f"x_mbuzz_vid={VISITOR}" for n in range(500)),
    "ours of 60 kB": f"_mbuzz_vid={'ab' * 30_000}; _mbuzz_sid={JUNK}",
    "separators": ";" * 60_000,
    "equals": "=" * 60_000,
    "quotes": '"' * 60_000,
    "one quote": '_mbuzz_vid="' + VISITOR,
    "name alone": "_mbuzz_vid",
    "empty": "_mbuzz_vid=; _mbuzz_sid=",
    "uppercase": f"_mbuzz_vid={VISITOR.upper()}",
    "underscores": f"_mbuzz_vid={'a_' * 32}",
    "line break": f"_mbuzz_vid={VISITOR}\r\nSet-Cookie: admin=1",
    "line break within": "_mbuzz_sid=abcdefgh\r\nX: y",
    "nul": f"_mbuzz_vid={VISITOR}\0; _mbuzz_sid={SESSION}\0",
    "other digits": f"_mbuzz_vid={chr(0x661) * 64}",
    "json": '_mbuzz_vid={"a":1}; a[b]=1',
    "not utf-8": b"_mbuzz_vid=\xff\xfe; caf\xe9=\xe9",
    "surrogates": b"_mbuzz_vid=\xed\xa0\x80",
    "attributes": f"_mbuzz_sid={SESSION}; Domain=evil; Path=/x; Max-Age=9",
}


@pytest.mark.parametrize("cookie", COOKIES.values(), ids=COOKIES)
def test_odd_cookies_make_a_new_visitor(served, events, cookie):
    ours = served([("Cookie", cookie)])

    assert list(ours) == ["_mbuzz_vid", "_mbuzz_sid"]
    assert {f"_mbuzz_vid={e['visitor_id']}" for e in events} == {ours["_mbuzz_vid"]}


KNOWN = {
    "among 10,000": f"{COOKIES['10,000']}; {RETURNING}",
    "after 60 kB": f"a={JUNK}; {RETURNING}",
    "before 60 kB": f"{RETURNING}; a={JUNK}",
    "quoted": f'_mbuzz_vid="{VISITOR}"; _mbuzz_sid="{SESSION}"',
    "twice": f"{RETURNING}; _mbuzz_vid={'cd' * 32}; _mbuzz_sid=other_session",
    "junk first": f"_mbuzz_vid=junk; _mbuzz_sid=x; {RETURNING}",
    "commas": RETURNING.replace("; ", ", "),
    "no spaces": RETURNING.replace("; ", ";"),
    "odd others": f'a="b; {RETURNING}; c[d]={{"e":"f;g"}}',
}


@pytest.mark.parametrize("cookie", KNOWN.values(), ids=KNOWN)
def test_visitor_is_known_among_odd_cookies(served, events, cookie):
    ours = served([("Cookie", cookie)])

    assert ours == {"_mbuzz_sid": f"_mbuzz_sid={SESSION}"}
    assert {event["visitor_id"] for event in events} == {VISITOR}


# -- the other headers --

EVERY = (
    *("Accept", "Accept-Language", "Cookie", "DNT", "Host", "Origin", "Purpose"),
    *("Range", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site"),
    *("Sec-GPC", "Sec-Purpose", "Traceparent", "Upgrade", "User-Agent"),
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Moz"),
    *("X-Requested-With", "X-Request-ID", "X-Turbo-Request-Id", "HX-Request"),
    *("X-Up-Target", "X-Inertia", "Sec-Ch-Ua"),
)
VALUES = {
    "crlf": "a\r\nSet-Cookie: admin=1\r\n\r\n<script>",
    "lf": "a\nb",
    "nul": "a\0b",
    "empty": "",
    "spaces": " \t ",
    "controls": "".join(map(chr, range(32))) + "\x7f",
    "latin-1": "caf\xe9",
    "high": "\x80\x9f\xff",
    "16 kB": "x" * 16_384,
    "commas": "," * 16_384,
    "semicolons": "navigate;" * 2_000,
    "percent": "%00%ff%",
    "format": "%s%n{0}{self}",
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_odd_value_of_any_header_does_no_harm(served, events, value):
    for name in EVERY:
        served([(name, value)])

    assert all(_is_clean(event) for event in events)


KINDS = (b"bytes", 5, 0.5, None, True, ["a"], {"a": 1}, object())


@pytest.mark.parametrize("value", KINDS, ids=lambda value: type(value).__name__)
def test_odd_kind_of_value_does_no_harm(events, value):
    for name in EVERY:
        check(SERVERS["wsgi"], [*NAVIGATION.items(), (name, value)])


@pytest.mark.parametrize(
    "name",
    [
        *("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT"),
        *("REMOTE_ADDR", "HTTP_HOST", "wsgi.url_scheme", "REQUEST_METHOD"),
    ],
)
@pytest.mark.parametrize("value", ["\ud800", "\xff", None, b"x", 7], ids=ascii)
def test_odd_environ_does_no_harm(events, name, value):
    check(SERVERS["wsgi"], NAVIGATION.items(), **{name: value})


HOSTS = {
    "space": "shop .example",
    "userinfo": "user:pass@shop.example",
    "other script": "sh\xf6p.example",
    "300 characters": f"{'x' * 300}.example",
    "16 kB": "x" * 16_384,
    "path": "shop.example/../admin",
    "backslash": "shop.example\\evil",
    "two": "shop.example, evil.example",
    "port": "shop.example:99999999",
    "no port": "shop.example:",
    "brackets": "[::1",
    "zone": "[fe80::1%25eth0]",
    "quotes": '"><script>',
    "crlf": "shop.example\r\nX: y",
    "nul": "shop.example\0",
    "query": "shop.example?x#y",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_wrong_host_gets_nothing_recorded_under_it(served, events, host):
    served([("Host", host)])

    urls = [e["properties"].get("url", "") for e in events]
    assert all("evil" not in url and " " not in url and "<" not in url for url in urls)
    assert all(_is_clean(event) for event in events)


@pytest.mark.parametrize("name", ["For", "Host", "Proto", "Port", "Server"])
@pytest.mark.parametrize(
    "value",
    ["10.0.0.1, " * 5_000, ", " * 5_000, "unix:," * 900, "[::1]," * 900, "a\r\nb"],
    ids=["addresses", "nothing", "sockets", "brackets", "crlf"],
)
def test_floods_of_forwarded_headers_do_no_harm(served, events, name, value):
    served([(f"X-Forwarded-{name}", value)] * 3)

    assert all(_is_clean(event) for event in events)


# -- paths and queries --

BYTES = {
    "crlf": b"/a\r\nSet-Cookie: admin=1",
    "nul": b"/a\0b",
    "not utf-8": b"/caf\xe9\xff\xfe",
    "surrogates": b"/\xed\xa0\x80\xed\xbf\xbf",
    "overlong": b"/\xc0\xaf\xe0\x80\xaf",
    "16 kB": b"/" + b"x" * 16_384,
    "16 kB not ascii": b"/" + "\u4e2d".encode() * 5_000,
    "slashes": b"/" * 16_384,
    "dots": b"/../../../../etc/passwd",
    "percent": b"/%%%2525%zz%",
    "astral": "/\U0001f600\U0010ffff".encode(),
    "direction": "/\u202eabc\u2028\u2029".encode(),
    "script": b"/<script>alert(1)</script>?x",
    "empty": b"",
    "no slash": b"*",
}


@pytest.mark.parametrize("given", BYTES.values(), ids=BYTES)
def test_odd_paths_and_queries_do_no_harm(served, events, given):
    served(path=given)
    served(query=given)
    served([("Referer", f"https://a.example{given.decode('latin-1')}")])

    assert all(_is_clean(event) for event in events)
    assert all(len(e["properties"]["url"]) <= 8_192 for e in events)


def _is_clean(event):
    """Tell whether an event can be stored, and shown on one line."""
    texts = [v for v in event["properties"].values() if isinstance(v, str)]
    return all(not re.search("[\\0-\\x1f\\x7f\ud800-\udfff]", text) for text in texts)


PRINTABLE = st.characters(min_codepoint=0, max_codepoint=255)


@given(
    server=st.sampled_from(sorted(SERVERS)),
    headers=st.lists(
        st.tuples(st.sampled_from(EVERY), st.text(PRINTABLE, max_size=60)), max_size=6
    ),
    path=st.binary(max_size=30),
    query=st.binary(max_size=30),
)
def test_any_request_is_served_as_without_us(server, headers, path, query):
    with capture() as events:
        api.configure(api_key=KEY, trusted_proxies=1, send_ip=True)

        check(SERVERS[server], [*NAVIGATION.items(), *headers], path=path, query=query)

    assert all(_is_clean(event) for event in events)


# -- responses --

RESPONSES = {
    "no headers": [],
    "odd cookie": [("Set-Cookie", "a=\r\nb")],
    "our name": [("Set-Cookie", "_mbuzz_vid=theirs")],
    "10,000 headers": [(f"X-{n}", "y") for n in range(10_000)],
    "long": [("Content-Type", "text/html;" + "x" * 100_000)],
    "cache": [("Cache-Control", "public," * 10_000)],
    "twins": [("Content-Type", "text/html"), ("Content-Type", "image/png")],
    "high": [("Content-Type", "text/html; a=\xff\x80")],
}


@pytest.mark.parametrize("fields", RESPONSES.values(), ids=RESPONSES)
@pytest.mark.parametrize("status", ["200 OK", "200", "", "999 Odd", "abc", "2\u06600"])
def test_odd_response_goes_out_as_it_is(events, fields, status):
    def site(environ, start_response):
        start_response(status, list(fields))
        return [BODY]

    check((over_wsgi, site, wsgi.MbuzzMiddleware), NAVIGATION.items())


@pytest.mark.parametrize("kind", [iter, tuple, list], ids=lambda kind: kind.__name__)
def test_headers_of_any_sequence_go_out(events, kind):
    def site(environ, start_response):
        start_response("200 OK", kind(OWN))
        return [BODY]

    check((over_wsgi, site, wsgi.MbuzzMiddleware), NAVIGATION.items())


# -- the backend's answer --

SET = {
    "crlf": f"_mbuzz_vid={'ef' * 32}\r\nX-Evil: 1",
    "crlf in the age": "_mbuzz_sid=told_session; Max-Age=1\r\nX-Evil: 1",
    "other name": "admin=1; Path=/",
    "prefix": "x_mbuzz_vid=1",
    "domain": "_mbuzz_sid=told_session; Domain=evil.example; SameSite=None",
    "10 MB of age": "_mbuzz_sid=told_session; Max-Age=" + "9" * 10_000_000,
    "10 MB of value": "_mbuzz_sid=" + "x" * 10_000_000,
    "10 MB of spaces": "_mbuzz_sid=told_session; Max-Age" + " " * 10_000_000,
    "10 MB of semicolons": "_mbuzz_sid=told_session" + "; max-age" * 1_000_000,
    "negative": "_mbuzz_sid=told_session; Max-Age=-1",
    "nothing": "",
    "quotes": '_mbuzz_sid="told_session"',
}


@pytest.mark.parametrize("said", SET.values(), ids=SET)
def test_backend_cannot_put_anything_else_into_the_response(said, caplog):
    site = Site()
    site.landed("/", got_cookies=True)

    with a_backend(says(said)):
        cookies = [cookie.header() for cookie in landing(site)]

    assert all(OURS.fullmatch(cookie) for cookie in cookies)
    assert [cookie.partition("=")[0] for cookie in cookies] == [
        "_mbuzz_vid",
        "_mbuzz_sid",
    ]
    assert [r for r in caplog.records if r.levelno > logging.WARNING] == []


def test_thousand_cookies_of_the_backend_are_two():
    site = Site()
    site.landed("/", got_cookies=True)
    said = [f"{n}_{i:08}={i}" for i in range(500) for n in ("_mbuzz_sid", "a")]

    with a_backend(says(*said, "_mbuzz_sid=first_one", "_mbuzz_sid=last_one")):
        cookies = landing(site)

    assert [cookie.name for cookie in cookies] == ["_mbuzz_vid", "_mbuzz_sid"]
    assert cookies[1].value == "last_one"


# -- how much work it is --


def calls(work):
    """Return how many functions *work* calls, of Python and C."""
    count = 0

    def seen(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


GROWING = {
    "cookies": lambda n: [("Cookie", "; ".join(f"a{i}={i}" for i in range(n)))],
    "twins": lambda n: [("Cookie", "; ".join("_mbuzz_vid=junk" for _ in range(n)))],
    "length": lambda n: [("Cookie", "a=" + "x" * n)],
    "forwarded": lambda n: [("X-Forwarded-For", "10.0.0.1," * n)],
    "hosts": lambda n: [("X-Forwarded-Host", "a.example," * n)],
    "referrer": lambda n: [("Referer", "https://a.example/?" + "gclid=1&" * n)],
    "agent": lambda n: [("User-Agent", AGENT + "x" * n)],
    "accept": lambda n: [("Accept", "text/plain," * n)],
    "trace": lambda n: [("Traceparent", "00-" * n)],
}


@pytest.mark.parametrize("grow", GROWING.values(), ids=GROWING)
@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_work_does_not_grow_with_what_is_sent(events, server, grow):
    call, site, middleware = server
    app = middleware(site)

    def served(n):
        headers = [*NAVIGATION.items(), ("Sec-GPC", "1"), *grow(n)]
        if call is over_wsgi:
            headers = list(dict(headers).items())
        return calls(lambda: call(app, headers))

    served(100)  # what is only done once
    small, large = served(1_000), served(10_000)

    assert large <= small + 100


def test_work_for_many_headers_grows_no_faster_than_they_do(events):
    call, site, middleware = SERVERS["asgi"]
    app = middleware(site)

    def served(n):
        headers = [*NAVIGATION.items(), *((f"X-{i}", "y") for i in range(n))]
        with_us, alone = (
            min(calls(lambda served=served: call(served, headers)) for _ in range(5))
            for served in (app, site)
        )  # the least of some: a look for garbage, say, is no work of ours
        return with_us - alone

    served(100)
    small, large = served(1_000), served(10_000)

    assert large <= 11 * small

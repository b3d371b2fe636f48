"""What a page's own scripts may ask of the site: cookies, and to record something."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mbuzz import guard, protocol
from mbuzz.buckets import Buckets
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.context import GRANTED, serving
from mbuzz.explanations import explain
from mbuzz.forwarded import truncate
from mbuzz.web.consent import has_gpc, without_click_ids
from mbuzz.web.cookies import Cookie
from mbuzz.web.origin import is_same_origin
from mbuzz.web.pageview import is_bot, is_prefetch
from mbuzz.web.request import WebRequest
from mbuzz.web.script_page import ScriptPage, is_page_of
from mbuzz.web_options import WebOptions

if TYPE_CHECKING:
    from mbuzz.web.exchange import Exchange

MAX_BODY = 65_536  # bytes; an event has room for half of that

_SESSION = "session"
_RATE, _BURST = 20.0, 100  # requests of one browser in a second, and at once
_ALL_RATE, _ALL_BURST = 500.0, 2_000  # of all, in this process
_LONGEST_URL = 4_096
_LEFT_OUT = (
    *("no_consent", "sampled_out", "before_send", "disabled", "network_off"),
    *("bot", "not_counted"),
)
_OF_THE_REQUEST = ("url", "referrer", "user_agent", "ip")  # what a page view says of it
_WRONG = ("missing_event", "missing_identity", "event_too_large", "undeclared_event")
_NUMBERS_UP_TO = 10**protocol.MAX_USER_ID


class Answer(NamedTuple):
    """A response of ours; the body is JSON or empty."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    cookies: Sequence[Cookie] = ()  # which go out as headers, too


class _RefusedError(ValueError):
    """The request cannot be served; says why in a sentence."""

    def __init__(self, status: int, code: str, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.answer = _answer(
            status, {"error": sentence, "code": code}, headers.items()
        )


class Endpoints:
    """Those paths below `endpoint_prefix` that the options turn on."""

    def __init__(self, options: WebOptions) -> None:
        prefix = options.endpoint_prefix
        calls = (*options.collect, *((_SESSION,) if options.session_endpoint else ()))
        self._calls = {f"{prefix}/{call}": call for call in calls}
        self._options = options
        self._each = Buckets(SYSTEM_CLOCK, _RATE, _BURST)
        self._all = Buckets(SYSTEM_CLOCK, _ALL_RATE, _ALL_BURST)
        self._unknown = Buckets(SYSTEM_CLOCK, _ALL_RATE, _ALL_BURST)

    def find(self, request: WebRequest) -> str | None:
        """Return which of ours *request* is for, if any."""
        return self._calls.get(request.path) if self._calls else None

    def refuse(self, exchange: Exchange, length: str | None) -> Answer | None:
        """Return the answer to a request whose body is not worth reading.

        *length* is its Content-Length, where the server needs one.
        """

        def check() -> Answer | None:
            request = exchange.request
            if request.method != "POST":
                raise _RefusedError(
                    405, "method_not_allowed", "Use POST here.", Allow="POST"
                )
            if not is_same_origin(request.header, request.host, request.scheme):
                raise _RefusedError(
                    403, "cross_origin", "Only pages of this site may ask here."
                )
            self._check_rate(request)
            if length is not None:
                _check_length(length)
            return None

        answer = guard.attempt(check, _failed)
        if answer is not None and exchange.request.method == "HEAD":
            return answer._replace(body=b"")
        return answer

    def _check_rate(self, request: WebRequest) -> None:
        # Behind a proxy that nobody told us to trust, all come from one address.
        chain = request.header("x-forwarded-for") or ""
        ip = request.client_ip or ""
        # The server may have taken the client from the chain by itself, as ProxyFix.
        known = self._options.trusted_proxies or not chain or ip in _entries(chain)
        # Whoever forges the header takes from those who have it, and from no others.
        wait = 0.0
        if known:
            wait = self._each.take(_network(ip))
        if wait == 0.0:
            wait = (self._all if known else self._unknown).take("")
        if wait > 0.0:
            raise _RefusedError(
                429,
                "rate_limited",
                "Too many requests; try again later.",
                **{"Retry-After": str(math.ceil(wait))},
            )

    def answer(self, exchange: Exchange, call: str, body: bytes) -> Answer:
        """Do what is asked, and return the answer, with cookies. Never raises."""
        served = guard.attempt(lambda: self._serve(exchange, call, body), _failed)
        with guard.swallowing("web endpoint"):
            cookies = exchange.cookies(page=exchange.context.is_page)
            return served._replace(cookies=cookies)
        return served

    def _serve(self, exchange: Exchange, call: str, body: bytes) -> Answer:
        said = _read(body)
        if call == _SESSION:
            return self._open(exchange, said)
        return self._collect(exchange, call, said)

    def _open(self, exchange: Exchange, said: Mapping[str, Any]) -> Answer:
        """Count a page that came from a cache, and give its visitor the cookies."""
        page = _page(exchange.request, said)
        if _text(said, "url") is None:
            raise _RefusedError(400, "url_missing", "Say which page: 'url' is missing.")
        if not self._is_bot(exchange.request) and self._counts(exchange, page):
            _turn_to(exchange, page, is_page=True)
            exchange.record()
        return Answer(204, [("Cache-Control", "no-store")])

    def _collect(
        self, exchange: Exchange, call: str, said: Mapping[str, Any]
    ) -> Answer:
        event = said.get("event")
        name = event.strip() if isinstance(event, str) else ""
        page_view = call == "track" and name == protocol.PAGE_VIEW
        if page_view:
            said = _without_request(said)
        page = _page(exchange.request, said)
        if self._is_bot(exchange.request):
            return _not_taken("bot")
        if page_view and not self._counts(exchange, page):
            return _not_taken("not_counted")
        _turn_to(exchange, page, is_page=page_view)
        with serving(exchange.context):
            return _CALLS[call](exchange, said)

    def _is_bot(self, request: WebRequest) -> bool:
        agent = request.header("user-agent") or ""
        return not self._options.track_bots and is_bot(agent)

    def _counts(self, exchange: Exchange, page: ScriptPage) -> bool:
        """Tell whether the site's own rules would count the page, too."""
        rules = exchange.site.rules
        if rules.skipped(page.path):
            return False
        if not self._options.track_prefetches and is_prefetch(exchange.request):
            return False
        return rules.allows(page)


def _page(request: WebRequest, said: Mapping[str, Any]) -> ScriptPage:
    """Return the page that the script names, else the one that the browser names."""
    url = _text(said, "url")
    referrer = _text(said, "referrer")
    if url is not None:
        if not is_page_of(request, url):
            raise _RefusedError(
                400,
                "foreign_url",
                "'url' must be the whole address of a page of this site.",
            )
    elif request.referrer is not None and is_page_of(request, request.referrer):
        url = request.referrer
    if referrer is not None and not referrer.startswith(("http://", "https://")):
        referrer = None
    if has_gpc(request):
        url = url and without_click_ids(url)
        referrer = referrer and without_click_ids(referrer)
    return ScriptPage(request, url, referrer)


def _turn_to(exchange: Exchange, page: ScriptPage, *, is_page: bool) -> None:
    """Make the page that the script runs in the context's page."""
    context = exchange.context
    context.is_page = is_page
    context.visitor_id  # noqa: B018 - reads all that the request says, once
    context.url = page.url
    context.referrer = page.referrer


def _without_request(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is said of a page view, its page where all pages are said."""
    properties = said.get("properties")
    if not isinstance(properties, dict):
        return said
    own = {
        name: value for name, value in properties.items() if name not in _OF_THE_REQUEST
    }
    moved = {
        name: properties[name] for name in ("url", "referrer") if properties.get(name)
    }
    return {**moved, **said, "properties": own}


def _track(exchange: Exchange, said: Mapping[str, Any]) -> Answer:
    properties = said.get("properties")
    request = exchange.request
    if exchange.context.is_page and isinstance(properties, dict | None):
        properties = {**(properties or {}), **exchange.site.rules.marks(request)}
        ip = truncate(request.client_ip or "") if exchange.site.options.send_ip else ""
        if ip:
            properties["ip"] = ip
    elif isinstance(properties, dict) and has_gpc(request):
        properties = {
            name: without_click_ids(value) if isinstance(value, str) else value
            for name, value in properties.items()
        }
    event = said.get("event")
    if not isinstance(event, str) or not event.strip():
        # Not for the client to find: its health is not for strangers to spoil.
        raise _RefusedError(400, "missing_event", "'event' must be a text.")
    result = exchange.client.track(event, properties=properties)
    if result.success:
        return _answer(202, {"success": True, "event_id": result.event_id})
    return _not_taken(result.error or "")


def _identify(exchange: Exchange, said: Mapping[str, Any]) -> Answer:
    _need(said, "user_id")
    user: Any = said["user_id"]
    return _taken(exchange.client.identify(user, traits=said.get("traits")), exchange)


def _group(exchange: Exchange, said: Mapping[str, Any]) -> Answer:
    _need(said, "group_id")
    group: Any = said["group_id"]
    return _taken(exchange.client.group(group, traits=said.get("traits")), exchange)


_CALLS: Mapping[str, Callable[[Exchange, Mapping[str, Any]], Answer]] = {
    "track": _track,
    "identify": _identify,
    "group": _group,
}


def _need(said: Mapping[str, Any], name: str) -> None:
    value = said.get(name)
    text = isinstance(value, str) and 0 < len(value.strip()) <= protocol.MAX_USER_ID
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not text and not (is_number and abs(value or 0) < _NUMBERS_UP_TO):
        raise _RefusedError(
            400,
            f"invalid_{name}",
            f"'{name}' must be a text of at most {protocol.MAX_USER_ID} characters, "
            "or a whole number.",
        )


def _taken(taken: bool, exchange: Exchange) -> Answer:  # noqa: FBT001
    """Answer for a call that does not say why it was not taken."""
    if taken:
        return _answer(202, {"success": True})
    if exchange.context.consent != GRANTED:
        return _not_taken("no_consent")
    config = exchange.client.config
    if config.before_send is not None:
        return _not_taken("before_send")
    if not config.network:
        return _not_taken("network_off")
    return _not_taken("not_taken")


def _not_taken(error: str) -> Answer:
    if error in _LEFT_OUT:
        return _answer(202, {"success": False, "code": error})
    if error in _WRONG or error.startswith("invalid_"):
        return _answer(400, {"error": explain(error), "code": error})
    return _answer(503, {"error": "Not taken; try again later.", "code": error})


def _read(body: bytes) -> Mapping[str, Any]:
    if len(body) > MAX_BODY:
        raise _too_large()
    try:
        said = json.loads(
            body.decode(), object_pairs_hook=_object, parse_constant=_no_number
        )
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise _RefusedError(400, "not_json", "The body must be a JSON object.")
    return said


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return *pairs* as a dict; two values of one name would leave the choice to us."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _no_number(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _RefusedError(400, f"bad_{name}", f"'{name}' must be a text.")
    text = "".join(filter(str.isprintable, value[:_LONGEST_URL]))
    return text.partition("#")[0] or None


def _entries(chain: str) -> set[str]:
    return {entry.strip() for entry in chain[-_LONGEST_URL:].split(",")}


def _network(address: str) -> str:
    """Return what one client cannot change: of IPv6 it has a whole network."""
    return (truncate(address) or address) if ":" in address else address


def _check_length(length: str) -> None:
    if not length.isascii() or not length.isdigit():
        raise _RefusedError(411, "length_required", "Send a Content-Length.")
    if len(length) > 9 or int(length) > MAX_BODY:
        raise _too_large()


def _too_large() -> _RefusedError:
    return _RefusedError(413, "too_large", f"Send at most {MAX_BODY} bytes.")


def _failed(error: Exception) -> Answer:
    if isinstance(error, _RefusedError):
        return error.answer
    guard.report("web endpoint", error)
    return _answer(500, {"error": "Something went wrong.", "code": "internal"})


def _answer(status: int, said: Mapping[str, object], headers: Any = ()) -> Answer:
    body = json.dumps(said).encode()
    return Answer(
        status,
        [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *headers,
        ],
        body,
    )

"""The shop: a plain WSGI application, tracked the way any application is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from html import escape
from typing import Any
from urllib.parse import parse_qs

import mbuzz
from mbuzz.cli.demo.simulation import PRICES
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.contrib.wsgi import MbuzzMiddleware

CURRENCY = "USD"
_TIME_HEADER = "HTTP_X_DEMO_TIME"  # UTC milliseconds; the visitors live in the past

_simulated_ms: ContextVar[int | None] = ContextVar("demo_time", default=None)


class SimulatedClock:
    """The time of the visit being served; the real time for everybody else."""

    def now_ms(self) -> int:
        """Return the wall-clock time in UTC milliseconds since 1970."""
        simulated = _simulated_ms.get()
        return SYSTEM_CLOCK.now_ms() if simulated is None else simulated

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return SYSTEM_CLOCK.monotonic()


def shop(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Serve the shop's pages; this is all the tracking code it needs."""
    path = environ["PATH_INFO"] or "/"
    form = _form(environ) if environ["REQUEST_METHOD"] == "POST" else {}
    if path == "/sign-up" and form:
        mbuzz.identify(form["user"])
        mbuzz.track("Signup", properties={"plan": "customer"})
        return _see(start_response, "/welcome")
    if path == "/log-in" and form:
        mbuzz.identify(form["user"])
        return _see(start_response, "/welcome")
    if path == "/checkout" and form:
        items = form["items"].split(",")
        mbuzz.conversion(
            "purchase",
            user_id=form.get("user"),
            revenue=sum(PRICES[item] for item in items),
            currency=CURRENCY,
            order_id=form["order"],
        )
        return _see(start_response, "/thanks")
    return _page(start_response, path)


def _form(environ: dict[str, Any]) -> dict[str, str]:
    size = int(environ.get("CONTENT_LENGTH") or 0)
    text = environ["wsgi.input"].read(size).decode()
    return {name: values[0] for name, values in parse_qs(text).items()}


def _see(start_response: Callable[..., Any], path: str) -> list[bytes]:
    start_response("303 See Other", [("Location", path), ("Content-Length", "0")])
    return [b""]


def _page(start_response: Callable[..., Any], path: str) -> list[bytes]:
    name = path.removeprefix("/products/")
    title = "The running shop" if path == "/" else escape(name.strip("/")) or "Shop"
    links = "".join(
        f'<li><a href="/products/{item}">{item}</a> {price} {CURRENCY}</li>'
        for item, price in PRICES.items()
    )
    buy = ""
    if name in PRICES:
        buy = (
            '<form method="post" action="/checkout">'
            f'<input type="hidden" name="items" value="{name}">'
            f'<input type="hidden" name="order" value="visit-{SYSTEM_CLOCK.now_ms()}">'
            f"<button>Buy for {PRICES[name]} {CURRENCY}</button></form>"
        )
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{title}</title><h1>{title}</h1>{buy}<ul>{links}</ul>"
        '<p><a href="/">Home</a></p></html>'
    ).encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
    ]
    start_response("200 OK", headers)
    return [body]


def in_its_time(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Let a request say at what time it happens."""

    def serve(
        environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        said = environ.get(_TIME_HEADER, "")
        token = _simulated_ms.set(int(said) if said.isdigit() else None)
        try:
            return app(environ, start_response)
        finally:
            _simulated_ms.reset(token)

    return serve


app = in_its_time(MbuzzMiddleware(shop))

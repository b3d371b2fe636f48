"""What else a middleware could do with a page view: post it, or join it for a while."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.web_requests import API, ASSET

_PATIENCE = 1.0  # seconds for one answer
_JOIN = 0.05  # seconds
_BACKLOG = 16
_WORKERS = 4


class _Post:
    """Posts page views, over one kept connection of each thread."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc
        self._own = threading.local()

    def __call__(self, environ: Any) -> bool:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = HTTPConnection(self._netloc, timeout=_PATIENCE)
            self._own.connection = connection
        event = {
            "type": "track",
            "id": "e",
            "event_type": "page_view",
            "visitor_id": "0" * 64,
            "properties": {"url": f"https://shop.example{environ['PATH_INFO']}"},
        }
        try:
            connection.request(
                "POST", "/api/v1/events", json.dumps({"events": [event]})
            )
            return connection.getresponse().read() != b""
        except (OSError, HTTPException):
            connection.close()
            return False


def _is_page(environ: Any) -> bool:
    return environ["PATH_INFO"] not in (ASSET, API)


def posting(app: Any, url: str) -> Callable[..., Any]:
    """Post each page view before the application runs."""
    post = _Post(url)

    def posted(environ: Any, start_response: Any) -> Any:
        if _is_page(environ):
            post(environ)
        return app(environ, start_response)

    return posted


def joining(app: Any, url: str) -> Callable[..., Any]:
    """Post each new visitor's view in a thread and wait for its answer up to 50 ms."""
    post = _Post(url)
    pool = ThreadPoolExecutor(_WORKERS)
    room = threading.Semaphore(_BACKLOG)

    def joined(environ: Any, start_response: Any) -> Any:
        reply: Future[bool] | None = None
        is_new = "_mbuzz_sid=" not in environ.get("HTTP_COOKIE", "")
        if _is_page(environ) and is_new and room.acquire(blocking=False):
            reply = pool.submit(post, environ)
            reply.add_done_callback(lambda _: room.release())

        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            if reply is not None:
                wait([reply], _JOIN)
            return start_response(status, headers)

        return app(environ, start)

    return joined

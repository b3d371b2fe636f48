"""What the table of cases is built of: requests, sites' code, and kinds of visits."""

from __future__ import annotations

from typing import Any

import mbuzz
from tests.contrib.calls import HTML, Case
from tests.web.visits import FETCH, NAVIGATION, RETURNING

BOTH = ("_mbuzz_vid", "_mbuzz_sid")
VID, SID = BOTH[:1], BOTH[1:]
HOME = "https://shop.example/"
PUBLIC = [*HTML, ("Cache-Control", "public, max-age=60")]
TO_EN = [*HTML, ("Location", "/en/")]


def track() -> None:
    """Do what a site's code does."""
    mbuzz.track("Seen")


def read_session() -> None:
    mbuzz.session_id()


def log_in() -> None:
    mbuzz.identify("42")
    mbuzz.track("Seen")


def reset_and_track() -> None:
    mbuzz.reset()
    mbuzz.track("Seen")


def forget_and_track() -> None:
    mbuzz.forget()
    mbuzz.track("Seen")


def broken(request: object) -> bool:
    raise ZeroDivisionError


def fetch(**more: str) -> dict[str, str]:
    """Return the headers of a script's request."""
    return {**FETCH, **{name.replace("_", "-"): value for name, value in more.items()}}


def visit(**more: str) -> dict[str, str]:
    """Return the headers of a navigation."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {**NAVIGATION, **named}


def page(**more: Any) -> Case:
    """Return a page of a visit that goes on."""
    known = {"cookie": RETURNING, "views": (HOME,), "cookies": SID}
    return Case(**{**known, **more})


def landing(**more: Any) -> Case:
    """Return the first page of a new visitor."""
    return Case(**{"views": (HOME,), "cookies": BOTH, **more})


def uncounted(**more: Any) -> Case:
    """Return a request within a visit that is no page view."""
    return Case(**{"cookie": RETURNING, **more})

"""What to do about the machine words of results and logs, one sentence each."""

from __future__ import annotations

_WORDS = {
    # the call
    "missing_event": "Name the event: track() needs a text that is not empty.",
    "missing_conversion_type": (
        "Name the goal: conversion() needs a text that is not empty, "
        'such as "purchase".'
    ),
    "missing_identity": (
        "Say whose it is: pass user_id= or visitor_id= that is not empty (alias: "
        "both ids, group: its own), or call from a request that the middleware serves."
    ),
    "invalid_user_id": (
        "Pass user_id as text, a whole number or a UUID of at most 255 characters."
    ),
    "invalid_visitor_id": (
        "Pass visitor_id as mbuzz.visitor_id() returns it: "
        "at most 255 letters, digits and '.', '_', ':', '-'."
    ),
    "invalid_previous_id": (
        "Pass previous_id as text, a whole number or a UUID of at most 255 characters."
    ),
    "invalid_group_id": (
        "Pass group_id as text, a whole number or a UUID of at most 255 characters."
    ),
    "invalid_event_id": (
        "Pass event_id as at most 128 ASCII characters without spaces, "
        "or leave it out: one is made."
    ),
    "invalid_timestamp": (
        "Pass timestamp as a datetime, ISO 8601 text or Unix seconds, "
        "or leave it out: it is now."
    ),
    "invalid_revenue": (
        "Pass revenue as a number that is finite and not negative, "
        'best a Decimal or text such as "9.90".'
    ),
    "invalid_currency": 'Pass currency as its ISO 4217 code, such as "USD".',
    "invalid_order_id": (
        "Pass order_id as text or a whole number of at most 255 characters."
    ),
    "invalid_idempotency_key": (
        "Pass idempotency_key as text or a whole number of at most 255 characters."
    ),
    "event_too_large": (
        "Send less: an event has room for 32 KiB of JSON; "
        "send ids instead of documents."
    ),
    "undeclared_event": (
        "Declare the event as it is sent, or send it as declared: "
        "the warning in the log says what differs."
    ),
    # the options
    "not_configured": (
        "Call mbuzz.configure(api_key=...) when the program starts, "
        "or set MBUZZ_API_KEY."
    ),
    "disabled": "Configure with enabled=True to track; here it was turned off.",
    "network_off": (
        "Configure with network=True to send; the tests' plugin or MBUZZ_NETWORK "
        "has turned it off, and mbuzz.testing.capture() needs no network."
    ),
    "sampled_out": (
        "Nothing to do: sample_rate leaves this visitor out; raise it to track more."
    ),
    "no_consent": (
        "Nothing to do: the person served has not agreed to be recorded "
        "(consent=, respect_gpc=, respect_dnt= or mbuzz.forget())."
    ),
    "public_page": (
        "Nothing to do: a shared cache may keep this page, and no cookie may go with "
        "it; session_endpoint=True counts such pages by script."
    ),
    "before_send": "Nothing to do: your before_send returned None for this event.",
    "before_send_failed": (
        "Correct before_send: it must return the event or None, "
        "and has raised or returned something else."
    ),
    # delivery
    "queue_full": (
        "See mbuzz.health() for why events wait; raise queue_size and queue_bytes "
        "for bursts, or set spool_dir to keep on disk what finds no room."
    ),
    "expired": (
        "See mbuzz.health() for why the backend could not be reached; "
        "set spool_dir to outlast longer outages."
    ),
    "closed": (
        "Track before the last close(), and give close() more time "
        "or set spool_dir to keep what is left."
    ),
    "retrying": "Nothing to do: the event is on its way and will be tried again.",
    "rejected": "See the backend's log: it would not have the event.",
    "internal_error": (
        "Report this to mbuzz: it is a bug, and the log of mbuzz.guard says where."
    ),
    # the backend's answers
    "http_400": (
        "Check api_url, and that SDK and backend are of one version: "
        "the backend could not read the request."
    ),
    "http_401": (
        "Check api_key: the backend does not know it, or it was revoked; "
        "`mbuzz validate` tries it."
    ),
    "http_402": "Check the account: the backend will not serve it before it is paid.",
    "http_403": (
        "Check that api_key may write and that no firewall stands before api_url."
    ),
    "http_404": (
        "Check api_url: nothing at that address takes events; "
        "it ends in /api/v1 unless you moved it."
    ),
    "http_405": "Check api_url: what answers there does not take events.",
    "http_407": "Give the proxy's user and password in HTTPS_PROXY or HTTP_PROXY.",
    "http_413": (
        "Send less, or raise the limit of what stands before the backend: "
        "a single event was too large for it."
    ),
    "http_415": "Check what stands before the backend: it must pass gzip and JSON on.",
    "http_422": (
        "Check the event's fields: the backend could read but not accept them."
    ),
}
_MOVED = "Set api_url to where the backend is now: redirects are not followed."
_REFUSED = "See the log of the backend and of what stands before it: it refused."
_FAILED = "See the log of the backend and of what stands before it: it failed."


def explain(word: str) -> str:
    """Return what to do about a result's `error`; *word* itself if it says so.

    The words of a server are sentences of their own.
    """
    known = _WORDS.get(word)
    if known is not None:
        return known
    name, _, status = word.partition("http_")
    if name or len(status) != 3 or not status.isdigit():
        return word
    return {"3": _MOVED, "4": _REFUSED, "5": _FAILED}.get(status[0], word)

"""The page's script as an element: for templates of Django, Jinja and others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from mbuzz import api, guard
from mbuzz.web.script import session_script

if TYPE_CHECKING:
    from django.http import HttpRequest


def mbuzz_script(
    request: HttpRequest | None = None, *, nonce: object = None
) -> SafeString:
    """Return the ``<script>`` element that counts pages out of caches, safe as HTML.

    It is empty unless `session_endpoint` is on. The *nonce* for a Content-Security-
    Policy is by default the one that django-csp or Django's own middleware made for
    *request*. Jinja: ``env.globals["mbuzz_script"] = mbuzz_script``, and in the page
    ``{{ mbuzz_script(request) }}``.
    """
    return guard.attempt(lambda: _element(request, nonce), _nothing)


def _element(request: HttpRequest | None, nonce: object) -> SafeString:
    client = api.default_client()
    if client is None or not client.config.enabled:
        return SafeString()
    if not client.config.session_endpoint:
        return SafeString()
    script = mark_safe(session_script(client.config))  # noqa: S308 - all of it is ours
    # A nonce is false until it is read, and reading it puts it into the policy.
    if nonce is None:
        nonce = nonce_of(request)
    text = "" if nonce is None else str(nonce)
    if not text:
        return format_html("<script>{}</script>", script)
    return format_html('<script nonce="{}">{}</script>', text, script)


def nonce_of(request: HttpRequest | None) -> object:
    """Return the nonce of django-csp, or of Django 6, unread; None without one."""
    for name in ("csp_nonce", "_csp_nonce"):
        nonce = getattr(request, name, None)
        if nonce is not None:
            return nonce
    return None


def _nothing(error: Exception) -> SafeString:
    guard.report("template tag", error)
    return SafeString()

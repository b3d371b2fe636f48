"""``{% load mbuzz %}`` and ``{% mbuzz_script %}``, in the body of every page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import template

from mbuzz.contrib.django import script

if TYPE_CHECKING:
    from django.template import Context
    from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag(takes_context=True)  # type: ignore[untyped-decorator]
def mbuzz_script(context: Context, nonce: object = None) -> SafeString:
    """Return the script's element; nothing unless `session_endpoint` is on."""
    request = getattr(context, "request", None) or context.get("request")
    if nonce is None:
        nonce = context.get("csp_nonce")  # as both context processors call it
    return script.mbuzz_script(request, nonce=nonce)

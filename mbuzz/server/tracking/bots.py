"""Bots: telling programs and prefetching browsers from people."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from mbuzz.server.model import TrackCall
from mbuzz.server.policy import Policy
from mbuzz.server.tracking.referrers import is_spam

_MAX_READ: Final = 1024  # characters; the tokens of real agents come early

# Lower-case parts of a User-Agent. Assistants that fetch a page for somebody count as
# well: the person clicks later. Sources: crawler-user-agents (MIT), isbot (Unlicense).
_TOKENS: Final = (
    "crawl",
    "spider",
    "slurp",
    "preview",
    "headless",
    "lighthouse",
    "pingdom",
    "uptime",
    "monitor",
    "curl/",
    "wget/",
    "python-requests",
    "python-urllib",
    "aiohttp",
    "httpx",
    "go-http-client",
    "java/",
    "okhttp",
    "libwww",
    "scrapy",
    "phantomjs",
    "facebookexternalhit",
    "whatsapp/",
    "slackbot",
    "telegrambot",
    "embedly",
    "google-inspectiontool",
    "gptbot",
    "oai-searchbot",
    "chatgpt-user",
    "claudebot",
    "claude-user",
    "perplexitybot",
    "perplexity-user",
    "ccbot",
    "bytespider",
    "ahrefs",
    "semrush",
    "mj12",
    "dotbot",
    "petalbot",
)
_BOT_WORD: Final = re.compile(r"bot\b")
_PHONES: Final = ("cubot",)  # a maker of phones
_APPS: Final = ("okhttp",)


MOST_A_MINUTE: Final = 120  # web events of one visitor
FLOOD: Final = "flood"


def judge(call: TrackCall, policy: Policy) -> str | None:
    """Return why a web event is not a person's; None if it may be one.

    Reasons: those of `bot_reason`, ``webdriver``, ``referrer_spam`` and
    ``data_center``. That somebody is too fast (``flood``) only the events before tell.
    """
    if call.webdriver:
        return "webdriver"
    reason = bot_reason(
        call.user_agent, prefetch=call.prefetch, allow_apps=policy.allow_apps
    )
    if reason is not None:
        return reason
    if policy.spam_referrers and call.referrer and is_spam(call.referrer, policy):
        return "referrer_spam"
    if policy.datacenters and policy.datacenters.hold(call.properties.get("ip")):
        return "data_center"
    return None


def bot_reason(
    user_agent: str | None, *, prefetch: bool = False, allow_apps: bool = False
) -> str | None:
    """Return why a web event is not a person's; None if it may be one.

    A missing user agent (None) says nothing: server events have none. With
    *allow_apps* the HTTP library of Android apps is a person's. Reasons:
    ``prefetch``, ``empty_user_agent``, ``user_agent``.
    """
    if prefetch:
        return "prefetch"
    if user_agent is None:
        return None
    return _judged(user_agent[:_MAX_READ], allow_apps=allow_apps)


@lru_cache(maxsize=4096)
def _judged(user_agent: str, *, allow_apps: bool) -> str | None:
    agent = user_agent.strip().lower()
    if not agent:
        return "empty_user_agent"
    for name in (*_PHONES, *_APPS) if allow_apps else _PHONES:
        agent = agent.replace(name, "")
    if _BOT_WORD.search(agent) or any(token in agent for token in _TOKENS):
        return "user_agent"
    return None

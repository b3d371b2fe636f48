"""Bots: telling programs and prefetching browsers from people."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

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


def bot_reason(user_agent: str | None, *, prefetch: bool = False) -> str | None:
    """Return why a web event is not a person's; None if it may be one.

    A missing user agent (None) says nothing: server events have none. Reasons:
    ``prefetch``, ``empty_user_agent``, ``user_agent``.
    """
    if prefetch:
        return "prefetch"
    return None if user_agent is None else _judged(user_agent[:_MAX_READ])


@lru_cache(maxsize=4096)
def _judged(user_agent: str) -> str | None:
    agent = user_agent.strip().lower()
    if not agent:
        return "empty_user_agent"
    for phone in _PHONES:
        agent = agent.replace(phone, "")
    if _BOT_WORD.search(agent) or any(token in agent for token in _TOKENS):
        return "user_agent"
    return None

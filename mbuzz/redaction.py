"""What must never leave the process: secrets by name, by look, and inside URLs."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

REDACTED = "[redacted]"

_SECRET_WORDS = frozenset(
    "password passwd pwd passphrase secret token authorization auth credential "
    "credentials apikey cvv cvc csc ssn otp pin jwt cookie sessionid csrf csrftoken "
    "signature hmac iban card cardnumber creditcard".split()
)
_SECRET_PAIRS = frozenset(
    {("api", "key"), ("private", "key"), ("access", "key"), ("session", "id")}
    | {("social", "security"), ("credit", "card"), ("account", "number")}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

# One cheap search decides whether a text deserves the closer looks below.
_SUSPICIOUS = re.compile(r"\d[ -]?\d{3}|sk_(?:test|live)_|eyJ|bearer\s", re.IGNORECASE)
_API_KEY = re.compile(r"\bsk_(?:test|live)_[A-Za-z0-9]{8,}")
_BEARER = re.compile(r"\bbearer\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*")
_CARD = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d.-])")

_EMAIL = re.compile(r"[^\s@/?&=]+(?:@|%40)[^\s@/?&=]+\.[A-Za-z]{2,}")
_USERINFO = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#]*@", re.IGNORECASE)
_URL_SECRETS = frozenset(
    "token auth authorization code apikey key secret password passwd pwd otp pin jwt "
    "sig signature hmac session sessionid ticket samlresponse email mail phone "
    "uidb64 credential awsaccesskeyid".split()
)
_MARKETING = re.compile(r"utm_|mtm_|pk_|mc_cid$|ref$|source$|campaign$", re.IGNORECASE)
_SECRET_PATH = re.compile(
    r"(/(?:reset|reset-password|password-reset|confirm|confirm-email|verify"
    r"|verify-email|activate|invite|invitations?|accept-invite|unsubscribe"
    r"|magic-link|login-link)/)([^?#]*[^/?#]{16,}[^?#]*)",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Tell whether a property of this name holds a secret, ``apiKey`` as ``api_key``.

    Whole words count, so ``author`` and ``spinner`` do not.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    return any(pair in _SECRET_PAIRS for pair in pairwise(words))


def scrub_text(text: str) -> str:
    """Return *text* without API keys, bearer tokens, JWTs and card numbers."""
    if not _SUSPICIOUS.search(text):
        return text
    for pattern in (_API_KEY, _BEARER, _JWT):
        text = pattern.sub(REDACTED, text)
    return _CARD.sub(_redact_card, text)


def _redact_card(match: re.Match[str]) -> str:
    """Keep a number that fails the Luhn check (ISO/IEC 7812-1): it is no card."""
    digits = [int(c) for c in match[0] if c.isdigit()]
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2])
    valid = (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
    return REDACTED if valid and len(set(digits)) > 1 else match[0]


def scrub_url(url: str) -> str:
    """Return *url* without userinfo, tokens in its path, and secret parameters.

    Parameters that are not secret keep their bytes and their order: the server
    reads campaign tags from them.
    """
    if "@" in url:
        url = _USERINFO.sub(r"\1", url)
    url = _SECRET_PATH.sub(rf"\1{REDACTED}", url)
    head, mark, query = url.partition("?")
    if not mark:
        return scrub_text(_EMAIL.sub("[email]", url)) if "@" in url else scrub_text(url)
    parts = [_scrub_parameter(part) for part in query.split("&")]
    return f"{scrub_text(head)}?{'&'.join(parts)}"


def _scrub_parameter(part: str) -> str:
    name, mark, value = part.partition("=")
    if not mark or not value:
        return part
    if not _MARKETING.match(name) and _is_secret_parameter(name):
        return f"{name}={REDACTED}"
    if "@" in value or "%40" in value:
        value = _EMAIL.sub("[email]", value)
    # A click id may look like a card number by chance, so only tokens are looked for.
    value = _API_KEY.sub(REDACTED, _JWT.sub(REDACTED, value))
    return f"{name}={value}"


@lru_cache(maxsize=1024)
def _is_secret_parameter(name: str) -> bool:
    words = re.split(r"[^a-z0-9]+", name.lower())
    return not _URL_SECRETS.isdisjoint(words) or is_secret_name(name)

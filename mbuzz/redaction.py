"""What must never leave the process: secrets by name, by look, and inside URLs."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from urllib.parse import unquote_plus

REDACTED = "[redacted]"

_SECRET_WORDS = frozenset(
    "pwd passphrase passcode passwords secrets authorization auth bearer credential "
    "credentials accesskey privatekey secretkey cvv cvc csc ssn otp pin pincode jwt "
    "cookie cookies sessionid csrf signature hmac iban card cardnumber ccnumber "
    "creditcard".split()
)
_SECRET_ENDINGS = ("password", "passwd", "secret", "token", "apikey")  # accesstoken
_SECRET_PAIRS = frozenset(
    {("api", "key"), ("private", "key"), ("access", "key"), ("session", "id")}
    | {("social", "security"), ("credit", "card"), ("account", "number")}
    | {("pass", "word")}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

# One cheap search decides whether a text deserves the closer looks below.
_SUSPICIOUS = re.compile(r"\d[ -]?\d{3}|sk_(?:test|live)_|eyJ|bearer\s", re.IGNORECASE)
_API_KEY = re.compile(r"\bsk_(?:test|live)_[A-Za-z0-9]{8,}")
_BEARER = re.compile(r"\bbearer\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]*+")
_CARD = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d.-])")

# Bounded, or a long text that is no address would take quadratic time.
_EMAIL = re.compile(
    r"[^\s@/?&=#]{1,64}(?:@|%40)[^\s@/?&=#]{1,255}\.[A-Za-z]{2,}", re.IGNORECASE
)
_USERINFO = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#]*@", re.IGNORECASE)
_URL_SECRETS = frozenset(
    "token auth authorization code apikey key secret password passwd pwd otp pin jwt "
    "sig signature hmac session sessionid ticket samlresponse email mail phone "
    "uidb64 credential awsaccesskeyid".split()
)
_MARKETING = re.compile(r"utm_|mtm_|pk_|mc_cid$|ref$|source$|campaign$", re.IGNORECASE)
_SECRET_PATH = re.compile(
    r"/(?:reset|reset-password|password-reset|confirm|confirm-email|verify"
    r"|verify-email|activate|invite|invitations?|accept-invite|unsubscribe"
    r"|magic-link|login-link)/",
    re.IGNORECASE,
)
_TOKEN_FROM = 16  # characters of a path's segment after one of these


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Tell whether a property of this name holds a secret, ``apiKey`` as ``api_key``.

    Whole words count, so ``author`` and ``spinner`` do not.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    if any(word.endswith(_SECRET_ENDINGS) for word in words):
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
    reads campaign tags from them. A fragment with parameters is read like a query.
    """
    if "@" in url:
        url = _USERINFO.sub(r"\1", url)
    url, sharp, fragment = url.partition("#")
    path, mark, query = url.partition("?")
    return (
        f"{_scrub_text_and_emails(_scrub_path(path))}{mark}{_scrub_parameters(query)}"
        f"{sharp}{_scrub_fragment(fragment)}"
    )


def _scrub_path(path: str) -> str:
    """Cut what follows ``/reset/`` and the like, if it looks like a token."""
    found = _SECRET_PATH.search(path)
    if found is None:
        return path
    rest = path[found.end() :]
    if all(len(segment) < _TOKEN_FROM for segment in rest.split("/")):
        return path
    return path[: found.end()] + REDACTED


def _scrub_fragment(fragment: str) -> str:
    head, mark, query = fragment.partition("?")  # of a page that routes in the browser
    if mark:
        return f"{_scrub_text_and_emails(_scrub_path(head))}?{_scrub_parameters(query)}"
    if "=" in fragment:
        return _scrub_parameters(fragment)
    return _scrub_text_and_emails(_scrub_path(fragment))


def _scrub_text_and_emails(text: str) -> str:
    if "@" in text or "%40" in text:
        text = _EMAIL.sub("[email]", text)
    return scrub_text(text)


def _scrub_parameters(query: str) -> str:
    return "&".join(_scrub_parameter(part) for part in query.split("&"))


def _scrub_parameter(part: str) -> str:
    name, mark, value = part.partition("=")
    if not mark:
        return _scrub_text_and_emails(part)
    if not value:
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
    if "%" in name:
        name = unquote_plus(name)
    words = re.split(r"[^a-z0-9]+", name.lower())
    return not _URL_SECRETS.isdisjoint(words) or is_secret_name(name)

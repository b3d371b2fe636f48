"""What must never leave the process: secrets by their look, and inside URLs."""

from __future__ import annotations

import re

from mbuzz.secret_names import SECRET
from mbuzz.suspicion import Suspicion

REDACTED = "[redacted]"

_API_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:[rs]k_(?:test|live)_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{20,})"
    r"|[rs]k_(?:test|live)_[A-Za-z0-9]{16,}"  # whatever it is glued to
    r"|whsec_[A-Za-z0-9]{16,}|gh[oprsu]_[A-Za-z0-9]{30,}"
    r"|github_pat_\w{22,}|glpat-[\w-]{20,}|xox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|A[KS]IA[A-Z0-9]{16}|AIza[\w-]{35}",
    re.ASCII,
)
_BEARER = re.compile(r"bearer(?:\s|\+|%20|:)+[A-Za-z0-9._~+/=%-]{8,}", re.IGNORECASE)
# Without its last part too: a long text may have been cut there.
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)?")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}-----)?"
)

# Bounded, or a long text that is no address would take quadratic time.
_EMAIL = re.compile(
    r"""[^\s@/?&=#<>()\[\]"',;:]{1,64}(?:@|%40|%2540)"""
    r"""[^\s@/?&=#<>()\[\]"',;:%]{1,255}?(?:\.|%2E)[^\W\d_][\w.-]+""",
    re.IGNORECASE,
)
_EMAIL_MARK = "[email]"
_USERINFO = re.compile(r"//[^/?#\s]*@")
_PARAMETER = re.compile(r"(?:^|[ \t\r\n?&#;])([^\s?&#;=]++)=")
_VALUE = re.compile(r"""["']?[^\s&#"'<>]*""")
_VALUE_IN_URL = re.compile(r"[^&#]*")
_URL_BEGINS = ("http://", "https://", "/")
_FIELD = re.compile(  # of JSON in a text
    r"""["']([^"'\\]{1,255}+)\\?["']\s*+:\s*+"""
    r"""("(?:[^"\\]|\\.)*+"?|\\"[^"]*+"?|'[^']*+'?|[^\s,}\]"']++)"""
)
_ENCODED = re.compile(r"%(?:25)?(?:3d|2f)", re.IGNORECASE)
_DEEPEST = 3  # URLs inside parameters of URLs
_SECRET_PATH = re.compile(
    r"/(?:reset|(?:reset|confirm|verify)[-_](?:password|email)|set-password"
    r"|(?:password|email)[-_](?:reset|verify|confirm)|confirm|verify|verification"
    r"|activate|activation|invite|invitations?|accept-invite|unsubscribe|magic"
    r"|magic-link|login-link)/([^?#\s]*)",
    re.IGNORECASE | re.ASCII,
)
_TOKEN_FROM = 16  # characters of a path's segment after one of these


class Redactor:
    """Finds and replaces what must not leave, where *suspicion* has some."""

    __slots__ = ("_suspicion", "names")

    def __init__(self, suspicion: Suspicion | None = None) -> None:
        self._suspicion = suspicion or Suspicion()
        self.names = self._suspicion.names

    def scrub(self, text: str, *, emails: bool = False, depth: int = 0) -> str:
        """Return *text* without secrets; with *emails* addresses may stay.

        URLs keep the bytes and the order of what is not secret: the server reads
        campaign tags from them. *depth* counts URLs inside parameters of URLs.
        """
        for own in self._suspicion.patterns:
            text = own.sub(REDACTED, text)
        if not self._suspicion.of(f"\n{text}", emails=emails):
            return text
        if "@" in text:
            text = _USERINFO.sub("//", text)
        if '"' in text or "'" in text:
            text = _FIELD.sub(self._scrub_field, text)
        text = _SECRET_PATH.sub(_scrub_path, text)
        if "=" in text:
            text = self._scrub_parameters(text, emails=emails, depth=depth)
        if not emails and ("@" in text or "%" in text):
            text = _EMAIL.sub(_EMAIL_MARK, text)
        for pattern in (_PRIVATE_KEY, _BEARER, _JWT, _API_KEY):
            text = pattern.sub(REDACTED, text)
        if self._suspicion.strict:
            from mbuzz import personal_data

            text = personal_data.scrub(text)
        return _scrub_cards(text)

    def _scrub_field(self, match: re.Match[str]) -> str:
        """Replace the value of a field of JSON that has the name of a secret."""
        if self.names.kind(match[1]) != SECRET:
            return match[0]
        quote = match[2][0] if match[2][0] in "\"'" else '"'
        head = match[0][: match.start(2) - match.start()]
        return f"{head}{quote}{REDACTED}{quote}"

    def _scrub_parameters(self, text: str, *, emails: bool, depth: int) -> str:
        is_url = text[:8].lower().startswith(_URL_BEGINS)
        value = _VALUE_IN_URL if is_url else _VALUE
        listed = is_url or not any(map(str.isspace, text))  # a query without its URL
        done = 0
        parts: list[str] = []
        for match in _PARAMETER.finditer(text):
            begin = match.end()
            found = value.match(text, begin)
            if match.start() < done or found is None or found.end() == begin:
                continue
            if listed or match[0][0] in "?&#;":
                secret = self.names.secret_parameter(match[1])
            else:
                secret = self.names.kind(match[1]) == SECRET
            if secret:
                replaced = REDACTED
            elif depth < _DEEPEST and _ENCODED.search(found[0]):
                replaced = self._scrub_encoded(found[0], emails=emails, depth=depth)
            else:
                continue
            parts += (text[done:begin], replaced)
            done = found.end()
        return "".join([*parts, text[done:]])

    def _scrub_encoded(self, value: str, *, emails: bool, depth: int) -> str:
        """Scrub what is a URL, or a part of one, after decoding."""
        from urllib.parse import quote, unquote

        decoded = unquote(value)
        if _ENCODED.search(decoded):
            decoded = unquote(decoded)
        scrubbed = self.scrub(decoded, emails=emails, depth=depth + 1)
        return value if scrubbed == decoded else quote(scrubbed, safe="/:[]")


def _scrub_cards(text: str) -> str:
    if sum(map(str.isdigit, text)) < 13:
        return text
    from mbuzz import card_numbers

    return card_numbers.scrub(text)


def _scrub_path(match: re.Match[str]) -> str:
    """Cut what follows ``/reset/`` and the like, if it looks like a token."""
    if all(len(segment) < _TOKEN_FROM for segment in match[1].split("/")):
        return match[0]
    return match[0][: match.start(1) - match.start()] + REDACTED

"""Numbers of payment cards: found in texts, told from other numbers."""

from __future__ import annotations

import re

_MARK = "[redacted]"

_CARD = re.compile(r"(?<!\d)(?<!\d[.])\d(?:[ -]?\d){12,18}(?!\d)")
_GAP = r"(?:[ .+_/\u00a0\u2011\u2013-]|%20)?"
_GROUPED = re.compile(  # an expiry date or a second card may follow
    rf"(?<!\d)(?<!\d[.])(?:(?:\d{{4}}{_GAP}){{3}}\d{{4}}"
    rf"|\d{{4}}{_GAP}\d{{6}}{_GAP}\d{{4,5}})(?!\d)"
)
_has_digits = re.compile(rf"\d(?:{_GAP}\d){{12}}").search
_has_odd_digit = re.compile(r"[^\D0-9]|[0-9][\u00a0\u2011\u2013]").search
# A UUID, and what is as long as an object's id, a UUID or a digest without its hyphens.
_HEX_ID = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?<![0-9A-Za-z])"
    r"(?:[0-9a-fA-F]{24}|[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64})"
    r"(?![0-9A-Za-z])"
)
_LONGEST_ID = 64
_ISSUED = re.compile(r"[34568]|2[2-7]|9[78]")  # how the numbers of cards begin
_CLICK_ID = re.compile(
    r"utm_|mtm_|pk_|_g[al]|(?:[a-z_]*(?:clid|click_?id)|[gw]braid|mc_[ce]id|li_fat_id"
    r"|epik|cjevent|fb[cp])$",
    re.IGNORECASE | re.ASCII,
)
# Whose name the value before a number belongs to.
_PARAMETER_BEFORE = re.compile(r"(?:^|[\s?&#;])([^\s?&#;=]{1,64}+)=[^\s?&#;]*$")
_LOOK_BEHIND = 200


def may_hold_card(text: str) -> bool:
    """Tell whether *text* has enough digits in a row, or digits that are not ASCII."""
    return _has_digits(text) is not None or (
        not text.isascii() and _has_odd_digit(text) is not None
    )


def is_card(number: int) -> bool:
    """Tell whether a whole number reads like the number of a payment card."""
    digits = str(abs(number)) if abs(number) < 10**19 else ""
    return len(digits) > 12 and bool(_ISSUED.match(digits)) and _passes(digits)


def scrub(text: str) -> str:
    """Return *text* without the numbers of cards, whatever groups they come in."""
    if _has_digits(text) is None:
        return text
    return _scrub_grouped(_CARD.sub(_scrub_card, text))


def _passes(number: str) -> bool:
    """Check a card's number by Luhn (ISO/IEC 7812-1); one digit repeated is none."""
    digits = [int(sign) for sign in number if sign.isdecimal()]
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _scrub_card(match: re.Match[str]) -> str:
    if not _passes(match[0]) or _is_innocent(match):
        return match[0]
    return _MARK


def _scrub_grouped(text: str) -> str:
    done = at = 0
    parts: list[str] = []
    while match := _GROUPED.search(text, at):
        at = match.start() + 1
        digits = match[0].replace("%20", " ")
        if _ISSUED.match(digits) and _passes(digits) and not _is_innocent(match):
            parts += (text[done : match.start()], _MARK)
            done = at = match.end()
    return "".join([*parts, text[done:]])


def _is_innocent(match: re.Match[str]) -> bool:
    """Tell whether a number that passes is part of an id, in hex or a parameter's."""
    start, end, text = match.start(), match.end(), match.string
    first = max(0, start - _LONGEST_ID)
    last = end + _LONGEST_ID + 1  # one more, to see whether an id ends there
    ids = _HEX_ID.finditer(text, first, last)
    if any(found.start() <= start < found.end() for found in ids):
        return True
    parameter = _PARAMETER_BEFORE.search(text[max(0, start - _LOOK_BEHIND) : start])
    if parameter is None:
        return False
    # A click's id looks like a card's number by chance, a time in ms too.
    return bool(_CLICK_ID.match(parameter[1])) or not _ISSUED.match(match[0])

"""What a value of each kind of server option must look like, as text or as itself.

Each function returns the value, or raises a `ValueError` that says what it must be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

Kind = Callable[[object], object]

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})
_PUBLIC_URL = re.compile(
    r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/*"
)
_TOKEN = re.compile(r"[!-~]{16,256}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def whole(least: int, most: int) -> Kind:
    """Return the kind of whole numbers from *least* to *most*."""

    def take(value: object) -> int:
        number = _number(value)
        if number is None or number != int(number) or not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(number)

    return take


def seconds(least: float, most: float) -> Kind:
    """Return the kind of durations."""

    def take(value: object) -> float:
        number = _number(value)
        if number is None or not least <= number <= most:
            raise ValueError(f"a number of seconds from {least:g} to {most:g}")
        return number

    return take


def rate(value: object) -> float:
    """Take how often something may happen a second."""
    number = _number(value)
    if number is None or not 0 < number <= 1e9:
        raise ValueError("a number over 0, such as 100")
    return number


def one_of(*words: str) -> Kind:
    """Return the kind that is one of *words*."""

    def take(value: object) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in words:
            raise ValueError(f"{', '.join(words[:-1])} or {words[-1]}")
        return word

    return take


def switch(value: object) -> bool:
    """Take yes or no."""
    word = str(value).strip().lower()
    if word not in _YES | _NO:
        raise ValueError("true or false")
    return word in _YES


def database(value: object) -> str:
    """Take the path of a database file."""
    path = value if isinstance(value, str) else ""
    if path.startswith(("postgres:", "postgresql:")):
        raise ValueError(
            "the path of an SQLite file, since PostgreSQL storage is not in this "
            "version of mbuzz"
        )
    if not path.strip() or "\0" in path:
        raise ValueError("the path of an SQLite file, such as /var/lib/mbuzz/mbuzz.db")
    return path


def host(value: object) -> str:
    """Take an address to listen on."""
    text = value.strip() if isinstance(value, str) else ""
    if not text or not text.isprintable() or " " in text or "/" in text:
        raise ValueError("an address to listen on, such as 127.0.0.1, 0.0.0.0 or ::")
    return text.removeprefix("[").removesuffix("]")


def public_url(value: object) -> str:
    """Take the address that browsers use; "" where there is none to tell."""
    text = value.strip() if isinstance(value, str) else "?"
    if text and not _PUBLIC_URL.fullmatch(text):
        raise ValueError(
            "the address that browsers use, without a path, "
            "such as https://stats.example.com"
        )
    return text.rstrip("/").lower()


def proxies(value: object) -> int | tuple[str, ...]:
    """Take the proxies to believe: how many hops, or which addresses."""
    from mbuzz.forwarded import Trust

    given: object = value
    if isinstance(value, str):
        text = value.strip()
        parts = tuple(part.strip() for part in text.split(",") if part.strip())
        given = int(text) if text.isdecimal() and text.isascii() else parts
    elif isinstance(value, Iterable):
        given = tuple(value)
    try:
        Trust.of(given)  # type: ignore[arg-type]  # it looks for itself
    except ValueError:
        raise ValueError(
            "a number of hops from 0 to 32, or addresses and networks with commas, "
            "such as 127.0.0.1,10.0.0.0/8 (and unix for a socket's peer)"
        ) from None
    return given  # type: ignore[return-value]


def networks_file(value: object) -> str:
    """Take the path of a list of networks; "" where there is none."""
    from mbuzz.server.networks import read_networks

    path = value if isinstance(value, str) else "\0"
    if path:
        try:
            read_networks(path)
        except ValueError as error:
            raise ValueError(
                f"a file of networks, one a line, such as 3.5.140.0/22 ({error})"
            ) from None
    return path


def token(value: object) -> str:
    """Take a secret for a header; "" where there is none."""
    text = value.strip() if isinstance(value, str) else "?"
    if text and not _TOKEN.fullmatch(text):
        raise ValueError("16 to 256 letters, digits or signs, without spaces")
    return text


def email(value: object) -> str:
    """Take the e-mail address that somebody logs in with."""
    text = value.strip() if isinstance(value, str) else ""
    if not _EMAIL.fullmatch(text) or len(text) > 254 or not text.isprintable():
        raise ValueError("an e-mail address, such as owner@example.com")
    return text


def currency(value: object) -> str:
    """Take a currency's code."""
    from mbuzz.server import money

    try:
        return money.currency_code(value)
    except ValueError:
        raise ValueError("a code of three letters, such as USD") from None


def timezone(value: object) -> str:
    """Take the name of a time zone."""
    from zoneinfo import ZoneInfo

    text = value if isinstance(value, str) else ""
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise ValueError("a name such as Europe/Berlin") from None
    return text


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None

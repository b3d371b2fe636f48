"""Data about people, known by its look: network addresses, phones, bank accounts."""

from __future__ import annotations

import re

_ADDRESS_MARK = "[ip]"
_PHONE_MARK = "[phone]"
_ACCOUNT_MARK = "[iban]"

# Bounded everywhere, or a long text would take quadratic time.
_V4 = re.compile(r"(?<![\d.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\d|\.\d)")
_V6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f.]{0,15}(?![\w:])")
_PHONE = re.compile(
    r"(?<![\w.])(?:\+|%2B|00)[1-9](?:[ ()./-]{0,3}\d){6,14}(?!\d)"
    r"|(?<![\w.-])\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}(?![\w-])",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}", re.IGNORECASE
)


# Digits as 0 and letters as x, so that plain searches know the shapes.
_SHAPES = bytes(
    48 if 48 <= byte < 58 else 120 if chr(byte).isalpha() or byte > 127 else byte
    for byte in range(256)
)
_PHONE_GAPS = b" ()./-"
_PHONE_DIGITS = b"0" * 7


def may_hold_some(data: bytes) -> bool:
    """Tell quickly whether `scrub` might replace something in *data*, in UTF-8."""
    shape = data.translate(_SHAPES)
    text = data.decode()
    return (
        (b"0.0" in shape and any(_v4(v4, None) != v4 for v4 in _V4.findall(text)))
        or (b"xx00" in shape and _ACCOUNT.search(text) is not None)
        or (
            _PHONE_DIGITS in shape.translate(None, _PHONE_GAPS)
            and _PHONE.search(text) is not None
        )
        or (data.count(b":") - data.count(b"://") > 1 and _V6.search(text) is not None)
    )


def scrub(text: str) -> str:
    """Return *text* without phone numbers, IBANs and network addresses."""
    text = _ACCOUNT.sub(_replace_account, text)
    text = _V6.sub(lambda match: _v6(match[0], None), text)
    text = _V4.sub(lambda match: _v4(match[0], None), text)
    return _PHONE.sub(_PHONE_MARK, text)


def shorten_addresses(text: str) -> str:
    """Return *text* with its addresses cut to networks: /24 for IPv4, /48 for IPv6."""
    text = _V6.sub(lambda match: _v6(match[0], 6), text)
    return _V4.sub(lambda match: _v4(match[0], 3), text)


def _v4(found: str, kept: int | None) -> str:
    octets = found.split(".")
    if any(int(octet) > 255 for octet in octets):
        return found
    if kept is not None:
        return ".".join([*octets[:kept], "0"])
    # A browser's version reads like a network's address, 120.0.0.0, and no host has it.
    return found if octets[1:] == ["0", "0", "0"] else _ADDRESS_MARK


def _v6(found: str, kept: int | None) -> str:
    import socket

    bare = found.rstrip(".")
    try:
        packed = socket.inet_pton(socket.AF_INET6, bare)
    except OSError:
        return found
    if packed == bytes(16):
        return found
    if kept is None:
        return _ADDRESS_MARK
    mapped = packed[:12] == bytes(10) + b"\xff\xff"  # IPv4 in IPv6's clothes
    if mapped:
        return "::ffff:" + ".".join(map(str, [*packed[12:15], 0]))
    return socket.inet_ntop(socket.AF_INET6, packed[:kept] + bytes(16 - kept))


def _replace_account(match: re.Match[str]) -> str:
    """Replace an IBAN that passes its check (ISO 13616); words may follow it."""
    found = match[0]
    after = match.string[match.end() : match.end() + 1]
    ends = [i for i, sign in enumerate(found) if sign in " -"]
    if not after.isalnum():
        ends.append(len(found))
    for end in reversed(ends):
        account = found[:end].replace(" ", "").replace("-", "")
        if 15 <= len(account) <= 34 and _passes(account):
            return _ACCOUNT_MARK + found[end:]
    return found


def _passes(account: str) -> bool:
    turned = account[4:] + account[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1

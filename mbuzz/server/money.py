"""Money: decimal text in and out, integers of the smallest unit inside."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Final

_CODE = re.compile(r"[A-Z]{3}")
_MOST: Final = 10**12

# Currencies whose smallest unit is not a hundredth. Source: ISO 4217.
_EXPONENTS: Final = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}


# Source: ISO 4217, list one of current currency and funds codes.
_KNOWN: Final = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL "
    "BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF "
    "DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG "
    "HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK "
    "LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN "
    "NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR "
    "SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY "
    "TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XAG XAU XCD "
    "XCG XDR XOF XPD XPF XPT XSU XUA YER ZAR ZMW ZWG".split()
)


def is_known(currency: str) -> bool:
    """Tell whether ISO 4217 has *currency*; others are taken, and flagged."""
    return currency in _KNOWN


def exponent(currency: str) -> int:
    """Return how many decimals *currency* has; 2 for a code that is not known."""
    return _EXPONENTS.get(currency, 2)


def millionths(minor: int | None, currency: str) -> int | None:
    """Return an amount of the smallest unit in millionths of the currency's unit."""
    return None if minor is None else minor * unit(currency)


def unit(currency: str) -> int:
    """Return how many millionths the smallest unit of *currency* has."""
    return int(10 ** (6 - exponent(currency)))


def currency_code(value: object) -> str:
    """Return an ISO 4217 code in capitals.

    Raises:
        ValueError: If *value* is not three letters.
    """
    code = value.strip().upper() if isinstance(value, str) else ""
    if not _CODE.fullmatch(code):
        raise ValueError("currency must be a code of three letters, such as USD")
    return code


def parse(value: object, currency: str, what: str = "revenue") -> tuple[int, bool]:
    """Return an amount in the currency's smallest unit, and whether it was rounded.

    *what* is its name in the texts of errors.

    Raises:
        ValueError: If *value* is not a finite decimal number from 0 to 10**12.
    """
    readable = isinstance(value, int | float | str) and not isinstance(value, bool)
    if not readable:
        raise ValueError(f'{what} must be a number or decimal text, such as "99.99"')
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"{what} must be a decimal number, such as 99.99") from None
    if not amount.is_finite() or amount < 0 or amount > _MOST:
        raise ValueError(f"{what} must be from 0 to 1000000000000")
    scaled = amount.scaleb(exponent(currency))
    minor = scaled.to_integral_value(ROUND_HALF_EVEN)
    return int(minor), minor != scaled


def text(minor: int, currency: str) -> str:
    """Return an amount as decimal text, ``99.90``."""
    return format(Decimal(minor).scaleb(-exponent(currency)), "f")

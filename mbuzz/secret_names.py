"""Names that say what a value is: a secret, a person's data, an e-mail, an address."""

from __future__ import annotations

import re
from itertools import pairwise

OPEN, SECRET, EMAIL, ADDRESS = range(4)  # what a name says of its value

_SECRET_WORDS = frozenset(
    "pwd passphrase passcode secrets authorization auth bearer "
    "accesskey privatekey secretkey cvv cvc csc ssn otp pin pincode jwt "
    "cookie cookies sessionid csrf signature hmac iban card cardnumber ccnumber "
    "creditcard".split()
)
_SECRET_PARTS = ("password", "passwd", "credential")  # wherever in a word
_SECRET_ENDINGS = ("secret", "token", "apikey")  # accesstoken, but not tokenizer
_SECRET_PAIRS = frozenset(
    {("api", "key"), ("private", "key"), ("access", "key"), ("session", "id")}
    | {("social", "security"), ("credit", "card"), ("account", "number")}
    | {("pass", "word"), ("pass", "phrase"), ("pass", "code")}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

# In strict mode, data about a person too: words of a name, and whole names.
_PERSONAL_WORDS = frozenset(
    "email emails phone phones telephone tel fax msisdn address addresses addr street "
    "zip zipcode postcode postal ip birthday birthdate dob firstname lastname surname "
    "fullname passport latitude longitude".split()
)
_PERSONAL_PAIRS = frozenset(
    {("e", "mail"), ("date", "birth"), ("of", "birth"), ("first", "name")}
    | {("last", "name"), ("full", "name"), ("given", "name"), ("family", "name")}
    | {("middle", "name"), ("maiden", "name"), ("birth", "date"), ("zip", "code")}
    | {("post", "code"), ("tax", "id"), ("national", "id")}
)
_PERSONAL_NAMES = frozenset(
    "name names mail mobile mobilenumber cell cellphone username nickname displayname "
    "customername contactname billingname shippingname recipientname buyername fname "
    "lname givenname familyname remoteaddr clientip ipaddress userip".split()
)
_CALLED = frozenset(  # of those, what traits are for
    "name names username nickname displayname customername contactname billingname "
    "shippingname recipientname buyername fname lname givenname familyname middlename "
    "maidenname firstname lastname surname fullname".split()
)
_EMAIL_ENDINGS = frozenset("email emails mail".split())
_ADDRESS_WORDS = frozenset("ip ips ipaddress clientip userip remoteip ipaddr".split())
_ADDRESS_NAMES = frozenset("remoteaddr xforwardedfor forwardedfor xrealip".split())

# What the names of parameters in URLs say, beyond names of properties.
_URL_SECRETS = frozenset(
    "token auth authorization code apikey key secret password passwd pwd otp pin jwt "
    "sig signature hmac session sessionid sid sessid jsessionid phpsessid ticket "
    "samlresponse email mail phone uidb64 credential awsaccesskeyid".split()
)
_MARKETING = ("utm_", "mtm_", "pk_")
_MARKETING_NAMES = frozenset("mc_cid ref source campaign".split())
_LONGEST = 255  # characters of a name that is remembered
_LOOKED_AT = 1024  # characters at either end of a longer name
_MOST_KNOWN = 4096


def _words(name: str) -> list[str]:
    if len(name) > 2 * _LOOKED_AT:
        name = f"{name[:_LOOKED_AT]} {name[-_LOOKED_AT:]}"
    if not name.isascii():
        from unicodedata import normalize

        name = normalize("NFKC", name)  # full-width letters are letters
    return [word.lower() for word in _WORD.findall(name)]


def _is_secret(words: list[str]) -> bool:
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    for word in words:
        if word.endswith(_SECRET_ENDINGS) or any(p in word for p in _SECRET_PARTS):
            return True
    return any(pair in _SECRET_PAIRS for pair in pairwise(words))


def _is_personal(words: list[str]) -> bool:
    return (
        "".join(words) in _PERSONAL_NAMES
        or not _PERSONAL_WORDS.isdisjoint(words)
        or any(pair in _PERSONAL_PAIRS for pair in pairwise(words))
    )


def _says_email(words: list[str]) -> bool:
    if words and words[-1] in {"address", "addresses", "addr"}:
        words = words[:-1]
    return bool(words) and words[-1].endswith(tuple(_EMAIL_ENDINGS))


def _says_address(words: list[str]) -> bool:
    return "".join(words) in _ADDRESS_NAMES or not _ADDRESS_WORDS.isdisjoint(words)


def _whole(name: str) -> str:
    """Return *name* without case and separators."""
    return "".join(_words(name)) or name.casefold()


class NameRules:
    """What names say under one configuration; answers are remembered, bounded.

    *redact_keys* are words (``loyalty`` in ``loyaltyNumber``) or whole names, in any
    case and with any separators; *allow_keys* are whole names.
    """

    __slots__ = ("_allowed", "_known", "_known_parameters", "_own", "_strict")

    def __init__(
        self,
        *,
        strict: bool = False,
        redact_keys: tuple[str, ...] = (),
        allow_keys: tuple[str, ...] = (),
    ) -> None:
        self._strict = strict
        self._own = frozenset(map(_whole, redact_keys))
        self._allowed = frozenset(map(_whole, allow_keys))
        self._known: dict[tuple[str, bool], int] = {}
        self._known_parameters: dict[str, bool] = {}

    def kind(self, name: str, *, traits: bool = False) -> int:
        """Return what *name* says of its value: OPEN, SECRET, EMAIL or ADDRESS.

        In *traits* names and e-mail addresses of people are open in strict mode too.
        """
        known = self._known.get((name, traits))
        if known is not None:
            return known
        kind = self._kind(name, traits=traits)
        if len(name) <= _LONGEST:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[name, traits] = kind
        return kind

    def _kind(self, name: str, *, traits: bool) -> int:
        words = _words(name)
        whole = "".join(words) or name.casefold()
        allowed = whole in self._allowed
        if not allowed and (self._is_own(words, whole) or _is_secret(words)):
            return SECRET
        email = _says_email(words)
        if self._strict and not allowed and _is_personal(words):
            called = whole in _CALLED or email
            if not (traits and called):
                return SECRET
        if email:
            return EMAIL
        return ADDRESS if _says_address(words) else OPEN

    def _is_own(self, words: list[str], whole: str) -> bool:
        if not self._own:
            return False
        if whole in self._own:
            return True
        words = words[:50]
        runs = range(1, 6)  # an own name of more words has to be the whole name
        return any(
            "".join(words[i : i + n]) in self._own
            for i in range(len(words))
            for n in runs
        )

    def secret_parameter(self, name: str) -> bool:
        """Tell whether a parameter of a URL holds a secret."""
        known = self._known_parameters.get(name)
        if known is not None:
            return known
        secret = self._secret_parameter(name[: 2 * _LOOKED_AT])
        if len(name) <= _LONGEST:
            if len(self._known_parameters) >= _MOST_KNOWN:
                self._known_parameters.clear()
            self._known_parameters[name] = secret
        return secret

    def _secret_parameter(self, name: str) -> bool:
        if "%" in name:
            from urllib.parse import unquote_plus

            name = unquote_plus(name)
        whole = _whole(name)
        if whole in self._allowed:
            return False
        if self._is_own(_words(name), whole):
            return True
        lower = name.lower()
        if lower.startswith(_MARKETING) or lower in _MARKETING_NAMES:
            return False
        words = "".join(c if c.isalnum() else " " for c in lower).split()
        return not _URL_SECRETS.isdisjoint(words) or self.kind(name) == SECRET

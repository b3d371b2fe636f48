"""May there be a secret in these texts? A quick look at every event.

It never says no where `mbuzz.redaction` would replace something.
"""

from __future__ import annotations

import re

from mbuzz.secret_names import SECRET, NameRules

TYPE_CHECKING = False  # `typing` itself would cost more than all of this module
if TYPE_CHECKING:
    from collections.abc import Callable

# Begins with one character, which is what makes a search fast; a class of characters
# does not, so bytes are mapped first: to digits, and to what parts parameters.
_has_path = re.compile(
    r"/(?:reset|confirm|verif|set-p|password|email|activat|invit|accept-|unsub|magic"
    r"|login-)"
).search
# Other digits begin at U+0660. Said this way round: the class itself takes 5 ms.
_has_far_sign = re.compile("[^\0-\u065f]").search
_DIGITS = bytes([120]) * 48 + b"0" * 10 + bytes([120]) * 198
_GAPS = b" .+_/%-"  # what may stand between the digits of a card's number
_THIRTEEN = b"0" * 13
_PARTED = bytes.maketrans(b" \t\r\n&#;", b"???????")
_MOST_NAMES = 2048
_LONGEST_NAME = 64


class Suspicion:
    """Looks at texts under one configuration.

    *patterns* are regular expressions of the configuration.

    Raises:
        re.error: If one of them is none.
    """

    __slots__ = ("_innocent", "_is_personal", "names", "patterns", "strict")

    def __init__(
        self,
        names: NameRules | None = None,
        *,
        strict: bool = False,
        patterns: tuple[str, ...] = (),
    ) -> None:
        self.names = names or NameRules(strict=strict)
        self.strict = strict
        self.patterns = tuple(re.compile(pattern) for pattern in patterns)
        self._innocent: set[bytes] = set()  # names of parameters
        self._is_personal: Callable[[bytes], bool] | None = None
        if strict:
            from mbuzz import personal_data

            self._is_personal = personal_data.may_hold_some

    def of(self, text: str, *, emails: bool = False) -> bool:
        """Tell whether redaction might change *text*, which begins with a line feed.

        It may be many texts, a line or more each. With *emails* addresses may stay.
        Yes may be wrong, no is not; `matches` tells about the configuration's patterns.
        """
        lower = text.lower()
        # A search for a plain string costs a tenth of a regular expression's.
        if (
            ("@" in text and (not emails or "//" in text))
            or '"' in text
            or "eyJ" in text
            or "k_live_" in text
            or "k_test_" in text
            or "sk-" in text
            or "xox" in text
            or "bearer" in lower
            or "whsec_" in text
            or "glpat-" in text
            or "AKIA" in text
            or "ASIA" in text
            or "AIza" in text
            or "-----B" in text
            or _has_path(lower)
            or ("gh" in text and "_" in text and _has_token(text))
            or ("'" in text and ":" in text)
            or (
                "%" in text
                and ("%40" in text or "%25" in text or "%3d" in lower or "%2f" in lower)
            )
        ):
            return True
        data = text.encode("utf-8", "replace")
        if "=" in text:
            pieces = data.translate(_PARTED).split(b"=")
            pieces.pop()  # what follows the last name
            for piece in pieces:  # a loop is faster here than any search for names
                name = piece.rpartition(b"?")[2]
                if name not in self._innocent and not self._learn(name):
                    return True
        if _THIRTEEN in data.translate(_DIGITS, _GAPS) or (
            not text.isascii() and ("\u00a0" in text or _has_far_sign(text))
        ):
            from mbuzz import card_numbers

            if card_numbers.may_hold_card(text):
                return True
        return self._is_personal is not None and self._is_personal(data)

    def matches(self, texts: list[str]) -> bool:
        """Tell whether a pattern of the configuration occurs in one of *texts*."""
        # One by one: a pattern may ask for the begin or the end of a text.
        return any(own.search(text) for own in self.patterns for text in texts)

    def _learn(self, raw: bytes) -> bool:
        """Remember the name of an innocent parameter; return whether it is one."""
        name = raw.decode("utf-8", "replace")
        if (
            len(name) > _LONGEST_NAME
            or self.names.secret_parameter(name)
            or self.names.kind(name) == SECRET
        ):
            return False
        if len(self._innocent) >= _MOST_NAMES:
            self._innocent.clear()
        self._innocent.add(raw)
        return True


def _has_token(text: str) -> bool:
    return any(f"gh{kind}_" in text for kind in "oprsu") or "github_pat_" in text

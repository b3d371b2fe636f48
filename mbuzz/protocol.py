"""The wire between SDK and server: paths, names, limits, cookies, error codes."""

from __future__ import annotations

import re

TYPE_CHECKING = False  # `typing` itself would cost more than all of this module
if TYPE_CHECKING:
    from typing import Final

API_PREFIX: Final = "/api/v1"
DEFAULT_API_URL: Final = "https://mbuzz.co/api/v1"

PAGE_VIEW: Final = "page_view"
SESSION_START: Final = "session_start"
TRACK: Final = "track"
IDENTIFY: Final = "identify"
ALIAS: Final = "alias"
GROUP: Final = "group"
CONVERSION: Final = "conversion"
KINDS: Final = frozenset({TRACK, IDENTIFY, ALIAS, GROUP, CONVERSION})

VISITOR_COOKIE: Final = "_mbuzz_vid"
SESSION_COOKIE: Final = "_mbuzz_sid"
VISITOR_COOKIE_MAX_AGE: Final = 31_536_000  # seconds, a year
SESSION_COOKIE_MAX_AGE: Final = 1_800  # seconds

# What our cookies hold. Ids of older clients are wider and accepted on the wire only.
COOKIE_VISITOR_ID: Final = re.compile(r"[0-9a-f]{64}")
COOKIE_SESSION_ID: Final = re.compile(r"[0-9A-Za-z_-]{8,128}")
WIRE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,255}")
API_KEY: Final = re.compile(r"sk_(test|live)_[A-Za-z0-9]{32,128}")

MAX_BODY_BYTES: Final = 1_048_576  # as sent
MAX_UNPACKED_BYTES: Final = 8_388_608  # after gzip
MAX_BATCH_EVENTS: Final = 500
MAX_EVENT_BYTES: Final = 32_768
MAX_PROPERTIES: Final = 100
MAX_DEPTH: Final = 5
MAX_STRING: Final = 8_192  # characters
MAX_EVENT_ID: Final = 128
MAX_EVENT_TYPE: Final = 255
MAX_USER_ID: Final = 255
GZIP_FROM_BYTES: Final = 1_024

AUTHORIZATION_SCHEME: Final = "Bearer"

"""The server's vocabulary: tenant, landing, session, touchpoint, conversion, credit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

CHANNELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "direct": "Direct",
        "cross_network": "Cross-network",
        "paid_shopping": "Paid Shopping",
        "paid_search": "Paid Search",
        "paid_social": "Paid Social",
        "paid_video": "Paid Video",
        "display": "Display",
        "paid_other": "Paid Other",
        "ai": "AI Assistants",
        "organic_shopping": "Organic Shopping",
        "organic_social": "Organic Social",
        "organic_video": "Organic Video",
        "organic_search": "Organic Search",
        "email": "Email",
        "affiliates": "Affiliates",
        "referral": "Referral",
        "audio": "Audio",
        "sms": "SMS",
        "push": "Push",
        "other": "Unassigned",
    }
)

# A report row, not a channel: conversions without any touchpoint.
UNATTRIBUTED: Final = "unattributed"


def channel_label(channel: str) -> str:
    """Return a channel's name for people; an account's own is named by its key."""
    if channel == UNATTRIBUTED:
        return "Unattributed"
    return CHANNELS.get(channel) or channel.replace("_", " ").title()


EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


class Tenant(NamedTuple):
    """Whose data, and of which environment; the first argument of every port method."""

    account_id: int
    live: bool

    @property
    def environment(self) -> str:
        """Return the name the API uses, ``live`` or ``test``."""
        return "live" if self.live else "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """What a URL and a referrer say about where a visitor came from.

    `key` is what two hits of one source share; ``None`` is direct. `known` says that
    a plain referrer is a search, social, video, shopping or AI site.
    """

    channel: str = "direct"
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    utm: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    click_ids: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    key: tuple[str, ...] | None = None
    known: bool = False
    from_own_host: bool = False  # the referrer is exactly the page's host
    flags: frozenset[str] = frozenset()


DIRECT: Final = Landing()


class WebEvent(NamedTuple):
    """One event with a URL, as the session fold sees it; `row` is 0 until stored.

    Rows tell a visitor's events apart, ids only those of one hour.
    """

    event_id: str
    occurred_at_ms: int
    url: str
    is_page_view: bool = True
    client_session_id: str | None = None
    referrer: str | None = None
    landing: Landing = DIRECT
    row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A visit: consecutive web events of one visitor, with the source of the first."""

    events: tuple[WebEvent, ...]
    flags: frozenset[str] = frozenset()

    @property
    def first(self) -> WebEvent:
        """Return the event that began the session and gave it its source."""
        return self.events[0]

    @property
    def last(self) -> WebEvent:
        """Return the latest event."""
        return self.events[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Touchpoint:
    """A session as attribution sees it."""

    session_id: int
    public_id: str
    channel: str
    started_at_ms: int
    utm: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    # What sorts those that began together, in whatever order they arrived.
    order: tuple[str, int, str] = field(default=("", 0, ""), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """A touchpoint's share of one conversion under one model.

    `credit` is in billionths of the conversion and `revenue` in millionths of the
    currency unit (None for a conversion without revenue), so that the shares of a
    conversion sum exactly. `touchpoint` is None for an unattributed conversion.
    `length`, `role`, `weight` and `version` say why it is so: of how many touchpoints,
    what it was among them to the model, with which weight before it was made a share,
    under which version of the model.
    """

    model: str
    position: int  # in the journey as the model sees it, from 0
    credit: int
    revenue: int | None
    touchpoint: Touchpoint | None
    length: int = 0
    role: str = ""
    weight: float | None = None
    version: int = 1

    @property
    def channel(self) -> str:
        """Return the touchpoint's channel, or the unattributed row."""
        return self.touchpoint.channel if self.touchpoint else UNATTRIBUTED


class TrackCall(NamedTuple):
    """A well-formed event, as a client sent it."""

    event_id: str
    event_type: str
    visitor_id: str | None
    user_id: str | None
    session_id: str | None
    occurred_at_ms: int
    received_at_ms: int
    said_ms: int | None = None  # what the client's clock said; None: it said nothing
    url: str | None = None
    referrer: str | None = None
    user_agent: str | None = None
    prefetch: bool = False
    webdriver: bool = False  # a program steers the browser
    ignore_referrer: bool = False
    refused: frozenset[str] = frozenset()  # of analytics, ads, gpc
    flags: frozenset[str] = frozenset()
    properties: Mapping[str, object] = EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyCall:
    """A visitor is this user."""

    user_id: str
    visitor_id: str | None
    traits: Mapping[str, object]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasCall:
    """Two ids are one person."""

    user_id: str
    previous_id: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCall:
    """Something of a group, such as a company: its traits, or that a person is in it.

    `call_id` is what makes a second one a repeat of it.
    """

    call_id: str | None
    group_id: str
    user_id: str | None
    visitor_id: str | None
    traits: Mapping[str, object]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionCall:
    """A goal was reached."""

    conversion_id: str
    dedupe_key: str | None
    conversion_type: str
    visitor_id: str | None
    user_id: str | None
    event_id: str | None
    revenue_minor: int | None
    currency: str | None  # None is the account's
    converted_at_ms: int
    received_at_ms: int
    is_acquisition: bool = False
    inherits: bool = False  # the channels of the customer's acquisition
    email: str | None = None  # a user's, as the traits have it
    funnel: str | None = None
    correlation: Mapping[str, object] = field(default_factory=lambda: EMPTY)
    flags: frozenset[str] = frozenset()
    properties: Mapping[str, object] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundCall:
    """Money of a conversion was given back; no amount is all that is left of it."""

    refund_id: str
    amount: str | None
    reason: str | None
    refunded_at_ms: int
    received_at_ms: int


Call = TrackCall | IdentifyCall | AliasCall | GroupCall | ConversionCall

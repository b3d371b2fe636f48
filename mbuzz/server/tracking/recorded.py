"""What becomes of a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mbuzz.server.model import Credit
from mbuzz.server.storage.rows.conversions import ConversionRow


class EventRecorded(NamedTuple):
    """An event is stored."""

    event_id: str
    event_type: str
    visitor_id: str | None
    session_id: str | None
    bot: bool = False
    duplicate: bool = False
    dropped: bool = False  # there was no consent, so nothing is stored


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityRecorded:
    """An identify or alias call is carried out.

    `previous_link_closed`: the visitor was another user until then.
    """

    identity_id: str
    visitor_linked: bool = False
    previous_link_closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecorded:
    """A group call is carried out, now or when it was here before."""

    duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionRecorded:
    """A conversion is stored, with its credits under every model.

    `pending`: the models that have not learned yet what to credit.
    `unknown_user`: no user, or more than one, has the e-mail that was named.
    """

    conversion: ConversionRow
    credits: Sequence[Credit]
    pending: Sequence[str] = ()
    duplicate: bool = False
    amount_differs: bool = False
    unknown_user: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A call that was well-formed, but cannot be carried out.

    `unknown`: what it names is not here.
    """

    error: str
    unknown: bool = False


Recorded = (
    EventRecorded | IdentityRecorded | GroupRecorded | ConversionRecorded | Refused
)

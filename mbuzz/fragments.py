"""The parts of an event as JSON, the quick way: most events look like the last one."""

from __future__ import annotations

import re

from mbuzz import events
from mbuzz.context import GRANTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mbuzz.context import RequestContext
    from mbuzz.serialization import Encoder

_MOST_NAMES = 1_000  # of events that are remembered: programs have few
_LONGEST_NAME = 255
# As web requests get one where no proxy gave them any: nothing can hide in it.
_own_request = re.compile("req_[0-9a-f]{32}").fullmatch


def _is_solid(given: object) -> bool:
    """Tell whether it is ASCII letters and digits, as the ids of cookies are."""
    return (
        type(given) is str
        and given.isascii()
        and given.isalnum()
        and len(given) <= _LONGEST_NAME
    )


class Fragments:
    """Writes fields, each behind a comma; `names` holds those of events seen before."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.names: dict[str, str] = {}

    def name(self, event: object) -> str:
        """Return an event's name as a JSON string.

        Raises:
            InvalidEventError: If there is none.
        """
        text = self._encoder.text(events.name(event, "missing_event"))
        if type(event) is str and len(event) <= _LONGEST_NAME:
            if len(self.names) >= _MOST_NAMES:
                self.names.clear()
            self.names[event] = text
        return text

    def who(
        self,
        user_id: object,
        visitor_id: object,
        session_id: object,
        around: RequestContext | None,
    ) -> str:
        """Return the fields that say who it was.

        Raises:
            InvalidEventError: If nobody is named, or by what is no id.
        """
        if (
            around is None
            and visitor_id is None
            and session_id is None
            and _is_solid(user_id)
        ):
            return f',"user_id":"{user_id}"'  # as most are: nothing to escape
        if (
            around is not None
            and user_id is None
            and visitor_id is None
            and session_id is None
            and around.consent == GRANTED
            and around.user_id is None
            and _is_solid(visitor := around.visitor_id)
            and ((held := around.session_id) is None or _is_solid(held))
        ):
            around.visitor_used = True
            known = f',"visitor_id":"{visitor}"'
            return known if held is None else f'{known},"session_id":"{held}"'
        who = events.identity(user_id, visitor_id, around)
        session = events.hint(session_id)
        if session is not None:
            who["session_id"] = session
        text = self._encoder.text
        return "".join([f',"{name}":{text(value)}' for name, value in who.items()])

    def correlation(
        self,
        around: RequestContext | None,
        request_id: object,
        flow_id: object,
        parent_id: object,
    ) -> str:
        """Return what ties the event to others; nothing if nothing does."""
        if (
            around is not None
            and request_id is None
            and flow_id is None
            and parent_id is None
            and around.traceparent is None
            and around.flow_id is None
            and around.parent_id is None
            and type(own := around.request_id) is str
            and _own_request(own)
        ):
            return f',"correlation":{{"request_id":"{own}"}}'  # of most web requests
        tied = events.correlation(
            around, request_id=request_id, flow_id=flow_id, parent_id=parent_id
        )
        return f',"correlation":{self._encoder.mapping(tied)}' if tied else ""

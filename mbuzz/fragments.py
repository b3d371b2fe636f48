"""The parts of an event as JSON, the quick way: most events look like the last one."""

from __future__ import annotations

from mbuzz import events, protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mbuzz.context import RequestContext
    from mbuzz.serialization import Encoder

_MOST_NAMES = 1_000  # of events that are remembered: programs have few
_LONGEST_NAME = 255


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
            and type(user_id) is str
            and user_id.isascii()
            and user_id.isalnum()
            and len(user_id) <= protocol.MAX_USER_ID
        ):
            return f',"user_id":"{user_id}"'  # as most are: nothing to escape
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
        tied = events.correlation(
            around, request_id=request_id, flow_id=flow_id, parent_id=parent_id
        )
        return f',"correlation":{self._encoder.mapping(tied)}' if tied else ""

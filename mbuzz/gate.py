"""What is held back before it is queued: by the sample, the catalog, `before_send`."""

from __future__ import annotations

import json
import logging

from mbuzz import events, guard, serialization
from mbuzz.delivery import worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from mbuzz.config import Config

_logger = logging.getLogger("mbuzz.client")


class Gate:
    """Decides, as the options say, which events go on and what is left of them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._encoder = serialization.Encoder(pii="off")  # the review has the last word
        self.samples = config.sample_rate < 1

    def sample(self, who: str) -> None:
        """Let the events of a visitor pass whole, or not at all.

        *who* is the identity as JSON fields, each behind a comma.

        Raises:
            LeftOutError: If the visitor is not in the sample.
        """
        if not events.in_sample(json.loads(f"{{{who[1:]}}}"), self._config.sample_rate):
            raise events.LeftOutError("sampled_out")

    def check_declared(
        self,
        kind: str,
        name: str,
        properties: Mapping[str, object],
        warn: Callable[[str, str], None],
    ) -> None:
        """Hold an event against the catalog.

        Raises:
            InvalidEventError: If it does not fit, in tests and with `debug`; elsewhere
                an event is worth more than its form, and *warn* is told.
        """
        from mbuzz import definitions

        problems = definitions.problems(name, properties, kind=kind)
        if not problems:
            return
        text = "; ".join(problems)  # names and types, never values
        if self._config.debug or worker.intercept is not None:
            _logger.warning("event refused: %s", text)
            raise events.InvalidEventError("undeclared_event")
        warn("not as declared", text)

    def review(self, body: bytes) -> bytes:
        """Return the event as `before_send` would have it.

        Raises:
            InvalidEventError: If it is not to be sent, or if the review failed: what it
                was to remove must not leave.
        """
        review = self._config.before_send
        if review is None:
            return body
        event: dict[str, Any] = json.loads(body)
        fixed = {"type": event["type"], "id": event["id"]}

        def failed(error: Exception) -> object:
            guard.report("before_send", error)
            return error

        reviewed = guard.attempt(lambda: review(event), failed)
        if reviewed is None:
            raise events.LeftOutError("before_send")
        if not isinstance(reviewed, dict):
            raise events.InvalidEventError("before_send_failed")
        rest = {name: value for name, value in reviewed.items() if name not in fixed}
        return self._encoder.item({**fixed, **rest})

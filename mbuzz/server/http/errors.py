"""Errors that become answers."""

from __future__ import annotations

from collections.abc import Sequence


class HttpError(Exception):
    """A request that cannot be served: a status, a machine word and a sentence."""

    def __init__(
        self,
        status: int,
        code: str,
        sentence: str,
        *,
        details: Sequence[object] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence
        self.details = details
        self.headers = headers


def unprocessable(errors: Sequence[str]) -> HttpError:
    """Return the answer to a call that is JSON, but not a usable one."""
    return HttpError(422, "invalid", "; ".join(errors), details=list(errors))

"""Celery: `install()`, so that a task runs as the visitor whose request sent it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import signals

from mbuzz import api, guard

HEADER = "mbuzz"  # of the task's message
_FLUSH_TIMEOUT = 2.0  # seconds that the end of a pool's process may wait
_SCOPE = "_mbuzz_scope"  # on the request of a task, which lives as long as it runs


def install() -> None:
    """Carry visitor, session, user, flow and trace into the tasks of this process.

    Call it where the Celery app is made, so that those who send tasks and those who
    run them both do; again is harmless. A task that is sent where nobody is served,
    such as by beat, runs as nobody. The message gets one header, `mbuzz`: whoever sets
    it by `apply_async(headers=...)` decides, and a retry keeps the first.
    """
    for signal, receiver in (
        (signals.before_task_publish, _send),
        (signals.task_prerun, _enter),
        (signals.task_postrun, _leave),
        (signals.worker_process_shutdown, _deliver),
    ):
        # By an id, since a module that is loaded twice would be called twice.
        signal.connect(receiver, weak=False, dispatch_uid=f"mbuzz.{receiver.__name__}")


def _send(*, headers: dict[str, Any] | None = None, **_: object) -> None:
    """Add the present context to a message that is about to leave."""
    with guard.swallowing("celery send"):
        if headers is not None and HEADER not in headers:
            carried = api.carrier()
            if carried:
                headers[HEADER] = carried


def _enter(*, task: Any, **_: object) -> None:
    """Begin a task: nothing of who was served here before gets in."""
    with guard.swallowing("celery task"):
        request = task.request_stack.top
        scope = api.attach(_carried(request))
        setattr(request, _SCOPE, scope)  # first, should a time limit strike in between
        scope.__enter__()


def _leave(*, task: Any, **_: object) -> None:
    """End a task, however it ended."""
    with guard.swallowing("celery task"):
        scope = task.request_stack.top.__dict__.pop(_SCOPE, None)
        if scope is not None:
            scope.__exit__()


def _carried(request: Any) -> Any:
    """Return what the sender's context was.

    Custom headers are attributes of the request in messages of protocol 2, and only
    with newer versions of Celery among its `headers` as well, where those of protocol 1
    always are (celery#4875).
    """
    headers = request.headers
    if isinstance(headers, Mapping) and HEADER in headers:
        return headers[HEADER]
    if request.is_eager:  # no message was sent: the sender is who calls
        return api.carrier()
    return getattr(request, HEADER, None)


def _deliver(**_: object) -> None:
    """Send what is queued: a process of a pool ends without exit handlers."""
    api.close(_FLUSH_TIMEOUT)

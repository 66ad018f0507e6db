"""Log records of what happens, by the standard library's logging.

| logger                    | level   | when                                                      |
|---------------------------|---------|-----------------------------------------------------------|
| `siteassist_async.http`   | DEBUG   | an attempt has ended                                      |
| `siteassist_async.retry`  | INFO    | a failed attempt is retried                               |
| `siteassist_async.pacing` | INFO    | a call, or all, wait for longer than a second; else DEBUG |
| `siteassist_async.bulk`   | WARNING | an outage has begun or ended                              |
| `siteassist_async.events` | ERROR   | an event listener raised                                  |
| `siteassist_async.http`   | WARNING | requests are slower with this release of aiohttp          |
| `siteassist_async.export` | WARNING | a file of somebody else was found and kept under a name   |

Every record has the fields of its event as `extra`: `operation`, `subject`, `attempt`, `status`,
`duration`, `delay`, `reason`, …; an exception comes as `error`, its class's name.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from attrs import fields

from siteassist_async.events import (
    AttemptEnded,
    Event,
    GateClosed,
    OutageEnded,
    OutageStarted,
    RateChanged,
    RetryScheduled,
    WaitStarted,
    WindowChanged,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NOTICEABLE = 1.0
"""Seconds: a wait that is longer is logged at INFO where it begins."""

HTTP = logging.getLogger("siteassist_async.http")
_RETRY = logging.getLogger("siteassist_async.retry")
_PACING = logging.getLogger("siteassist_async.pacing")
_BULK = logging.getLogger("siteassist_async.bulk")

# Without it Python would print warnings of a library whose user has set up no logging.
logging.getLogger("siteassist_async").addHandler(logging.NullHandler())

REASONS = {
    "pace": "for the rate limit",
    "gate": "because the API asked all to wait",
    "slots": "for a free slot",
    "retry_after": "because the API asked to wait for this id",
}


def log_call(event: Event) -> None:
    """Write what a call, or many, do."""
    write = _OF_CALLS.get(type(event))
    if write is not None:
        write(event)


def log_pace(event: Event) -> None:
    """Write what a pacer does."""
    write = _OF_PACERS.get(type(event))
    if write is not None:
        write(event)


def _attempt_ended(a: AttemptEnded) -> None:
    if not HTTP.isEnabledFor(logging.DEBUG):
        return
    if a.error is None:
        text = "%s %s: %s in %.3f s (%d bytes, attempt %d)"
        args: tuple[object, ...] = a.method, a.url, a.status, a.duration, a.size, a.attempt
    else:
        text = "%s %s: failed after %.3f s (attempt %d): %r"
        args = a.method, a.url, a.duration, a.attempt, a.error
    HTTP.debug(text, *args, extra=_extra(a))


def _retry_scheduled(r: RetryScheduled) -> None:
    text = "%s %s: retrying in %.2f s after: %s"
    _write(_RETRY, logging.INFO, r, text, r.operation, r.subject, r.delay, r.error)


def _wait_started(w: WaitStarted) -> None:
    level = logging.INFO if w.expected > NOTICEABLE and not w.bulk else logging.DEBUG
    text = "%s %s: waiting about %.2f s %s"
    _write(_PACING, level, w, text, w.operation, w.subject, w.expected, REASONS[w.reason])


def _outage_started(outage: OutageStarted) -> None:
    text = "no request is answered, pausing for up to %g s: %s"
    _write(_BULK, logging.WARNING, outage, text, outage.wait, outage.error)


def _outage_ended(outage: OutageEnded) -> None:
    text = "requests are answered again after %.0f s"
    _write(_BULK, logging.WARNING, outage, text, outage.duration)


def _gate_closed(gate: GateClosed) -> None:
    level = logging.INFO if gate.seconds > NOTICEABLE else logging.DEBUG
    why = "the API asked to wait" if gate.asked else "the API refuses, and names no time"
    _write(_PACING, level, gate, "all requests pause for %.2f s: %s", gate.seconds, why)


def _rate_changed(change: RateChanged) -> None:
    _write(_PACING, logging.DEBUG, change, "%.3g requests per second", change.rate)


def _window_changed(change: WindowChanged) -> None:
    _write(_PACING, logging.DEBUG, change, "at most %d requests in flight", change.limit)


# By the class, for a listener is called at each event.
_OF_CALLS: dict[type, Callable[[Any], None]] = {
    AttemptEnded: _attempt_ended,
    RetryScheduled: _retry_scheduled,
    WaitStarted: _wait_started,
    OutageStarted: _outage_started,
    OutageEnded: _outage_ended,
}
_OF_PACERS: dict[type, Callable[[Any], None]] = {
    GateClosed: _gate_closed,
    RateChanged: _rate_changed,
    WindowChanged: _window_changed,
}


def _write(logger: logging.Logger, level: int, event: Event, text: str, *args: object) -> None:
    if logger.isEnabledFor(level):
        logger.log(level, text, *args, extra=_extra(event))


def _extra(event: Event) -> dict[str, object]:
    values: dict[str, object] = {
        part.name: getattr(event, part.name) for part in fields(type(event))
    }
    error = values.get("error")
    return values if error is None else {**values, "error": type(error).__name__}

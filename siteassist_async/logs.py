"""Log records of events, through the standard library's logging.

| logger                    | level   | when                                                      |
|---------------------------|---------|-----------------------------------------------------------|
| `siteassist_async.http`   | DEBUG   | an attempt ended                                          |
| `siteassist_async.retry`  | INFO    | a failed attempt is retried                               |
| `siteassist_async.pacing` | INFO    | one call or all wait for more than a second; else DEBUG   |
| `siteassist_async.bulk`   | WARNING | an outage started or ended                                |
| `siteassist_async.events` | ERROR   | an event listener raised                                  |
| `siteassist_async.http`   | WARNING | requests are slower with this release of aiohttp          |
| `siteassist_async.export` | WARNING | a file of somebody else was found and kept under a name   |

Every record has the fields of its event as `extra`: `operation`, `subject`, `attempt`, `status`,
`duration`, `delay`, `reason` and so on; `error` is the name of the exception's class.
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
"""Seconds: a longer wait is logged at INFO when it starts."""

HTTP = logging.getLogger("siteassist_async.http")
_RETRY = logging.getLogger("siteassist_async.retry")
_PACING = logging.getLogger("siteassist_async.pacing")
_BULK = logging.getLogger("siteassist_async.bulk")

# Without it, Python prints a library's warnings to stderr if the user has not set up logging.
logging.getLogger("siteassist_async").addHandler(logging.NullHandler())

REASONS = {
    "pace": "for the rate limit",
    "gate": "because the API paused all requests",
    "slots": "for a free slot",
    "retry_after": "because the API asked to retry this ID later",
}


def log_call(event: Event) -> None:
    """Log the event of a call or of bulk work."""
    write = _OF_CALLS.get(type(event))
    if write is not None:
        write(event)


def log_pace(event: Event) -> None:
    """Log the event of a pacer."""
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
    text = "no usable responses, pausing for up to %g s: %s"
    _write(_BULK, logging.WARNING, outage, text, outage.wait, outage.error)


def _outage_ended(outage: OutageEnded) -> None:
    text = "usable responses again after %.0f s"
    _write(_BULK, logging.WARNING, outage, text, outage.duration)


def _gate_closed(gate: GateClosed) -> None:
    level = logging.INFO if gate.seconds > NOTICEABLE else logging.DEBUG
    why = "requested by the API" if gate.asked else "throttled without a Retry-After"
    _write(_PACING, level, gate, "pausing all requests for %.2f s: %s", gate.seconds, why)


# By class, because every event is passed to them.
_OF_CALLS: dict[type, Callable[[Any], None]] = {
    AttemptEnded: _attempt_ended,
    RetryScheduled: _retry_scheduled,
    WaitStarted: _wait_started,
    OutageStarted: _outage_started,
    OutageEnded: _outage_ended,
}
_OF_PACERS: dict[type, Callable[[Any], None]] = {
    GateClosed: _gate_closed,
    RateChanged: lambda change: _write(
        _PACING, logging.DEBUG, change, "%.3g requests per second", change.rate
    ),
    WindowChanged: lambda change: _write(
        _PACING, logging.DEBUG, change, "at most %d requests in flight", change.limit
    ),
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

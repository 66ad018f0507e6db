"""Log records of events, through the standard library's logging.

| logger                    | level   | when                                                      |
|---------------------------|---------|-----------------------------------------------------------|
| `siteassist_async.http`   | DEBUG   | an attempt ended                                          |
| `siteassist_async.retry`  | INFO    | a failed attempt is retried                               |
| `siteassist_async.pacing` | INFO    | one call or all wait for more than a second; else DEBUG   |
| `siteassist_async.bulk`   | WARNING | an outage started or ended                                |
| `siteassist_async.events` | ERROR   | an event listener raised                                  |

Every record has the fields of its event as `extra`: `operation`, `subject`, `attempt`, `status`,
`duration`, `delay`, `reason` and so on; `error` is the name of the exception's class.
"""

from __future__ import annotations

import logging

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
    "retry_after": "because the API asked to retry this id later",
}


def log_call(event: Event) -> None:
    """Log the event of a call or of bulk work."""
    match event:
        case AttemptEnded(error=None):
            text = "%s %s: %s in %.3f s (%d bytes, attempt %d)"
            a = event
            _write(
                HTTP,
                logging.DEBUG,
                a,
                text,
                a.method,
                a.url,
                a.status,
                a.duration,
                a.size,
                a.attempt,
            )
        case AttemptEnded():
            text = "%s %s: failed after %.3f s (attempt %d): %r"
            a = event
            _write(HTTP, logging.DEBUG, a, text, a.method, a.url, a.duration, a.attempt, a.error)
        case RetryScheduled():
            text = "%s %s: retrying in %.2f s after: %s"
            r = event
            _write(_RETRY, logging.INFO, r, text, r.operation, r.subject, r.delay, r.error)
        case WaitStarted():
            is_noticed = event.expected > NOTICEABLE and not event.bulk
            level = logging.INFO if is_noticed else logging.DEBUG
            text = "%s %s: waiting about %.2f s %s"
            w = event
            reason = REASONS[w.reason]
            _write(_PACING, level, w, text, w.operation, w.subject, w.expected, reason)
        case OutageStarted():
            text = "no usable responses, pausing for up to %g s: %s"
            _write(_BULK, logging.WARNING, event, text, event.wait, event.error)
        case OutageEnded():
            text = "usable responses again after %.0f s"
            _write(_BULK, logging.WARNING, event, text, event.duration)
        case _:
            pass


def log_pace(event: Event) -> None:
    """Log the event of a pacer."""
    match event:
        case GateClosed():
            level = logging.INFO if event.seconds > NOTICEABLE else logging.DEBUG
            who = "requested by the API" if event.asked else "throttled without a Retry-After"
            _write(_PACING, level, event, "pausing all requests for %.2f s: %s", event.seconds, who)
        case RateChanged():
            _write(_PACING, logging.DEBUG, event, "%.3g requests per second", event.rate)
        case WindowChanged():
            _write(_PACING, logging.DEBUG, event, "at most %d requests in flight", event.limit)
        case _:
            pass


def _write(logger: logging.Logger, level: int, event: Event, text: str, *args: object) -> None:
    if logger.isEnabledFor(level):
        logger.log(level, text, *args, extra=_extra(event))


def _extra(event: Event) -> dict[str, object]:
    values: dict[str, object] = {
        part.name: getattr(event, part.name) for part in fields(type(event))
    }
    error = values.get("error")
    return values if error is None else {**values, "error": type(error).__name__}

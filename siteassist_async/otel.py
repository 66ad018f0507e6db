"""OpenTelemetry: spans and metrics of a client, made from its events.

```python
from siteassist_async import SiteAssist
from siteassist_async.otel import instrument

client = SiteAssist()
instrument(client)
```

Needs `siteassist_async[otel]`, which is the API of OpenTelemetry alone; the application chooses SDK
and exporters. Without an SDK nothing is recorded.

Spans: an INTERNAL span for each call, named by its operation ("conversations.get"), and in it a
CLIENT span for each attempt, named by method and route ("GET /v2/conversations/{id}"), with the
attributes of the stable semantic conventions for HTTP clients. A span of a call of bulk work starts
a trace of its own, linked to the span that was current, because an export of a million IDs must not
be one trace.

Metrics: `http.client.request.duration` of the semantic conventions; durations of calls and waits,
retries, throttled responses and the state of the pacer as `siteassist.client.*`. Their attributes
contain no IDs.
"""

from __future__ import annotations

import weakref
from contextvars import Token
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from attrs import define

try:
    from opentelemetry import context, metrics, propagate, trace
    from opentelemetry.context import Context
    from opentelemetry.metrics import Observation
    from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
except ImportError as error:
    raise ImportError("needs opentelemetry-api: pip install 'siteassist_async[otel]'") from error

from siteassist_async.errors import APIError, RateLimitError, ServiceUnavailableError
from siteassist_async.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    RetryScheduled,
    WaitEnded,
)
from siteassist_async.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, MeterProvider
    from opentelemetry.trace import TracerProvider

    from siteassist_async.client import SiteAssist
    from siteassist_async.pacing import Pacer, PaceSnapshot
    from siteassist_async.wire import Request, Response, Send

_NAME = "siteassist_async"

# The advisory buckets of the semantic conventions.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

# Private to OpenTelemetry, but the only way to tell its instrumentation of aiohttp that these
# requests have spans already. If it goes, requests have two spans each.
_SUPPRESS_HTTP = getattr(context, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", None)


def instrument(
    client: SiteAssist,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    calls: bool = True,
) -> Callable[[], None]:
    """Record spans and metrics of a client; returns a function that stops it.

    Args:
        client: The client; its views by `with_options` are included.
        tracer_provider: Defaults to the global one.
        meter_provider: Defaults to the global one.
        calls: Whether to make spans of calls. Without them, the spans of attempts are children of
            the span that is current when the call starts.
    """
    telemetry = _Telemetry(client.pacer, tracer_provider, meter_provider, calls=calls)
    return client.events.subscribe(telemetry, when=telemetry.records)


async def propagate_context(request: Request, send: Send) -> Response:
    """Send the trace context to the API, as headers; by default it is not sent.

    Middleware: `SiteAssist(middleware=[propagate_context])`. The headers may include baggage, which
    may be personal data.
    """
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return await send(request.with_headers(headers))


@define
class _Call:
    """A call in progress: its span, and the span of its current attempt.

    Attributes:
        within: The context in which its attempts start.
        attached: To detach what was attached to the context of the task.
    """

    span: Span | None
    within: Context
    links: tuple[Link, ...] = ()
    attached: Token[Context] | None = None
    attempt: Span | None = None
    suppressed: Token[Context] | None = None
    waited: float = 0.0
    delayed: float = 0.0


class _Telemetry:
    """The listener."""

    def __init__(
        self,
        pacer: Pacer,
        tracers: TracerProvider | None,
        meters: MeterProvider | None,
        *,
        calls: bool,
    ) -> None:
        self._tracers = tracers
        self._meters = meters
        self._tracer = trace.get_tracer(_NAME, __version__, tracers)
        meter = metrics.get_meter(_NAME, __version__, meters)
        self._has_calls = calls
        self._calls: dict[int, _Call] = {}
        self._request_duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._call_duration = meter.create_histogram(
            "siteassist.client.call.duration",
            unit="s",
            description="Duration of calls, including waits and retries.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._wait_duration = meter.create_histogram(
            "siteassist.client.wait.duration",
            unit="s",
            description="Duration of waits before an attempt.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._retries = meter.create_counter(
            "siteassist.client.retries", unit="{attempt}", description="Attempts that are retried."
        )
        self._throttled = meter.create_counter(
            "siteassist.client.throttled",
            unit="{response}",
            description="Responses of status 429 and 503.",
        )
        _observe(pacer, meter)

    def records(self) -> bool:
        """Whether there is an SDK, which the application may set at any time."""
        return self._makes_spans() or _is_sdk(self._meters or metrics.get_meter_provider())

    def _makes_spans(self) -> bool:
        return _is_sdk(self._tracers or trace.get_tracer_provider())

    def __call__(self, event: Event) -> None:
        """Handle an event."""
        # The most frequent first; `match` takes twice as long.
        if isinstance(event, AttemptStarted):
            self._attempt_started(event)
        elif isinstance(event, AttemptEnded):
            self._attempt_ended(event)
        elif isinstance(event, CallStarted):
            self._call_started(event)
        elif isinstance(event, CallEnded):
            self._call_ended(event)
        elif isinstance(event, WaitEnded):
            waited = {"siteassist.reason": event.reason, "siteassist.bulk": event.bulk}
            self._wait_duration.record(event.duration, waited)
            if (call := self._calls.get(event.call)) is not None:
                call.waited += event.duration
        elif isinstance(event, RetryScheduled):
            kind = _kind(event.error)
            self._retries.add(1, {"siteassist.operation": event.operation, "error.type": kind})
            if (call := self._calls.get(event.call)) is not None:
                call.delayed += event.delay

    def _call_started(self, event: CallStarted) -> None:
        if not self._makes_spans():
            return
        before = context.get_current()
        within = before
        links: tuple[Link, ...] = ()
        if event.bulk:
            within = Context()
            current = trace.get_current_span(before).get_span_context()
            links = (Link(current),) if current.is_valid else ()
        if not self._has_calls:
            self._calls[event.call] = _Call(None, within=within, links=links)
            return
        attributes: dict[str, str | bool] = {
            "siteassist.operation": event.operation,
            "siteassist.subject": event.subject,
            "siteassist.bulk": event.bulk,
        }
        span = self._tracer.start_span(event.operation, within, attributes=attributes, links=links)
        within = trace.set_span_in_context(span, within)
        # Spans made by the user's middleware and token callable become its children.
        self._calls[event.call] = _Call(span, within, attached=context.attach(within))

    def _call_ended(self, event: CallEnded) -> None:
        attributes: dict[str, str | bool] = {
            "siteassist.operation": event.operation,
            "siteassist.bulk": event.bulk,
        }
        if event.error is not None:
            attributes["error.type"] = _kind(event.error)
        self._call_duration.record(event.duration, attributes)
        call = self._calls.pop(event.call, None)
        if call is None or call.span is None or call.attached is None:
            return
        context.detach(call.attached)
        if call.span.is_recording():
            call.span.set_attribute("siteassist.attempts", event.attempts)
            call.span.set_attribute("siteassist.waited", call.waited)
            call.span.set_attribute("siteassist.delayed", call.delayed)
            _fail(call.span, event.error)
        call.span.end()

    def _attempt_started(self, event: AttemptStarted) -> None:
        call = self._calls.get(event.call)
        if call is None:
            return
        host, port = _server_of(event.url)
        attributes: dict[str, str | int] = {
            "http.request.method": event.method,
            "server.address": host,
            "server.port": port,
            "url.full": event.url,
        }
        if event.attempt > 1:
            attributes["http.request.resend_count"] = event.attempt - 1
        route = urlsplit(event.url).path
        if event.subject:
            route = route.replace(quote(event.subject, safe=""), "{id}")
        call.attempt = self._tracer.start_span(
            f"{event.method} {route}",
            call.within,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            links=call.links,
        )
        if _SUPPRESS_HTTP is not None and call.attempt.get_span_context().is_valid:
            within = trace.set_span_in_context(call.attempt, call.within)
            call.suppressed = context.attach(
                context.set_value(_SUPPRESS_HTTP, True, within)  # noqa: FBT003 - its API
            )

    def _attempt_ended(self, event: AttemptEnded) -> None:
        error = event.error
        host, port = _server_of(event.url)
        attributes: dict[str, str | int] = {
            "http.request.method": event.method,
            "server.address": host,
            "server.port": port,
        }
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if error is not None:
            attributes["error.type"] = _kind(error)
        self._request_duration.record(event.duration, attributes)
        if isinstance(error, RateLimitError | ServiceUnavailableError):
            self._throttled.add(
                1,
                {
                    "siteassist.operation": event.operation,
                    "http.response.status_code": error.status,
                },
            )
        call = self._calls.get(event.call)
        if call is None or call.attempt is None:
            return
        span, call.attempt = call.attempt, None
        if call.suppressed is not None:
            context.detach(call.suppressed)
            call.suppressed = None
        if span.is_recording():
            if event.status is not None:
                span.set_attribute("http.response.status_code", event.status)
            _fail(span, error)
        span.end()


def _is_sdk(provider: TracerProvider | MeterProvider) -> bool:
    """Whether a provider is not of the API itself: those record nothing until another is set."""
    return not type(provider).__module__.startswith(
        ("opentelemetry.trace", "opentelemetry.metrics")
    )


def _observe(pacer: Pacer, meter: metrics.Meter) -> None:
    """Create the gauges of a pacer, without keeping it alive."""
    reference = weakref.ref(pacer)

    def gauge(
        name: str, unit: str, description: str, read: Callable[[PaceSnapshot], float | None]
    ) -> None:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            pacer = reference()
            value = None if pacer is None else read(pacer.snapshot())
            return [] if value is None else [Observation(value)]

        meter.create_observable_gauge(
            f"siteassist.client.pacer.{name}", [observe], unit, description
        )

    gauge("rate", "{request}/s", "Current limit on the rate, if any.", lambda s: s.rate)
    gauge("in_flight", "{request}", "Requests in flight.", lambda s: s.in_flight)
    gauge("waiting", "{call}", "Calls that wait to start.", lambda s: s.waiting)
    gauge("gate", "s", "Time until requests may start.", lambda s: s.gate)


def _kind(error: BaseException) -> str:
    """Return `error.type`: a status, or the name of a class."""
    return str(error.status) if isinstance(error, APIError) else type(error).__name__


def _fail(span: Span, error: BaseException | None) -> None:
    if error is not None:
        span.set_attribute("error.type", _kind(error))
        # A status says it all, and the message of an APIError is the server's.
        text = None if isinstance(error, APIError) else str(error)
        span.set_status(Status(StatusCode.ERROR, text))


def _server_of(url: str) -> tuple[str, int]:
    return _server(url[: url.find("/", len("https://"))])


@lru_cache
def _server(origin: str) -> tuple[str, int]:
    """Return the host and the port."""
    parts = urlsplit(origin)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

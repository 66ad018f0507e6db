"""OpenTelemetry: its SDK collects what a client does."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes import ID, OTHER_ID, TOKEN, FakeClock, client_of, get_all
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind, StatusCode

from siteassist_async import NotFoundError, RetryPolicy, SiteAssist, otel
from siteassist_async.emulator import Status
from siteassist_async.events import WaitEnded
from siteassist_async.otel import instrument, propagate_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from siteassist_async import Request, Response, Send
    from siteassist_async.emulator import Emulator


class Collector:
    """The SDK, keeping everything in memory."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._spans = InMemorySpanExporter()
        self.tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def attach(self, client: SiteAssist, **options: bool) -> Callable[[], None]:
        """Instrument a client."""
        return instrument(
            client, tracer_provider=self.tracers, meter_provider=self.meters, **options
        )

    def spans(self) -> list[ReadableSpan]:
        """The spans that ended, in that order; each is returned once."""
        spans = list(self._spans.get_finished_spans())
        self._spans.clear()
        return spans

    def metrics(self) -> dict[str, list[Any]]:
        """The points of each metric."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        (resource,) = data.resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: list(metric.data.data_points) for metric in scope.metrics}


@pytest.fixture
def collector() -> Collector:
    """It."""
    return Collector()


@pytest.fixture
async def client(emulator: Emulator, clock: FakeClock) -> AsyncIterator[SiteAssist]:
    """A client that retries twice."""
    async with client_of(emulator, clock, retry=RetryPolicy(attempts=3)) as client:
        yield client


async def test_a_call_and_its_attempts_are_spans(
    client: SiteAssist, emulator: Emulator, collector: Collector
) -> None:
    """By the semantic conventions of HTTP clients, with the route in the name and no id."""
    emulator.script(ID, Status(500), Status(429, retry_after=2))
    collector.attach(client)
    with collector.tracers.get_tracer("app").start_as_current_span("request") as request:
        await client.conversations.get(ID)
        assert trace.get_current_span() is request
    *attempts, call, _ = collector.spans()
    assert [span.name for span in attempts] == ["GET /v2/conversations/{id}"] * 3
    assert {span.kind for span in attempts} == {SpanKind.CLIENT}
    assert [span.parent for span in attempts] == [call.context] * 3
    host, port = emulator.url.removeprefix("http://").removesuffix("/v2").split(":")
    assert [dict(span.attributes or {}) for span in attempts] == [
        {
            "http.request.method": "GET",
            "server.address": host,
            "server.port": int(port),
            "url.full": f"{emulator.url}/conversations/{ID}",
            **more,
        }
        for more in (
            {"http.response.status_code": 500, "error.type": "500"},
            {"http.request.resend_count": 1, "http.response.status_code": 429, "error.type": "429"},
            {"http.request.resend_count": 2, "http.response.status_code": 200},
        )
    ]
    assert [span.status.status_code for span in attempts] == [
        StatusCode.ERROR,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]
    assert (call.name, call.kind, call.parent) == (
        "conversations.get",
        SpanKind.INTERNAL,
        request.get_span_context(),
    )
    attributes = dict(call.attributes or {})
    assert attributes.pop("siteassist.delayed", 0) > 2  # type: ignore[operator] # pyright: ignore[reportOperatorIssue] # it is a number
    assert attributes == {
        "siteassist.operation": "conversations.get",
        "siteassist.subject": ID,
        "siteassist.bulk": False,
        "siteassist.attempts": 3,
        "siteassist.waited": 0.0,
    }
    assert call.status.status_code is StatusCode.UNSET


async def test_a_call_that_fails_says_how(
    client: SiteAssist, emulator: Emulator, collector: Collector
) -> None:
    """By the status, or by the class of the error."""
    collector.attach(client)
    emulator.missing(ID)
    with pytest.raises(NotFoundError):
        await client.conversations.get(ID)
    emulator.script(OTHER_ID, Status(200, body=b"[]"))
    await get_all(client, [OTHER_ID])
    missing, missing_call, good, unusable = collector.spans()
    for span in (missing, missing_call):
        assert (span.attributes or {})["error.type"] == "404"
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description is None
    assert good.status.status_code is StatusCode.UNSET
    assert (unusable.attributes or {})["error.type"] == "UnusableResponseError"
    assert unusable.status.description


async def test_each_call_of_bulk_work_is_a_trace_of_its_own(
    client: SiteAssist, collector: Collector
) -> None:
    """With a link to what it is part of; leaving the loop early upsets nothing."""
    for calls in (True, False):
        end = collector.attach(client, calls=calls)
        with collector.tracers.get_tracer("app").start_as_current_span("job") as job:
            async for _ in client.conversations.get_many([ID, OTHER_ID]):
                assert trace.get_current_span() is job
        end()
        roots = [span for span in collector.spans() if span.parent is None]
        roots.pop()  # the job
        assert len(roots) == 2
        linked = [link.context for span in roots for link in span.links]
        assert linked == [job.get_span_context()] * 2
        assert len({span.context.trace_id for span in roots if span.context}) == 2
    collector.attach(client)
    await get_all(client, [ID])
    assert all(not span.links for span in collector.spans())


async def test_leaving_a_loop_early_detaches_everything(
    client: SiteAssist, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenTelemetry would log it if a context were left by another task than entered it."""
    collector.attach(client)
    with caplog.at_level(logging.ERROR):
        async for _ in client.conversations.get_many([ID, OTHER_ID] * 20):
            break
        await asyncio.sleep(0)
        call = asyncio.create_task(client.conversations.get(ID))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert caplog.records == []
    assert trace.get_current_span() is trace.INVALID_SPAN
    *_, last = collector.spans()
    assert (last.attributes or {})["error.type"] == "CancelledError"


async def test_spans_of_calls_can_be_left_out(client: SiteAssist, collector: Collector) -> None:
    """The attempts are then children of the caller's span."""
    collector.attach(client, calls=False)
    with collector.tracers.get_tracer("app").start_as_current_span("request") as request:
        await client.conversations.get(ID)
    attempt, _ = collector.spans()
    assert attempt.name == "GET /v2/conversations/{id}"
    assert attempt.parent == request.get_span_context()


async def test_a_list_is_named_by_its_path(client: SiteAssist, collector: Collector) -> None:
    """Which has no id in it; the query is in the URL alone."""
    collector.attach(client)
    async for _ in client.conversations.list(status="open"):
        pytest.fail("there are none")
    attempt, _ = collector.spans()
    assert attempt.name == "GET /v2/conversations"
    assert "status=open" in str((attempt.attributes or {})["url.full"])


async def test_the_instrumentation_of_aiohttp_adds_no_second_span(
    emulator: Emulator, clock: FakeClock, collector: Collector
) -> None:
    """Whether the spans are sampled or not."""
    off = Collector(ALWAYS_OFF)
    AioHttpClientInstrumentor().instrument(tracer_provider=collector.tracers)
    try:
        async with client_of(emulator, clock) as client:
            end = collector.attach(client)
            await client.conversations.get(ID)
            end()
            assert len(collector.spans()) == 2
            end = off.attach(client)
            await client.conversations.get(ID)
            end()
            assert off.spans() == collector.spans() == []
            await client.conversations.get(ID)
            assert len(collector.spans()) == 1
    finally:
        AioHttpClientInstrumentor().uninstrument()


async def test_metrics_have_no_ids(
    client: SiteAssist, emulator: Emulator, collector: Collector
) -> None:
    """Durations, retries, throttled responses, waits and the pace."""
    emulator.script(ID, Status(500), Status(503, retry_after=2))
    async with SiteAssist(TOKEN, base_url=emulator.url, concurrency=1) as narrow:
        collector.attach(narrow)
        await asyncio.gather(*(narrow.conversations.get(OTHER_ID) for _ in range(2)))
        gauges = collector.metrics()
    assert {
        name: [p.value for p in gauges[f"siteassist.client.pacer.{name}"]]
        for name in ("in_flight", "waiting", "gate")
    } == {"in_flight": [0], "waiting": [0], "gate": [0.0]}
    assert "siteassist.client.pacer.rate" not in gauges
    (wait,) = gauges["siteassist.client.wait.duration"]
    assert dict(wait.attributes) == {"siteassist.reason": "slots", "siteassist.bulk": False}
    collector = Collector()
    collector.attach(client)
    await client.conversations.get(ID)
    found = collector.metrics()
    requests = found["http.client.request.duration"]
    assert {point.attributes.get("http.response.status_code") for point in requests} == {
        200,
        500,
        503,
    }
    assert {point.attributes.get("error.type") for point in requests} == {None, "500", "503"}
    (call,) = found["siteassist.client.call.duration"]
    assert (call.count, call.attributes["siteassist.operation"]) == (1, "conversations.get")
    assert {p.attributes["error.type"]: p.value for p in found["siteassist.client.retries"]} == {
        "500": 1,
        "503": 1,
    }
    (throttled,) = found["siteassist.client.throttled"]
    assert (throttled.value, throttled.attributes["http.response.status_code"]) == (1, 503)
    assert ID not in str(found)


async def test_gauges_do_not_keep_a_pacer_alive(
    emulator: Emulator, clock: FakeClock, collector: Collector
) -> None:
    """They end with it."""
    async with client_of(emulator, clock) as client:
        collector.attach(client)
        assert collector.metrics()["siteassist.client.pacer.waiting"]
    del client
    gc.collect()
    assert collector.metrics() == {}


async def test_the_trace_context_is_sent_only_if_asked(
    client: SiteAssist, collector: Collector
) -> None:
    """As headers of each attempt, which name the span of the call."""
    sent: list[dict[str, str]] = []

    async def note(request: Request, send: Send) -> Response:
        sent.append(dict(request.headers))
        return await send(request)

    collector.attach(client)
    token = context.attach(baggage.set_baggage("user", "7"))
    try:
        await client.with_options(middleware=[note]).conversations.get(ID)
        await client.with_options(middleware=[propagate_context, note]).conversations.get(ID)
    finally:
        context.detach(token)
    *_, call = collector.spans()
    assert call.context is not None
    assert "traceparent" not in sent[0]
    assert f"{call.context.span_id:016x}" in sent[1]["traceparent"]
    assert sent[1]["baggage"] == "user=7"


async def test_without_an_sdk_nothing_is_recorded(client: SiteAssist) -> None:
    """And everything works; calls in progress when it is attached or detached do no harm."""
    telemetry: list[object] = []
    end = instrument(client)
    client.events.subscribe(telemetry.append)
    await client.conversations.get(ID)
    end()
    assert len(telemetry) == 4
    assert trace.get_current_span() is trace.INVALID_SPAN


_SET_LATER = """
import asyncio
from opentelemetry import metrics, trace
from test_otel import Collector
from fakes import ID
from siteassist_async import Response, SiteAssist
from siteassist_async.contract import documented_body
from siteassist_async.otel import instrument

async def main():
    collector, numbers = Collector(), []

    async def answer(request, send):
        numbers.append(request.tally.call)
        return Response(200, {}, documented_body(200))

    async with SiteAssist("sk_test_later", middleware=[answer]) as client:
        instrument(client)
        await client.conversations.get(ID)
        metrics.set_meter_provider(collector.meters)
        await client.conversations.get(ID)
        assert collector.spans() == []
        trace.set_tracer_provider(collector.tracers)
        await client.conversations.get(ID)
    assert [span.name for span in collector.spans()] == ["conversations.get"]
    assert sum(p.count for p in collector.metrics()["siteassist.client.call.duration"]) == 2
    assert numbers == [0, 1, 2]

asyncio.run(main())
"""


def test_an_sdk_that_is_set_later_records_from_then_on() -> None:
    """Until then, calls have no events. In a process of its own: it can be set only once."""
    done = subprocess.run(
        [sys.executable, "-c", _SET_LATER],
        cwd=Path(__file__).parent,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_call_in_progress_may_be_met_in_its_middle(
    client: SiteAssist, emulator: Emulator, collector: Collector
) -> None:
    """It has no span, and its metrics are counted from there on."""
    client.events.subscribe(lambda _: None)

    async def attach(request: Request, send: Send) -> Response:
        if request.tally.sent == 0:
            collector.attach(client)
        return await send(request)

    emulator.script(ID, Status(500))
    await client.with_options(middleware=[attach]).conversations.get(ID)
    client.events.emit(
        WaitEnded(10**9, "conversations.get", ID, bulk=False, reason="pace", duration=0.1)
    )
    assert collector.spans() == []
    assert sum(p.count for p in collector.metrics()["http.client.request.duration"]) == 2


async def test_an_opentelemetry_without_its_private_key_works(
    client: SiteAssist, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the spans of aiohttp's instrumentation would be there again."""
    monkeypatch.setattr(otel, "_SUPPRESS_HTTP", None)
    collector.attach(client)
    await client.conversations.get(ID)
    assert len(collector.spans()) == 2


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the error of the import."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "siteassist_async.otel")
    with pytest.raises(ImportError, match=r"pip install 'siteassist_async\[otel\]'"):
        importlib.import_module("siteassist_async.otel")

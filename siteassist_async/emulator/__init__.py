"""The emulator: the API on loopback, for demos, benchmarks and the tests of code that uses it."""

from siteassist_async.emulator.conversations import Spelling, conversation
from siteassist_async.emulator.counters import Counters, Received
from siteassist_async.emulator.faults import (
    Charset,
    Chunked,
    Combined,
    Delay,
    Disconnect,
    Drip,
    Gzip,
    GzipBomb,
    Headers,
    Oversized,
    Pretty,
    Raw,
    Redirect,
    Stall,
    Status,
    Truncate,
    UnknownFields,
    Unsolicited,
    WrongId,
)
from siteassist_async.emulator.ids import conversation_ids
from siteassist_async.emulator.limits import (
    FixedWindow,
    Limit,
    Quota,
    QuotaHeaders,
    RetryAfter,
    TokenBucket,
)
from siteassist_async.emulator.responses import Fault, StubResponse, error_response
from siteassist_async.emulator.schedule import Share
from siteassist_async.emulator.server import Emulator, in_thread
from siteassist_async.emulator.service import Service

__all__ = [
    "Charset",
    "Chunked",
    "Combined",
    "Counters",
    "Delay",
    "Disconnect",
    "Drip",
    "Emulator",
    "Fault",
    "FixedWindow",
    "Gzip",
    "GzipBomb",
    "Headers",
    "Limit",
    "Oversized",
    "Pretty",
    "Quota",
    "QuotaHeaders",
    "Raw",
    "Received",
    "Redirect",
    "RetryAfter",
    "Service",
    "Share",
    "Spelling",
    "Stall",
    "Status",
    "StubResponse",
    "TokenBucket",
    "Truncate",
    "UnknownFields",
    "Unsolicited",
    "WrongId",
    "conversation",
    "conversation_ids",
    "error_response",
    "in_thread",
]

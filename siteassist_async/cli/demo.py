"""`siteassist demo`: an export from an emulator that throttles and fails, and its report."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from siteassist_async.cli import runtime
from siteassist_async.cli.connection import Connection
from siteassist_async.cli.export import Wanted, export
from siteassist_async.cli.progress import reporter_for
from siteassist_async.cli.summary import Result, code_of, seconds, table
from siteassist_async.emulator import (
    Counters,
    Delay,
    Disconnect,
    Emulator,
    Fault,
    Share,
    Status,
    StubResponse,
    TokenBucket,
    Truncate,
    conversation,
    conversation_ids,
)
from siteassist_async.errors import ConfigurationError, printable
from siteassist_async.export import Ending, ExitCode, Source, Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console


_SEED = 15  # of a thousand IDs one gets a 503, in the middle of the export
_RATE, _BURST = 200.0, 50.0
_NO_ID = "not-a-conversation-id"
_WIDEST = 76


@define
class DemoFault:
    """A fault that the first request for each of a share of the IDs meets."""

    name: str
    share: float
    fault: Fault
    met: int = field(default=0, init=False)

    def __call__(self, response: StubResponse) -> StubResponse:
        """Count the fault and apply it."""
        self.met += 1
        return self.fault(response)


def demo_faults() -> list[DemoFault]:
    """Return the faults of one demo, none of them met yet."""
    return [
        DemoFault("503 with a Retry-After of one second", 0.001, Status(503, retry_after=1)),
        DemoFault("502", 0.010, Status(502)),
        DemoFault("no response: connection closed", 0.010, Disconnect()),
        DemoFault("half a response, then a connection reset", 0.010, Truncate(reset=True)),
        DemoFault("half a response, then connection closed", 0.010, Truncate(chunked=True)),
        DemoFault("a response half a second late", 0.010, Delay(0.5)),
    ]


@frozen
class Seen:
    """What happened, as the client and as the server saw it.

    Attributes:
        limit: The emulator's rate limit.
        identical: Records in the file that equal the emulator's conversations.
    """

    result: Result
    summary: Summary
    counters: Counters
    faults: Sequence[DemoFault]
    limit: TokenBucket
    identical: int


def run(options: Options, console: Console) -> int:
    """Export from an emulator with faults, and report what happened."""
    output = options.output
    try:
        folder = Path(tempfile.mkdtemp(prefix="siteassist-demo-") if output is None else output)
        folder.mkdir(parents=True, exist_ok=True)
        if next(folder.iterdir(), None) is not None:
            raise ConfigurationError(f"{output}: is not empty; name a new folder")
    except OSError as error:
        raise ConfigurationError(f"{output or 'temporary folder'}: {error.strerror}") from error
    return runtime.run(_demo(options.conversations, folder, console))


async def _demo(count: int, folder: Path, console: Console) -> int:
    faults = demo_faults()
    ids, output = folder / "ids.txt", folder / "conversations.jsonl"
    first, *others, missing = conversation_ids(count + 1, _SEED)
    # One that does not exist, one that is not a UUID, and a duplicate come early.
    lines = (first, missing, _NO_ID, first, *others)
    ids.write_text("".join(f"{line}\n" for line in lines))
    limit = TokenBucket(_RATE, _BURST)
    latency = random.Random(_SEED)  # noqa: S311 - seconds of an emulator, no secret
    async with Emulator(
        seed=_SEED,
        limit=limit,
        latency=lambda: latency.uniform(0.02, 0.06),
        refusal_latency=0.01,
        faults=[Share(fault.share, fault) for fault in faults],
    ) as api:
        api.missing(missing)
        console.result(
            "The emulator runs in this process, with an unadvertised limit of "
            f"{_RATE:,.0f} requests\nper second, and with injected faults. The demo exports "
            f"{count:,} conversations from it,\nas this command does:\n\n"
            "  siteassist export ids.txt -o conversations.jsonl\n"
        )
        result = await export(
            Wanted(Source(ids), output),
            Connection(api.url, api.token),
            console,
            reporter_for(console, quiet=False, json=False),
        )
    if result.error is not None:
        raise result.error
    if result.summary is None or result.summary.ending is not Ending.FINISHED:
        console.error("the demo ended before its export was finished")
        return code_of(result)
    with output.open("rb") as file:
        records = (json.loads(line) for line in file)
        identical = sum(record == conversation(record["id"], _SEED) for record in records)
    seen = Seen(result, result.summary, api.counters, faults, limit, identical)
    console.result("\n".join((table(result), "", *_report(seen))))
    counts = result.summary.counts
    outcomes = (counts.exported, counts.failed, counts.invalid, counts.duplicates)
    is_complete = outcomes == (count, 1, 1, 1) and identical == count
    return ExitCode.DONE if is_complete else ExitCode.SOME_FAILED


def _report(seen: Seen) -> Iterator[str]:
    yield "Requests that the emulator answered with"
    yield f"  {seen.counters.refused:>3,}  429, rate limit exceeded"
    for fault in seen.faults:
        yield f"  {fault.met:>3,}  {fault.name}"
    yield ""
    granted = seen.counters.requests - seen.counters.refused
    least = max(0.0, (granted - seen.limit.burst) / seen.limit.rate)
    learned = seen.result.last.pace.ceiling
    counts = f"{seen.identical:,} of {seen.summary.counts.exported:,}"
    yield "Result"
    yield f"  {counts} records equal the emulator's conversations"
    if learned:
        actual = f"{seen.limit.rate:,.0f}/s and a burst of {seen.limit.burst:,.0f}"
        yield f"  estimated rate limit {learned:,.0f}/s, actual {actual}"
    took = seen.summary.progress.elapsed
    yield f"  finished in {seconds(took)}; the limit allows no less than {seconds(least)}"
    yield ""
    summary = seen.summary
    yield f"The first line of {printable(str(summary.output), 1000)}"
    for line in _first_lines(summary.output, 1):
        yield f"  {printable(line, _WIDEST)}"
    yield f"The failures in {printable(str(summary.dead_letters), 1000)}"
    for line in _first_lines(summary.dead_letters, 2):
        letter = json.loads(line)
        reason = f"{letter['id']}: {letter['reason']}"
        yield f"  {printable(reason, _WIDEST)}"


def _first_lines(path: Path, count: int) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return [line.rstrip("\n") for line in islice(file, count)]

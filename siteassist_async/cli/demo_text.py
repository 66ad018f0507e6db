"""What the demo tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.cli.summary import Result, seconds
from siteassist_async.cli.traps import Trap
from siteassist_async.emulator import Counters, TokenBucket
from siteassist_async.errors import printable
from siteassist_async.export import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WIDEST = 76


@frozen
class Seen:
    """What happened, on both sides of the socket.

    Attributes:
        limit: The emulator's.
        same: Records in the file that are what the emulator has.
    """

    result: Result
    summary: Summary
    counters: Counters
    traps: Sequence[Trap]
    limit: TokenBucket
    same: int


def introduction(count: int, rate: float) -> str:
    """Say what will happen."""
    return (
        f"The emulator now runs in this process. It grants {rate:,.0f} requests a second, a limit\n"
        f"that no answer names, and some answers are spoilt. {count:,} conversations are exported\n"
        "from it, in the ordinary way:\n\n"
        "  siteassist export ids.txt -o conversations.jsonl\n"
    )


def story(seen: Seen) -> str:
    """Say what happened."""
    return "\n".join((*_server(seen), "", *_client(seen), "", *_files(seen.summary)))


def _server(seen: Seen) -> Iterator[str]:
    yield "On the way the emulator met this many requests with"
    yield f"  {seen.counters.refused:>3,}  429, for the limit"
    for trap in seen.traps:
        yield f"  {trap.met:>3,}  {trap.name}"


def _client(seen: Seen) -> Iterator[str]:
    granted = seen.counters.requests - seen.counters.refused
    least = max(0.0, (granted - seen.limit.burst) / seen.limit.rate)
    learned = seen.result.last.pace.ceiling
    yield "What came of it"
    yield f"  {seen.same:,} of {seen.summary.exported:,} records are what the emulator has"
    if learned:
        yield f"  the limit was taken for {learned:,.0f}/s, and is {seen.limit.rate:,.0f}/s"
    took = seen.summary.elapsed
    yield f"  it took {seconds(took)}; the limit allows no less than {seconds(least)}"


def _files(summary: Summary) -> Iterator[str]:
    yield f"The first line of {printable(str(summary.output), 1000)}"
    for line in _beginning(summary.output, 1):
        yield f"  {printable(line, _WIDEST)}"
    yield f"The reasons in {printable(str(summary.dead_letters), 1000)}"
    for line in _beginning(summary.dead_letters, 2):
        letter = json.loads(line)
        reason = f"{letter['id']}: {letter['reason']}"
        yield f"  {printable(reason, _WIDEST)}"


def _beginning(path: Path, lines: int) -> list[str]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return [line.rstrip("\n") for line in islice(file, lines)]

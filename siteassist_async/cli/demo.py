"""`siteassist demo`."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from siteassist_async.cli import runtime
from siteassist_async.cli.connection import Connection
from siteassist_async.cli.console import Console
from siteassist_async.cli.demo_text import Seen, introduction, story
from siteassist_async.cli.export import Wanted, export
from siteassist_async.cli.progress import reporter_for
from siteassist_async.cli.summary import code_of, table
from siteassist_async.cli.traps import shares, traps
from siteassist_async.emulator import Emulator, TokenBucket, conversation, conversation_ids
from siteassist_async.errors import ConfigurationError, SiteAssistError
from siteassist_async.export import Ending, ExitCode, Source, exit_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from siteassist_async.cli.parser import DemoOptions

_SEED = 15  # of a thousand ids one meets a 503, in the midst of the export
_RATE, _BURST = 200.0, 50.0
_NO_ID = "not-a-conversation-id"


def run(options: DemoOptions) -> int:
    """Export from an emulator that refuses and fails, and tell what happened."""
    console = Console.of_process()
    try:
        return runtime.run(_demo(options.conversations, _folder(options.output), console))
    except SiteAssistError as error:
        console.error(str(error))
        return exit_code(error)


async def _demo(count: int, folder: Path, console: Console) -> int:
    met = traps()
    ids, output = folder / "ids.txt", folder / "conversations.jsonl"
    ids.write_text("".join(f"{line}\n" for line in _ids(count)))
    limit = TokenBucket(_RATE, _BURST)
    async with Emulator(
        seed=_SEED,
        limit=limit,
        latency=_latency(),
        refusal_latency=0.01,
        faults=shares(met),
    ) as api:
        api.missing(_missing(count))
        console.result(introduction(count, _RATE))
        result = await export(
            Wanted(Source(ids), output),
            Connection(api.url, api.token),
            console,
            reporter_for(console, quiet=False, json=False),
        )
    if result.error is not None:
        raise result.error
    if result.summary is None or result.summary.ending is not Ending.FINISHED:
        console.error("the demo was ended before its export was")
        return code_of(result)
    seen = Seen(result, result.summary, api.counters, met, limit, _same(output))
    console.result(f"{table(result)}\n\n{story(seen)}")
    return ExitCode.DONE if _is_whole(seen, count) else ExitCode.SOME_FAILED


def _folder(output: str | None) -> Path:
    try:
        if output is None:
            return Path(tempfile.mkdtemp(prefix="siteassist-demo-"))
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        if next(folder.iterdir(), None) is not None:
            raise ConfigurationError(f"{output}: is not empty; name a new folder")
    except OSError as error:
        raise ConfigurationError(f"{output or 'temporary folder'}: {error.strerror}") from error
    return folder


def _ids(count: int) -> Iterator[str]:
    """As many ids as are to be exported, one that is missing, one that is none, one twice."""
    for number, conversation_id in enumerate(conversation_ids(count, _SEED)):
        yield conversation_id
        if number == 0:
            yield from (_missing(count), _NO_ID, conversation_id)


def _missing(count: int) -> str:
    *_, last = conversation_ids(count + 1, _SEED)
    return last


def _latency() -> Callable[[], float]:
    drawn = random.Random(_SEED)  # noqa: S311 - seconds of an emulator, no secret
    return lambda: drawn.uniform(0.02, 0.06)


def _same(output: Path) -> int:
    """Count the records that are what the emulator has."""
    with output.open("rb") as records:
        found = (json.loads(record) for record in records)
        return sum(record == conversation(record["id"], _SEED) for record in found)


def _is_whole(seen: Seen, count: int) -> bool:
    summary = seen.summary
    counts = (summary.exported, summary.failed, summary.invalid, summary.duplicates)
    return counts == (count, 1, 1, 1) and seen.same == count

"""An export in a folder of its own, and an API that answers as a test says."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from fakes import FakeClock

from siteassist_async.compression import compression_of
from siteassist_async.errors import NotFoundError, SiteAssistError
from siteassist_async.export import Ending, ExitCode, ExportJob, Source, Summary, exit_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from siteassist_async.export import RestorablePacer


def new_ids(count: int, seed: int = 0) -> list[str]:
    """Ids that are the same in every run."""
    chance = random.Random(seed)
    return [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(count)]


def record_of(conversation_id: str) -> bytes:
    """What the API sends for an id: of its own size, and some with half of an emoji."""
    text = "à\\u2028x" * (int(conversation_id[:2], 16) % 7)
    text += "\\ud83d" * (int(conversation_id[2], 16) % 2)
    return b'{"object":"conversation","id":"%s","title":"%s"}' % (
        conversation_id.encode(),
        text.encode(),
    )


def missing(conversation_id: str) -> SiteAssistError:
    """The 404 of an id."""
    return NotFoundError(f"no conversation {conversation_id}", code="CONVERSATION_NOT_FOUND")


class FakeApi:
    """Has a conversation for every id, apart from those with an error of their own.

    Attributes:
        asked: The ids in the order of their requests.
        errors: What to raise in place of an answer, by id; `otherwise` for all other ids.
        each: Called at each request.
        before: Awaited before each answer.
        make: What there is for an id.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.errors: dict[str, SiteAssistError] = {}
        self.otherwise: SiteAssistError | None = None
        self.each: Callable[[str], object] = lambda _: None
        self.before: Callable[[], Awaitable[None]] = partial(asyncio.sleep, 0)
        self.make: Callable[[str], bytes] = record_of

    async def fetch(self, conversation_id: str) -> bytes:
        """As `client.conversations.get_record`."""
        self.asked.append(conversation_id)
        self.each(conversation_id)
        await self.before()
        error = self.errors.get(conversation_id, self.otherwise)
        if error is not None:
            raise error
        return self.make(conversation_id)


class Options(TypedDict, total=False):
    """The options of a job that a test may set."""

    fetch: Callable[[str], Awaitable[bytes]]
    limit: int
    most: int | None
    restart: bool
    retry_failed: bool
    refresh_open: bool
    any_input: bool
    rebuild_state: bool
    pacer: RestorablePacer | None
    wait: float


class Workbench:
    """One export, run as often as a test likes.

    Args:
        suffix: That asks for compression: ".gz", ".zst" or none.
    """

    def __init__(self, folder: Path, suffix: str = "") -> None:
        self.folder = folder
        self.input = folder / "ids.txt"
        self.output = folder / f"out.jsonl{suffix}"
        self.dead_letters = folder / "out.failed.jsonl"
        self.state = folder / f".out.jsonl{suffix}.export"
        self.api = FakeApi()
        self.clock = FakeClock()

    def write(self, lines: Iterable[str]) -> None:
        """Make the input."""
        self.input.write_text("".join(f"{line}\n" for line in lines))

    def append(self, lines: Iterable[str]) -> None:
        """Add to the input."""
        with self.input.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def job(self, source: Source | None = None, **options: Unpack[Options]) -> ExportJob:
        """Make a job that runs on this bench."""
        settings: Options = {"fetch": self.api.fetch, "limit": 4}
        settings.update(options)
        source = source or Source(self.input)
        return ExportJob(source, self.output, clock=self.clock, **settings)

    async def run(self, source: Source | None = None, **options: Unpack[Options]) -> Summary:
        """Run a job to its end, and check that its summary adds up and agrees with the files."""
        summary = await self.job(source, **options).run()
        self.audit(summary)
        return summary

    async def finish(self, source: Source | None = None, **options: Unpack[Options]) -> Summary:
        """Run a job, which must finish."""
        summary = await self.run(source, **options)
        assert summary.ending is Ending.FINISHED
        return summary

    def audit(self, summary: Summary) -> None:
        """Check a summary against itself and the files."""
        parts = summary.exported, summary.progress.already_there, summary.failed
        assert summary.counts.before or (
            summary.progress.asked
            == sum(parts) + summary.counts.duplicates + summary.counts.invalid
        )
        assert len(self.records()) == summary.exported + summary.progress.already_there
        letters = self.letters()
        assert sum(letter["reason"] != "invalid id" for letter in letters) == summary.failed
        assert sum(letter["reason"] == "invalid id" for letter in letters) == summary.counts.invalid
        assert sum(letter["retryable"] for letter in letters) == summary.retryable
        assert self.dead_letters.exists() == bool(letters)
        if summary.ending is Ending.FINISHED:
            assert exit_code(summary) is (ExitCode.SOME_FAILED if letters else ExitCode.DONE)

    def records(self) -> list[str]:
        """The ids of the records, each of which must be as the API sent it."""
        if not self.output.exists():
            return []
        content = self.output.read_bytes()
        if (compression := compression_of(self.output)) is not None:
            parts = list(compression.decompress([content]))
            assert parts[-1:] == [] or parts[-1][1] == len(content)
            content = b"".join(plain for plain, _ in parts)
        *lines, rest = content.split(b"\n")
        assert rest == b""
        ids = [json.loads(line)["id"] for line in lines]
        assert lines == [record_of(conversation_id) for conversation_id in ids]
        return ids

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters."""
        if not self.dead_letters.exists():
            return []
        *lines, rest = self.dead_letters.read_bytes().split(b"\n")
        assert rest == b""
        return [json.loads(line) for line in lines]

    def check(self, lines: Iterable[str]) -> None:
        """Check that each id of the input is in one file once, and all else in the dead letters."""
        lines = list(lines)
        valid = {line.lower() for line in lines if len(line) == 36}
        letters = self.letters()
        failed = [letter["id"] for letter in letters if letter["reason"] != "invalid id"]
        assert Counter(self.records() + failed) == Counter(valid)
        invalid = [letter["line"] for letter in letters if letter["reason"] == "invalid id"]
        assert sorted(invalid) == [n for n, line in enumerate(lines, 1) if line and len(line) != 36]

    def files(self) -> dict[str, bytes]:
        """The user's files as they are, to tell that nothing was written."""
        paths = (self.output, self.dead_letters)
        return {path.name: path.read_bytes() for path in paths if path.exists()}

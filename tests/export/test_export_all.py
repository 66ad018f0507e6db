"""The list of conversations as the source of an export."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from threading import Event
from typing import TYPE_CHECKING

import pytest
from fakes import TOKEN, FakeClock

from siteassist_async import (
    AuthenticationError,
    InternalServerError,
    RetryPolicy,
    SiteAssist,
    UnusablePageError,
)
from siteassist_async.cli import main
from siteassist_async.emulator import (
    Delay,
    Emulator,
    Status,
    StubResponse,
    conversation_ids,
    in_thread,
)
from siteassist_async.errors import ClientClosedError
from siteassist_async.export import Ending, ExportJob, OutputExistsError, Summary
from siteassist_async.formats import iter_export

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

IDS = set(conversation_ids(120))
NEW = "123e4567-e89b-12d3-a456-426614174000"
LATER = "2030-01-01T12:00:00.000Z"


@pytest.fixture
async def api() -> AsyncIterator[Emulator]:
    """A project of 120 conversations."""
    async with Emulator(token=TOKEN, conversations=120, messages=1, count_ids=True) as api:
        yield api


@pytest.fixture
async def client(api: Emulator, clock: FakeClock) -> AsyncIterator[SiteAssist]:
    """A client that asks for a page once."""
    once = RetryPolicy(attempts=1, patience=0, budget=None)
    async with SiteAssist(TOKEN, base_url=api.url, clock=clock, retry=once) as client:
        yield client


class Job:
    """An export of a list to a file, run again and again."""

    def __init__(self, client: SiteAssist, clock: FakeClock, output: Path) -> None:
        self.client = client
        self.clock = clock
        self.output = output
        self.job: ExportJob | None = None

    async def run(self, *, wait: float = 300, restart: bool = False, **filters: str) -> Summary:
        """One run."""
        self.job = ExportJob(
            self.client.conversations.every(page_size=50, **filters),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # a status
            self.output,
            fetch=self.client.conversations.get_record,
            wait=wait,
            restart=restart,
            clock=self.clock,
        )
        return await self.job.run()

    def exported(self) -> list[str]:
        """The ids in the output."""
        return [json.loads(line)["id"] for line in self.output.read_bytes().splitlines()]


@pytest.fixture
def job(client: SiteAssist, clock: FakeClock, tmp_path: Path) -> Job:
    """An export to a new file."""
    return Job(client, clock, tmp_path / "out.jsonl")


async def test_all_conversations_are_exported(job: Job, api: Emulator) -> None:
    """Once each; a later run lists again, and fetches what is new or has changed."""
    summary = await job.run()
    assert (summary.ending, summary.exported, summary.failed) == (Ending.FINISHED, 120, 0)
    assert set(job.exported()) == IDS
    assert api.counters.requests == 120 + 3
    api.reset_counters()
    assert (await job.run()).exported == 0
    assert api.counters.requests == 3
    changed = next(iter(IDS))
    api.put(NEW, {"createdAt": "2020-01-01T00:00:00.000Z"})  # it comes first
    api.put(changed, {"updatedAt": LATER, "title": "New"})
    api.reset_counters()
    assert (await job.run()).exported == 2
    assert set(api.counters.ids) == {NEW, changed}
    assert sorted(job.exported()) == sorted([*IDS, NEW, changed])
    last = [line for line in job.output.read_bytes().splitlines() if changed.encode() in line][-1]
    assert json.loads(last)["title"] == "New"


async def test_what_has_a_status_later_is_exported_later(job: Job, api: Emulator) -> None:
    """Though it comes in the middle of the list then."""
    first = await job.run(status="closed")
    assert 0 < first.exported < 120
    opened = sorted(IDS - set(job.exported()))
    for conversation_id in opened[:5]:
        api.put(conversation_id, {"status": "closed", "updatedAt": LATER})
    again = await job.run(status="closed")
    assert again.exported == 5
    assert len(job.exported()) == len(set(job.exported())) == first.exported + 5


async def test_a_project_that_changes_while_it_is_exported(job: Job, api: Emulator) -> None:
    """Nothing of it is lost."""
    api.changing = True
    await job.run()
    assert set(job.exported()) > IDS
    api.changing = False
    assert (await job.run()).ending is Ending.FINISHED
    listed = {s.id async for s in job.client.conversations.every()}
    assert set(job.exported()) == listed


async def test_an_empty_list_is_no_error(job: Job) -> None:
    """There may be something the next time."""
    async with Emulator(token=TOKEN) as empty, SiteAssist(TOKEN, base_url=empty.url) as client:
        job.client = client
        assert (await job.run()).ending is Ending.FINISHED
        assert job.output.read_bytes() == b""
        empty.put(NEW, {})
        assert (await job.run()).exported == 1
        empty.missing(NEW)
        assert (await job.run()).ending is Ending.FINISHED
        assert job.exported() == [NEW]


async def test_an_outage_amid_the_list_is_waited_for(
    job: Job, api: Emulator, clock: FakeClock
) -> None:
    """It goes on where it was."""
    api.script_pages(Status(200), *[Status(503)] * 4)
    before = clock.time
    summary = await job.run()
    assert (summary.ending, summary.exported) == (Ending.FINISHED, 120)
    assert clock.time - before >= 1 + 2 + 4 + 8
    assert api.counters.requests == 120 + 3 + 4


@pytest.mark.parametrize(
    ("status", "ending", "error"),
    [
        (500, Ending.UNREACHABLE, InternalServerError),
        (401, Ending.BLOCKED, AuthenticationError),
    ],
)
async def test_a_list_that_cannot_be_read(
    status: int, ending: Ending, error: type[Exception], job: Job, api: Emulator
) -> None:
    """It ends the run, after an outage as long as that of an export; the next run lists anew."""
    api.outage = Status(status)
    before = job.clock.time
    summary = await job.run(wait=60)
    assert summary.ending is ending
    assert type(summary.error) is error
    assert (job.clock.time - before >= 60) == (status == 500)
    assert not job.output.exists()
    api.outage = None
    assert (await job.run()).exported == 120


async def test_a_page_that_contradicts_the_list(job: Job, api: Emulator) -> None:
    """It is no outage: nothing is exported of a list that may lack some."""

    def first_again(response: StubResponse) -> StubResponse:
        body = response.body.replace(b'"offset":50', b'"offset":0')
        return StubResponse(200, body)

    api.script_pages(Status(200), first_again)
    summary = await job.run()
    assert summary.ending is Ending.UNREACHABLE
    assert isinstance(summary.error, UnusablePageError)
    assert api.counters.requests == 2


async def test_a_run_may_be_stopped_while_it_waits(
    job: Job, api: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops within a second."""
    api.outage = Status(500)
    sleep = job.clock.sleep

    async def stop(seconds: float) -> None:
        assert job.job is not None
        job.job.stop()
        await sleep(seconds)

    monkeypatch.setattr(job.clock, "sleep", stop)
    before = job.clock.time
    assert (await job.run()).ending is Ending.STOPPED
    assert job.clock.time - before <= 1


async def test_progress_is_told_while_the_list_is_read(
    job: Job, api: Emulator, clock: FakeClock
) -> None:
    """How many there are so far, and for how long; an export of a million lists for minutes."""
    seen: list[tuple[int | None, float]] = []

    def look(response: StubResponse) -> StubResponse:
        assert job.job is not None
        clock.time += 1.0
        progress = job.job.progress()
        assert (progress.total, progress.asked) == (None, 0)
        seen.append((progress.listed, progress.elapsed))
        return response

    api.script_pages(*[look] * 3)
    assert (await job.run()).ending is Ending.FINISHED
    assert seen == [(0, 1.0), (50, 2.0), (100, 3.0)]
    assert job.job is not None
    assert (job.job.progress().listed, job.job.progress().total) == (None, 120)


async def test_a_closed_client_ends_the_run(job: Job) -> None:
    """As everywhere."""
    await job.client.close()
    with pytest.raises(ClientClosedError):
        await job.run()


async def test_a_file_of_others_is_refused_before_anything_is_listed(
    job: Job, api: Emulator
) -> None:
    """Listing may take hours."""
    job.output.write_text("mine\n")
    with pytest.raises(OutputExistsError):
        await job.run()
    assert api.counters.requests == 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.sqlite"])
def test_nothing_to_export_is_an_empty_output(name: str, tmp_path: Path) -> None:
    """Of any format."""
    with in_thread(Emulator(token=TOKEN)) as api, pytest.MonkeyPatch.context() as patched:
        patched.setenv("SITEASSIST_TOKEN", TOKEN)
        patched.setenv("SITEASSIST_BASE_URL", api.url)
        output = tmp_path / name
        assert main(["export", "--all", "--quiet", "-o", str(output)]) == 0
        assert list(iter_export(output)) == []
        api.put(NEW, {})
        assert main(["export", "--all", "--quiet", "-o", str(output)]) == 0
        assert [conversation.id for conversation in iter_export(output)] == [NEW]


@pytest.mark.parametrize("name", ["out.jsonl", "out.sqlite"])
def test_a_list_that_is_refused_is_told_with_its_reason(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the records would have been converted to a table."""
    with in_thread(Emulator(token=TOKEN)) as api, pytest.MonkeyPatch.context() as patched:
        patched.setenv("SITEASSIST_TOKEN", TOKEN)
        patched.setenv("SITEASSIST_BASE_URL", api.url.removesuffix("/v2"))
        assert main(["export", "--all", "-o", str(tmp_path / name)]) == 4
    said = capsys.readouterr()
    assert "404: Not found" in said.out + said.err
    assert "Check the base URL" in said.out + said.err
    assert "cannot be read" not in said.out + said.err


@pytest.mark.parametrize("name", ["out.parquet", "out.sqlite", "out.duckdb"])
def test_a_table_has_each_conversation_once(name: str, tmp_path: Path) -> None:
    """Also one that has changed since the last export."""
    changed, *_ = conversation_ids(30)
    with (
        in_thread(Emulator(token=TOKEN, conversations=30, messages=2)) as api,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("SITEASSIST_TOKEN", TOKEN)
        patched.setenv("SITEASSIST_BASE_URL", api.url)
        output = tmp_path / name
        assert main(["export", "--all", "--quiet", "-o", str(output)]) == 0
        api.put(changed, {"title": "changed", "messages": [], "updatedAt": LATER})
        api.put(NEW, {})
        assert main(["export", "--all", "--quiet", "-o", str(output)]) == 0
    found = list(iter_export(output))
    assert {conversation.id for conversation in found} == {NEW, *conversation_ids(30)}
    assert len(found) == 31
    (again,) = (c for c in found if c.id == changed)
    assert (again.title, list(again.messages or ())) == ("changed", [])


PROGRAM = "import sys; from siteassist_async.cli import main; sys.exit(main())"


def test_a_run_that_is_killed_amid_the_list_loses_nothing(tmp_path: Path) -> None:
    """`kill -9` at several pages, then again and to the end."""
    output = tmp_path / "all.jsonl"
    with in_thread(Emulator(token=TOKEN, conversations=250, messages=0)) as api:
        command = [sys.executable, "-c", PROGRAM, "export", "--all", "--quiet", "-o", str(output)]
        environ = {**os.environ, "SITEASSIST_TOKEN": TOKEN, "SITEASSIST_BASE_URL": api.url}
        for pages in (0, 2):
            killed = Event()

            def hold(response: StubResponse, killed: Event = killed) -> StubResponse:
                return response if killed.is_set() else Delay(60)(response)

            api.script_pages(*[Status(200)] * pages, *[hold] * 2)
            before = api.counters.requests
            with subprocess.Popen(command, env=environ) as process:
                while api.counters.requests < before + pages + 1:
                    assert process.poll() is None
                    time.sleep(0.01)
                process.send_signal(signal.SIGKILL)
            assert not output.exists()
            killed.set()  # what is left of the script is no fault any more
        done = subprocess.run(command, env=environ, check=False)
        assert done.returncode == 0
    exported = [json.loads(line)["id"] for line in output.read_bytes().splitlines()]
    assert sorted(exported) == sorted(conversation_ids(250))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("tmp")] == []

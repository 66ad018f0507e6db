"""One export from start to end: what signals and time do to it, and what a bug does."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_cli_progress import START

from siteassist_async import RetryPolicy
from siteassist_async.cli import export as command
from siteassist_async.cli.connection import Connection
from siteassist_async.cli.console import Console
from siteassist_async.cli.export import GRACE, Wanted, export
from siteassist_async.cli.progress import LogLines, Silent
from siteassist_async.export import Ending, Source
from siteassist_async.middleware.retry_policy import PATIENT

if TYPE_CHECKING:
    from siteassist_async.cli.status import Status
    from siteassist_async.cli.summary import Result
    from siteassist_async.export import Progress, Summary

HERE = Connection("http://127.0.0.1:1/v2", "sk_test_cli_exporting")
WANTED = Wanted(Source(Path("ids.txt")), Path("out.jsonl"))


class Wrong(Silent):
    """A reporter with a bug."""

    def show(self, status: Status) -> None:
        """Fail, but for an export that is far."""
        if status.progress.asked < 10**6:
            raise ZeroDivisionError


class StuckJob:
    """An export that never ends by itself, and takes a signal as soon as it runs."""

    def __init__(self, *_: object, **__: object) -> None:
        self.stopped = False

    def stop(self) -> None:
        """Note it."""
        self.stopped = True

    def progress(self) -> Progress:
        """Nothing was done."""
        return START

    async def run(self) -> Summary:
        """Wait for ever."""
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()
        raise AssertionError


async def run(reporter: Silent | LogLines | None = None, **options: float) -> Result:
    """Export with a console that keeps nothing."""
    return await export(WANTED, HERE, console(), reporter or Silent(), **options)


def console() -> Console:
    """One that nobody reads."""
    return Console(None, io.StringIO(), {})


async def test_grace_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in flight has some seconds after the first signal, and no more."""
    monkeypatch.setattr(command, "ExportJob", StuckJob)
    result = await run(grace=0.0)
    assert result.summary is None
    assert result.last.progress == START


async def test_a_bug_in_the_progress_ends_the_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that cannot be told is not left running alone."""
    monkeypatch.setattr(command, "ExportJob", StuckJob)
    with pytest.raises(ZeroDivisionError):
        await run(Wrong())
    assert len(asyncio.all_tasks()) <= 2


async def test_unreachable(tmp_path: Path) -> None:
    """A server that is not there ends the run with its error, to be run again."""
    (tmp_path / "ids.txt").write_text("123e4567-e89b-12d3-a456-426614174000")
    wanted = Wanted(
        Source(tmp_path / "ids.txt"),
        tmp_path / "out.jsonl",
        retry=RetryPolicy(attempts=1),
        wait=0.0,
    )
    result = await export(wanted, HERE, console(), Silent())
    assert result.summary is not None
    assert result.summary.ending is Ending.UNREACHABLE
    assert result.requests == 2  # the id, and once more to see whether it is an outage


def test_a_job_is_patient() -> None:
    """Retries last about half a minute, waits that the API asks for as long as it likes."""
    most = [min(PATIENT.longest_delay, PATIENT.first_delay * 2.0**n) for n in range(7)]
    assert PATIENT.attempts == len(most) + 1
    assert 20 < sum(most) / 2 < 40
    assert PATIENT.patience == float("inf")
    assert PATIENT.budget is None


def test_docker_finds_it_ended() -> None:
    """`docker stop` kills after ten seconds: the grace ends well before."""
    assert GRACE < 10

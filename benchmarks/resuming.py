"""How long a killed export takes to go on: `resuming.py STEP FOLDER IDS STRETCH` runs one step."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NoReturn

from bodies import ids

from siteassist_async.export import ExportJob, Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Fetch = Callable[[str], Awaitable[bytes]]

AT_ONCE = 32

RATE = 1000.0
"""Ids a second before each kill: above any limit that is likely, so that much is left to settle."""

STRETCH = 3000
"""Ids at that rate: so many checkpoints that nothing is left of a faster time, and a tail."""


def seconds_to_resume(folder: Path, count: int, rounds: int, stretch: int = STRETCH) -> float:
    """Kill an export after `count` ids, then time how long others take to ask for their first id.

    The export is a real one but for its requests, which a function of the same process answers:
    every record, checkpoint and fsync is as always. Before the last ids it answers as fast as it
    is asked; what is written after the last checkpoint, which the next run has to look at, is that
    of the rate. Each resumed run goes on for a stretch, and is killed as well.
    """
    _write_ids(folder, count + stretch * (rounds + 1))
    _step("kill", folder, count, stretch)
    return median([float(_step("resume", folder, stretch, stretch)) for _ in range(rounds)])


def _write_ids(folder: Path, count: int) -> None:
    with (folder / "ids.txt").open("w") as file:
        all_ids = ids(count)
        while some := list(islice(all_ids, 4096)):
            file.write("\n".join(some) + "\n")


def _step(step: str, folder: Path, count: int, stretch: int) -> str:
    command = [sys.executable, __file__, step, str(folder), str(count), str(stretch)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != -signal.SIGKILL:
        raise RuntimeError(f"{step} ended with {done.returncode}")
    return done.stdout


async def _kill(folder: Path, answers: _Answers) -> None:
    await _job(folder, answers).run()


async def _resume(folder: Path, answers: _Answers) -> None:
    started = time.perf_counter()

    async def fetch(conversation_id: str) -> bytes:
        if not answers.given:
            os.write(1, str(time.perf_counter() - started).encode())
        return await answers(conversation_id)

    await _job(folder, fetch).run()


class _Answers:
    """Answers so many requests, the last `stretch` at the rate, and kills the process."""

    def __init__(self, count: int, stretch: int) -> None:
        self._count = count
        self._stretch = stretch
        self.given = 0

    async def __call__(self, conversation_id: str) -> bytes:
        if self.given >= self._count:
            _die()
        self.given += 1
        if self.given > self._count - self._stretch:
            await asyncio.sleep(AT_ONCE / RATE)
        return b'{"object":"conversation","id":"%s"}' % conversation_id.encode()


def _job(folder: Path, fetch: Fetch) -> ExportJob:
    return ExportJob(
        Source(folder / "ids.txt"), folder / "conversations.jsonl", fetch=fetch, limit=AT_ONCE
    )


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    step, folder, *counts = sys.argv[1:]
    run = _kill if step == "kill" else _resume
    asyncio.run(run(Path(folder), _Answers(*map(int, counts))))

"""How long a killed export takes to go on: `resuming.py STEP FOLDER IDS` runs one step."""

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

AHEAD = 1000
"""Ids that the killed export had before it."""


def seconds_to_resume(folder: Path, count: int, rounds: int) -> float:
    """Kill an export after `count` ids, then time how long others take to ask for their first id.

    The export is a real one but for its requests, which a function of the same process answers:
    every record, checkpoint and fsync is as always. The resumed runs are killed as well, at their
    first request.
    """
    _write_ids(folder, count + AHEAD)
    _step("kill", folder, count)
    return median([float(_step("resume", folder, count)) for _ in range(rounds)])


def _write_ids(folder: Path, count: int) -> None:
    with (folder / "ids.txt").open("w") as file:
        all_ids = ids(count)
        while some := list(islice(all_ids, 4096)):
            file.write("\n".join(some) + "\n")


def _step(step: str, folder: Path, count: int) -> str:
    command = [sys.executable, __file__, step, str(folder), str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != -signal.SIGKILL:
        raise RuntimeError(f"{step} ended with {done.returncode}")
    return done.stdout


async def _kill(folder: Path, count: int) -> None:
    answered = 0

    async def fetch(conversation_id: str) -> bytes:
        nonlocal answered
        if answered == count:
            _die()
        answered += 1
        return b'{"object":"conversation","id":"%s"}' % conversation_id.encode()

    await _job(folder, fetch).run()


async def _resume(folder: Path) -> None:
    async def fetch(_: str) -> bytes:
        os.write(1, str(time.perf_counter() - started).encode())
        _die()

    started = time.perf_counter()
    await _job(folder, fetch).run()


def _job(folder: Path, fetch: Fetch) -> ExportJob:
    return ExportJob(Source(folder / "ids.txt"), folder / "conversations.jsonl", fetch=fetch)


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    step, folder, count = sys.argv[1:]
    asyncio.run(_kill(Path(folder), int(count)) if step == "kill" else _resume(Path(folder)))

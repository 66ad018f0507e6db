"""Conversions that are killed: `killed_conversions.py LOG OUTPUT ROUNDS SEED < CONTENT`.

The log grows from round to round, half of the time by a torn line. Each conversion is a process of
its own, forked before any library has started a thread.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from siteassist_async.formats import convert, format_of, log
from siteassist_async.formats.table import sink_module


def main() -> None:
    """Convert, kill, let the log grow, and so on; at last convert all of it."""
    source, output, rounds, seed = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])
    content = sys.stdin.buffer.read()
    chance = random.Random(seed)
    module = sink_module(format_of(output))
    log.BATCH = 4000
    for name in ("PART", "TRANSACTION"):
        if hasattr(module, name):
            setattr(module, name, 9000)
    for number in range(1, rounds + 1):
        end = len(content) * number // rounds
        if chance.random() < 0.5:
            end = content.rindex(b"\n", 0, end) + 1
        source.write_bytes(content[:end])
        killed(source, output, chance, rebuild=number == rounds // 2)
    source.write_bytes(content)
    convert(source, output)


def killed(source: Path, output: Path, chance: random.Random, *, rebuild: bool) -> None:
    """Convert in a process that is killed after some batches and a little time."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            convert(source, output, rebuild=rebuild, on_progress=lambda _: os.write(writing, b"."))
        finally:
            os._exit(0)
    os.close(writing)
    for _ in range(chance.randrange(6)):
        os.read(reading, 1)
    time.sleep(chance.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)


if __name__ == "__main__":
    main()

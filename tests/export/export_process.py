"""An export in a process of its own, to be killed: `export_process.py INPUT OUTPUT [DAY]`.

With a day the input is CSV with times, and that is when every conversation changed last.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from pathlib import Path

from siteassist_async.errors import BadGatewayError
from siteassist_async.export import ExportError, ExportJob, Source, compressed_log, exit_code

BEAT = 20
"""How many requests there are to a byte on standard output."""

requests = itertools.count(1)


class HastyClock:
    """Runs so fast that even a short run has many checkpoints."""

    def now(self) -> float:
        """As `Clock.now`."""
        return time.monotonic() * 50

    async def sleep(self, seconds: float) -> None:
        """As `Clock.sleep`."""
        await asyncio.sleep(seconds / 50)


async def fetch(conversation_id: str) -> bytes:
    """Fail for one id in eight; else give a record whose size differs from id to id."""
    if next(requests) % BEAT == 0:
        os.write(1, b".")
    await asyncio.sleep(0)
    if conversation_id[0] in "0f":
        raise BadGatewayError("gone")
    size = int(conversation_id[:3], 16) % 500
    return b'{"object":"conversation","id":"%s","updatedAt":"%s","x":"%s"}' % (
        conversation_id.encode(),
        (sys.argv[3] if len(sys.argv) > 3 else "").encode(),
        b"x" * size,
    )


def main() -> None:
    """Run the export, and exit as a command would."""
    source, output, *day = map(Path, sys.argv[1:])
    compressed_log.FRAME = 5000  # so that there are many
    column = "id" if day else None
    job = ExportJob(Source(source, column), output, fetch=fetch, limit=16, clock=HastyClock())
    try:
        sys.exit(exit_code(asyncio.run(job.run())))
    except ExportError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()

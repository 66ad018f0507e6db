"""The emulator as a soak needs it: faults of every kind, a rate limit, and restarts of the pool."""

from __future__ import annotations

import asyncio
import sys
import time

from siteassist_async.emulator import (
    Charset,
    Chunked,
    Combined,
    Delay,
    Disconnect,
    Drip,
    Emulator,
    Fault,
    Gzip,
    GzipBomb,
    Oversized,
    Pretty,
    Raw,
    Redirect,
    Share,
    Stall,
    Status,
    TokenBucket,
    Truncate,
    UnknownFields,
    Unsolicited,
    WrongId,
)

TOKEN = "sk_soak"

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"

FAULTS: dict[Fault, float] = {
    Gzip(): 0.1,
    Chunked(): 0.1,
    Pretty(): 0.05,
    UnknownFields(): 0.02,
    Status(500): 0.01,
    Status(502): 0.01,
    Status(503, retry_after=1): 0.005,
    Status(429, retry_after=1): 0.0005,
    Status(404): 0.01,
    Status(403, body=b"<h1>"): 0.005,
    Redirect("http://127.0.0.1:9/"): 0.005,
    Disconnect(): 0.01,
    Disconnect(reset=True): 0.005,
    Truncate(): 0.01,
    Truncate(chunked=True): 0.005,
    Truncate(reset=True): 0.005,
    WrongId(): 0.005,
    Gzip(missing=4): 0.005,
    Gzip(declared_only=True): 0.005,
    Charset("utf-16"): 0.005,
    Raw(b"SSH-2.0-OpenSSH\r\n"): 0.005,
    Combined(Chunked(), Unsolicited(NOT_FOUND)): 0.005,
    Delay(0.3): 0.0005,
    Stall(): 0.0005,
    Drip(every=0.01): 0.0005,
    Oversized(65 * 2**20): 0.0001,
    GzipBomb(128): 0.0001,
}


async def serve(speed: float) -> None:
    """Print the base URL, and serve until the process is ended."""
    emulator = Emulator(
        token=TOKEN,
        messages=5,
        limit=TokenBucket(1500 / speed),
        clock=lambda: time.monotonic() * speed,
        faults=[Share(share, fault) for fault, share in FAULTS.items()],
    )
    async with emulator:
        print(emulator.url, flush=True)
        while True:
            await asyncio.sleep(5)
            emulator.drop_connections()
            emulator.outage = Status(503, retry_after=1)
            await asyncio.sleep(0.1)
            emulator.outage = None


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))

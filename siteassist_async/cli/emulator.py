"""`siteassist emulator`."""

from __future__ import annotations

import asyncio
import errno
import shlex
from typing import TYPE_CHECKING

from siteassist_async.cli import runtime
from siteassist_async.emulator import Counters, Disconnect, Emulator, Share, Status, TokenBucket
from siteassist_async.export import ExitCode

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console

_ALWAYS = 1 << 30
_FAULTS = (
    Share(0.03, Status(404), times=_ALWAYS),
    Share(0.02, Status(403), times=_ALWAYS),
    Share(0.03, Status(503, retry_after=1)),
    Share(0.02, Disconnect()),
)
_SOME_ID = "123e4567-e89b-12d3-a456-426614174000"


def run(options: Options, console: Console) -> int:
    """Serve until a signal comes."""
    api = Emulator(
        port=options.port,
        token=options.token,
        seed=options.seed,
        conversations=options.conversations,
        changing=options.changing,
        latency=options.latency,
        limit=TokenBucket(options.rate) if options.rate else None,
        faults=_FAULTS if options.faults else (),
    )
    try:
        runtime.run(_serve(api, console))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = "choose another with --port, or 0 for any free one"
            console.error(f"port {options.port} is in use; {advice}")
        else:
            console.error(f"cannot listen on port {options.port}: {error.strerror}")
        return ExitCode.WRONG_USAGE
    console.result(served(api.counters))
    return ExitCode.DONE


async def _serve(api: Emulator, console: Console) -> None:
    ended = asyncio.Event()
    async with api:
        with runtime.interrupts(ended.set, ended.set):
            console.result(greeting(api.url, api.token))
            await ended.wait()


def greeting(url: str, token: str) -> str:
    """Say where the emulator listens and how to try it."""
    return (
        f"SiteAssist emulator: {url}, token {token}; Ctrl-C to stop. In another terminal:\n\n"
        f"  export SITEASSIST_BASE_URL={url} SITEASSIST_TOKEN={shlex.quote(token)}\n"
        f"  siteassist get {_SOME_ID}\n"
    )


def served(counters: Counters) -> str:
    """Summarize the responses sent."""
    by_status = sorted(counters.statuses.items())
    statuses = ", ".join(f"{count:,} with {status}" for status, count in by_status)
    return f"Responses sent: {statuses or 'none'}"

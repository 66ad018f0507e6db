"""`siteassist list`."""

from __future__ import annotations

import asyncio
import shlex
import sys
from typing import TYPE_CHECKING, TextIO

from attrs import define

from siteassist_async.cli import runtime
from siteassist_async.cli.connection import Connection, connection
from siteassist_async.cli.get import code_of, for_terminal, reporting
from siteassist_async.cli.redaction import redact, redact_words
from siteassist_async.client import SiteAssist
from siteassist_async.errors import SiteAssistError, printable
from siteassist_async.export import ExitCode
from siteassist_async.middleware.retry_policy import PATIENT

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console


def run(options: Options, console: Console) -> int:
    """Print the IDs, or the conversations as they are listed."""
    place = _Place(options.offset)
    try:
        target = connection(options)
        if runtime.run(_list(options, target, console, place)):
            return ExitCode.DONE
    except BrokenPipeError:
        raise
    except OSError as error:
        console.error(f"standard output: {error.strerror}")
        console.error(_continuing(options, place))
        return ExitCode.ACT
    except SiteAssistError as error:
        if not place.lines:  # nothing to continue: it is the same command again
            error.next_offset = None
        console.error(redact_words(str(error)))
        if error.next_offset is not None:
            console.error(_continuing(options, place))
        return code_of(error)
    console.error(f"interrupted; {_continuing(options, place)}")
    return ExitCode.RUN_AGAIN


@define
class _Place:
    """How far the list was printed: the offset of the next page, and lines so far."""

    offset: int
    lines: int = 0


async def _list(options: Options, target: Connection, console: Console, place: _Place) -> bool:
    """Print page by page; returns whether the end was reached, and not interrupted."""
    running = asyncio.ensure_future(_print_pages(options, target, console, place))
    with runtime.interrupts(running.cancel, running.cancel):
        await asyncio.wait({running})
    if running.cancelled():
        return False
    running.result()
    return True


async def _print_pages(
    options: Options, target: Connection, console: Console, place: _Place
) -> None:
    async with SiteAssist(
        target.token,
        base_url=target.base_url,
        tls=target.tls,
        proxy=target.proxy,
        retry=PATIENT,
        max_rate=options.max_rate,
        on_event=reporting(console, options),
    ) as client:
        listing = client.conversations.every(
            status=options.status, since=options.since, until=options.until
        )
        async for page in listing.pages(offset=options.offset):
            stdout: TextIO | None = sys.stdout
            if stdout is None:
                raise OSError(0, "is closed")
            if not options.json:
                # An ID is a UUID, but the server may send anything.
                stdout.write("".join(f"{printable(item.id)}\n" for item in page.items))
            elif stdout.isatty():
                for item in page.items:
                    stdout.write(for_terminal(item.to_json(), stdout.encoding, indented=False))
            else:
                stdout.buffer.write(b"".join(item.to_json() + b"\n" for item in page.items))
            stdout.flush()
            place.lines += len(page.items)
            place.offset = page.offset if page.next_offset is None else page.next_offset


def _continuing(options: Options, place: _Place) -> str:
    words = [word for word in options.command_line if not word.startswith("--offset=")]
    if "--offset" in words:
        at = words.index("--offset")
        del words[at : at + 2]
    command = shlex.join((*words, "--offset", str(place.offset)))
    return f"{place.lines:,} listed; to continue: {printable(redact(command), 1000)}"

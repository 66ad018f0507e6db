"""`siteassist get`, and JSON that is safe to print on a terminal."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, TextIO

from siteassist_async.cli import runtime
from siteassist_async.cli.connection import Connection, connection
from siteassist_async.cli.redaction import redact_words
from siteassist_async.cli.terminal import safe
from siteassist_async.client import SiteAssist
from siteassist_async.errors import (
    AuthenticationError,
    CertificateError,
    ClientError,
    ConfigurationError,
    DeadlineExceededError,
    InvalidIdError,
    PaymentRequiredError,
    PermissionDeniedError,
    ProxyError,
    RateLimitError,
    ServerError,
    SiteAssistError,
    ThrottledError,
    TransportError,
)
from siteassist_async.events import Event, Listener, RetryScheduled, WaitStarted
from siteassist_async.export import ExitCode
from siteassist_async.ids import read_id
from siteassist_async.logs import NOTICEABLE, REASONS

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console
_JSON_PART = re.compile(r'"(?:[^"\\]|\\.)*"|\{\s*\}|\[\s*\]|[{}\[\],:]|[^\s"{}\[\],:]+')


def run(options: Options, console: Console) -> int:
    """Print the conversation."""
    try:
        conversation_id = read_id(options.id)
        target = connection(options)
        body = runtime.run(_fetch(conversation_id, target, options, reporting(console, options)))
    except SiteAssistError as error:
        console.error(redact_words(str(error)))
        if isinstance(error, DeadlineExceededError) and str(error.__cause__ or ""):
            console.error(f"the last attempt: {error.__cause__}")
        return code_of(error)
    stdout: TextIO | None = sys.stdout
    try:
        if stdout is None:
            console.error("standard output is closed")
            return ExitCode.ACT
        if stdout.isatty():
            stdout.write(for_terminal(body, stdout.encoding, indented=not options.raw))
        else:
            stdout.buffer.write(body if options.raw else body + b"\n")
        stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        console.error(f"standard output: {error.strerror}")
        return ExitCode.ACT
    return ExitCode.DONE


def code_of(error: SiteAssistError) -> ExitCode:
    """Return the exit code, which says who can do something about the error."""
    match error:
        case ConfigurationError() | InvalidIdError():
            return ExitCode.WRONG_USAGE
        case AuthenticationError() | PaymentRequiredError() | PermissionDeniedError():
            return ExitCode.ACT
        case CertificateError() | ProxyError(status=403 | 407):
            return ExitCode.ACT
        case RateLimitError() | ServerError() | TransportError() | ClientError(status=408):
            return ExitCode.RUN_AGAIN
        case DeadlineExceededError() | ThrottledError():
            return ExitCode.RUN_AGAIN
        case _:
            return ExitCode.SOME_FAILED


async def _fetch(
    conversation_id: str, target: Connection, options: Options, on_event: Listener | None
) -> bytes:
    async with SiteAssist(
        target.token,
        base_url=target.base_url,
        tls=target.tls,
        proxy=target.proxy,
        deadline=options.deadline,
        on_event=on_event,
    ) as client:
        if options.raw:
            return (await client.conversations.get_raw(conversation_id)).body
        return await client.conversations.get_record(conversation_id)


def reporting(console: Console, options: Options) -> Listener | None:
    """Show a user why there is no response yet, if the log does not."""
    if options.verbose and not options.log_file:
        return None

    def report(event: Event) -> None:
        match event:
            case RetryScheduled():
                console.info(f"retrying in {event.delay:.2f} s after: {event.error}")
            case WaitStarted() if event.expected > NOTICEABLE:
                console.info(f"waiting about {event.expected:.1f} s {REASONS[event.reason]}")
            case _:
                pass

    return report


def for_terminal(body: bytes, encoding: str, *, indented: bool) -> str:
    """Format JSON so that it is the same JSON, ends with a newline and is safe to print.

    JSON itself escapes the characters below U+0020; `safe` does so with all others that are unsafe.
    """
    text = body.decode("utf-8-sig").strip()
    if indented:
        # The json and msgspec modules would change numbers, or refuse a lone surrogate's escape.
        lines = [""]
        depth = 0
        for part in _JSON_PART.findall(text):
            if part in {"}", "]"}:
                depth -= 1
                lines.append("  " * depth)
            lines[-1] += ": " if part == ":" else part
            if part in {"{", "["}:
                depth += 1
            if part in {"{", "[", ","}:
                lines.append("  " * depth)
        text = "\n".join(lines)
    return safe(text, encoding, allowed="\t\r\n") + "\n"

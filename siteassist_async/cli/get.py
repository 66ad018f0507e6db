"""`siteassist get`."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from siteassist_async.cli import runtime
from siteassist_async.cli.connection import Connection, connection
from siteassist_async.cli.console import Console
from siteassist_async.cli.json_text import for_terminal
from siteassist_async.cli.redaction import redact_words
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
from siteassist_async.export import ExitCode
from siteassist_async.ids import parse_id

if TYPE_CHECKING:
    from collections.abc import Generator

    from siteassist_async.cli.parser import GetOptions


def run(options: GetOptions) -> int:
    """Print the conversation."""
    console = Console.of_process()
    try:
        conversation_id = parse_id(options.id)
        target = connection(options)
        with _waits_told(console):
            body = runtime.run(_fetch(conversation_id, target, options))
    except SiteAssistError as error:
        console.error(redact_words(str(error)))
        if isinstance(error, DeadlineExceededError) and str(error.__cause__ or ""):
            console.error(f"the last attempt: {error.__cause__}")
        return code_of(error)
    return _print(body, console, raw=options.raw)


def code_of(error: SiteAssistError) -> ExitCode:
    """Say by the exit code who can do something about an error."""
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


async def _fetch(conversation_id: str, target: Connection, options: GetOptions) -> bytes:
    async with SiteAssist(
        target.token, base_url=target.base_url, tls=target.tls, deadline=options.deadline
    ) as client:
        if options.raw:
            return (await client.conversations.get_raw(conversation_id)).body
        return await client.conversations.get_record(conversation_id)


@contextmanager
def _waits_told(console: Console) -> Generator[None]:
    """Let a person see why there is no answer yet: the client logs each retry."""
    log = logging.getLogger("siteassist_async")
    handler = _Told(console)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


class _Told(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.info(record.getMessage())


def _print(body: bytes, console: Console, *, raw: bool) -> int:
    stdout: TextIO | None = sys.stdout
    try:
        if stdout is None:
            console.error("standard output: it is closed")
            return ExitCode.ACT
        if stdout.isatty():
            stdout.write(for_terminal(body, stdout.encoding, indented=not raw))
        else:
            stdout.buffer.write(body if raw else body + b"\n")
        stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        console.error(f"standard output: {error.strerror}")
        return ExitCode.ACT
    return ExitCode.DONE

"""Converting a log to another format, and going on from where the last conversion ended."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from siteassist_async.errors import ConfigurationError, printable
from siteassist_async.export.errors import InputError, OutputExistsError
from siteassist_async.formats.log import Newest, batches, check_place, has_repeats
from siteassist_async.formats.rows import NotAConversationError
from siteassist_async.formats.sink import AppendOnlySink, hidden_log
from siteassist_async.formats.table import format_of, sink_module
from siteassist_async.formats.workshop import workshop

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.formats.sink import Sink


@frozen
class Converted:
    """What a conversion did.

    Attributes:
        output: The sink.
        records: Records that were read from the log; of those of one ID, the output has the newest.
        total: Records that were read from the log by all conversions.
    """

    output: Path
    records: int
    total: int


def convert(
    log: Path | str,
    output: Path | str,
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    rebuild: bool = False,
    on_progress: Callable[[int], object] | None = None,
) -> Converted:
    """Convert a log of conversations to another format, or add what it has grown by since.

    It may be called while an export writes the log, and may be killed at any moment: called again
    it goes on, and each record is in the output once. A line that is being written is left for the
    next call.

    Args:
        log: The JSON-lines output of an export.
        output: The file or folder; created if it is missing.
        format: The name of the format, if the suffix of `output` does not say it.
        rebuild: Convert all of the log again, only the newest record of each conversation. The old
            output stays until the new one is complete. Takes 200 bytes of memory for each ID.
        on_progress: Called with the number of records read so far.

    Raises:
        ConfigurationError: There is no such format, or its extra is not installed.
        InputError: The log cannot be read, or has a line that is not a conversation.
        InputChangedError: It is not the log of the earlier conversions.
        OutputError: The output cannot be written, is in use, or was not written by a conversion.
    """
    slash = "/" if os.fspath(output).endswith("/") else ""
    log, output = Path(log), Path(os.path.realpath(output))
    refuse_table(log)
    module = sink_module(format_of(f"{output}{slash}", format))
    with workshop(output) as place:
        is_new = place.is_new()
        if is_new:
            module.create(place.new)
            place.put_in_place()
        converted = None
        if is_new or not rebuild:
            with module.open_sink(output) as sink:
                converted = _follow(log, sink, output, on_progress)
                if _is_settled(log, sink, converted.total):
                    return converted
            on_progress = None
        module.prove(output)
        module.create(place.new)
        with module.open_sink(place.new) as sink:
            rebuilt = _follow(log, sink, output, on_progress, Newest.of(log))
            if isinstance(sink, AppendOnlySink):
                sink.settle(rebuilt.total)
        place.put_in_place()
        return converted or rebuilt


def refuse_table(log: Path) -> None:
    """Check that a log is not what a log was converted to.

    Raises:
        InputError: By its suffix it is, and it does not begin as a log does.
    """
    try:
        form = format_of(log)
    except ConfigurationError:
        return  # a log may have any name
    with suppress(OSError):
        if form.is_sink and (log.is_dir() or _begin(log) not in {b"", b"{"}):
            its = hidden_log(log)
            where = f": {printable(str(its))}" if its else ", from which it was made"
            raise InputError(
                f"is {form.name}, and only JSON lines are converted; convert its log{where}",
                path=str(log),
            )


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1)


def _is_settled(log: Path, sink: Sink, lines: int) -> bool:
    """Whether a sink has no rows that should have been replaced."""
    if not isinstance(sink, AppendOnlySink) or sink.settled == lines:
        return True
    if has_repeats(log, sink.settled, lines):
        return False
    sink.settle(lines)
    return True


def prepare(
    log: Path,
    output: Path,
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    restart: bool = False,
) -> None:
    """Check, before an export fetches anything, that its log can be converted to an output.

    Args:
        log: The log; it need not exist yet.
        output: The output; it need not exist either.
        format: As for `convert`.
        restart: The log is to be started anew, and so an output of the old one is emptied.

    Raises:
        ConfigurationError: There is no such format, or its extra is not installed.
        InputChangedError: The output was converted from another log.
        OutputError: As `convert`.
    """
    output = Path(os.path.realpath(output))
    module = sink_module(format_of(output, format))
    with workshop(output) as place:
        if place.is_new():
            return
        with module.open_sink(output) as sink:
            at = sink.place()
        if log.exists():
            check_place(log, at)
        elif at.end:
            raise OutputExistsError(
                f"exists, but this export's log does not: {printable(str(log))}; restore it, move "
                "this output away, or choose another one",
                path=str(output),
            )
        if not restart:
            module.contents(output)
        if restart:
            module.create(place.new)
            place.put_in_place()


def _follow(
    log: Path,
    sink: Sink,
    output: Path,
    on_progress: Callable[[int], object] | None,
    newest: Newest | None = None,
) -> Converted:
    start = place = sink.place()
    with closing(batches(log, start)) as found:
        for batch in found:
            lines = batch.lines
            if newest is not None:
                lines = [n for at, n in enumerate(lines, batch.start.lines) if newest.has(n, at)]
            try:
                sink.write(evolve(batch, lines=lines))
            except NotAConversationError as error:
                sink.finish()
                number = batch.start.lines + batch.lines.index(lines[error.index]) + 1
                raise InputError(
                    f"line {number} is not the record of a conversation: {error}", path=str(log)
                ) from error
            place = batch.place
            if on_progress is not None:
                on_progress(place.lines - start.lines)
    sink.finish()
    return Converted(output, place.lines - start.lines, place.lines)

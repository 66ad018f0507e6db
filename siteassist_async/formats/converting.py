"""Converting a log to another format, and going on from where the last conversion ended."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.export.disk import status_of, sync_folder, writing
from siteassist_async.export.errors import InputError
from siteassist_async.formats.log import batches
from siteassist_async.formats.rows import NotAConversationError
from siteassist_async.formats.table import format_of, sink_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.formats.sink import Sink, SinkModule


@frozen
class Converted:
    """What a conversion did.

    Attributes:
        output: The sink.
        records: Records that were added to it.
        total: Records of the log that are in it now.
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
        rebuild: Convert all of the log again. The old output stays until the new one is complete.
        on_progress: Called with the number of records added so far.

    Raises:
        ConfigurationError: There is no such format, or its extra is not installed.
        InputError: The log cannot be read, or has a line that is not a conversation.
        InputChangedError: It is not the log of the earlier conversions.
        OutputError: The output cannot be written, is in use, or was not written by a conversion.
    """
    log, output = Path(log), Path(output)
    module = sink_module(format_of(output, format))
    with module.open_sink(output) as sink:
        if not rebuild:
            return _follow(log, sink, output, on_progress)
        beside = output.with_name(f".{output.name}.rebuild")
        _remove(module, beside)
        with module.open_sink(beside) as new:
            converted = _follow(log, new, output, on_progress)
        with writing(output):
            _replace(output, beside)
        return converted


def _remove(module: SinkModule, path: Path) -> None:
    """Delete what an earlier rebuild left; raises OutputExistsError if that is something else."""
    with writing(path):
        if status_of(path) is None:
            return
        with module.open_sink(path):
            pass
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _replace(output: Path, new: Path) -> None:
    """Put a new sink in the place of the old one; a folder cannot be replaced in one step."""
    old = output.with_name(f".{output.name}.old")
    if output.is_dir():
        output.rename(old)
    new.replace(output)
    sync_folder(output.parent)
    if old.is_dir():
        shutil.rmtree(old)


def _follow(
    log: Path, sink: Sink, output: Path, on_progress: Callable[[int], object] | None
) -> Converted:
    start = place = sink.place()
    with closing(batches(log, start)) as found:
        for batch in found:
            try:
                sink.write(batch)
            except NotAConversationError as error:
                number = batch.start.lines + error.index + 1
                raise InputError(
                    f"line {number} is not the record of a conversation: {error}", path=str(log)
                ) from error
            place = batch.place
            if on_progress is not None:
                on_progress(place.lines - start.lines)
    sink.finish()
    return Converted(output, place.lines - start.lines, place.lines)

"""Converting a log to another format, going on from the last conversion; verifying the result."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from siteassist_async.errors import ConfigurationError, printable
from siteassist_async.export import Fault, InputChangedError
from siteassist_async.export.disk import plural, private, status_of, sync_folder, writing
from siteassist_async.export.errors import (
    InputError,
    OutputError,
    OutputExistsError,
    OutputInUseError,
)
from siteassist_async.export.layout import Layout
from siteassist_async.formats.log import Newest, batches, check_place, has_repeats, opened_log
from siteassist_async.formats.rows import NotAConversationError
from siteassist_async.formats.sink import AppendOnlySink, hidden_log, place_file
from siteassist_async.formats.table import FORMATS, Format, format_of, sink_module

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from siteassist_async.export import Verified
    from siteassist_async.formats.sink import Sink


@frozen
class Workshop:
    """A hidden folder beside an output, which exists while a conversion runs.

    Attributes:
        output: The output.
        new: Where a new output is made, before it is moved to its place in one step.
    """

    output: Path
    new: Path

    def is_new(self) -> bool:
        """Whether there is no output yet, or an empty file or folder."""
        with writing(self.output):
            status = status_of(self.output)
            if status is None:
                return True
            if stat.S_ISDIR(status.st_mode):
                return not any(self.output.iterdir())
            return stat.S_ISREG(status.st_mode) and not status.st_size

    def clear(self) -> None:
        """Delete what an earlier conversion left of a new output."""
        with writing(self.new.parent):
            for path in self.new.parent.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != _LOCK:
                    path.unlink()

    def put_in_place(self) -> None:
        """Move the new output to its place; the old one is deleted when the new one is there.

        A folder is replaced in two steps: if the process is killed between them, the old one is
        put back when the workshop is entered again.
        """
        with writing(self.output):
            if not self.is_new() and self.output.is_dir():
                self.output.rename(self._old)
            if status_of(place_file(self.new)) is not None:
                # Killed after this, an old output has no proof but its name: it is not lost, and
                # can be converted to again by --rebuild.
                place_file(self.new).replace(place_file(self.output))
            self.new.replace(self.output)
            sync_folder(self.output.parent)
        self.clear()

    @property
    def _old(self) -> Path:
        return self.new.with_name("old")

    def put_back(self) -> None:
        """Undo the first step of replacing a folder, if a killed process got no further."""
        with writing(self.output):
            if status_of(self.output) is None and status_of(self._old) is not None:
                self._old.rename(self.output)


_LOCK = "lock"


@contextmanager
def workshop(output: Path) -> Generator[Workshop]:
    """Enter the workshop of an output; it is locked until it is left or the process ends.

    Raises:
        OutputInUseError: Another process is in it.
        OutputError: It cannot be created.
    """
    folder = output.with_name(f".{output.name}.convert")
    with writing(output):  # the only name that the user knows
        lock = _locked(folder, output)
    entered = Workshop(output, folder / "new")
    try:
        entered.put_back()
        entered.clear()
        yield entered
    finally:
        with suppress(OSError, OutputError):  # what is left over stays for the next conversion
            entered.put_back()
            entered.clear()
            (folder / _LOCK).unlink()
            folder.rmdir()
        os.close(lock)


def _locked(folder: Path, output: Path) -> int:
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink():
            raise OutputError("is a link; remove it", path=str(folder))
        try:
            lock = private(folder / _LOCK, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # the last one has just left
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named = status_of(folder / _LOCK)
            if named is not None and os.path.samestat(named, os.fstat(lock)):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise OutputInUseError(
                "another conversion is writing to it", path=str(output)
            ) from None
        os.close(lock)


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
    with opened_log(log):
        pass  # or it raises, before an output is created
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


def verify_table(
    found: Verified,
    *,
    format: str | None = None,  # noqa: A002 - the option's name
) -> tuple[Fault | None, bool]:
    """Compare the table of an export, if it has one, with its log, which was verified before.

    Args:
        found: What was found in the log.
        format: The name of the format, if the suffix of the output does not say it.

    Returns:
        What is wrong with the table, and whether the export should be run again to complete it.

    Raises:
        ConfigurationError: There is no such format, or its extra is not installed.
        OutputInUseError: A conversion is writing to it.
    """
    layout = Layout.of(found.output)
    if not layout.hidden:
        return None, False
    module = sink_module(_format(found.output, format))
    output = Path(os.path.realpath(found.output))
    try:
        with workshop(output) as place:
            if place.is_new():
                what = "is missing; run the export again, which makes it anew from its log"
                return (None if found.unfinished else Fault(found.output, what)), False
            contents = module.contents(output)
            check_place(layout.records, contents.place)
    except OutputInUseError:
        raise
    except (OutputError, InputChangedError) as error:
        return Fault(Path(error.path), str(error.args[0])), False
    if contents.place.lines < found.records + found.updated or not contents.settled:
        return None, True
    if contents.conversations in {None, found.records}:
        return None, False
    return Fault(
        found.output,
        f"has {plural(contents.conversations or 0, 'conversation')}, but its log has "
        f"{found.records:,}",
    ), False


def _format(output: Path, name: str | None) -> Format:
    """Return a format as `format_of`; a folder of transcripts says it itself."""
    try:
        return format_of(output, name)
    except ConfigurationError:
        for known in FORMATS:
            if known.is_sink and not known.suffixes:
                with suppress(OutputError):
                    sink_module(known).prove(output)
                    return known
        raise

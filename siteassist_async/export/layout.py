"""The layout of an export: the names of its files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from attrs import evolve, frozen

from siteassist_async.compression import COMPRESSED, without_compression
from siteassist_async.export.disk import status_of, writing
from siteassist_async.export.errors import OutputError, OutputExistsError

CHECKPOINT = "checkpoint.db"
"""The checkpoint database, in the state folder."""

RECORDS = "records.jsonl"
"""The records in the state folder, where the output has another format."""

_LETTERS = ".failed"


@frozen
class Layout:
    """The files of one export; all names are derived from the output's.

    Attributes:
        hidden: Whether the records are kept in the state folder, and the output is made of them.
    """

    output: Path
    hidden: bool = False

    @classmethod
    def of(cls, output: Path, *, hidden: bool | None = None) -> Layout:
        """Resolve a link first, so that two names of one file share their state.

        `hidden` is by default what it was when the export was last run.
        """
        with writing(output):
            layout = cls(Path(os.path.realpath(output)) if output.is_symlink() else output)
            if hidden is None:
                hidden = status_of(layout.folder / RECORDS) is not None
            return evolve(layout, hidden=hidden)

    @property
    def records(self) -> Path:
        """The log of records."""
        return self.folder / RECORDS if self.hidden else self.output

    @property
    def dead_letters(self) -> Path:
        """Beside conversations.jsonl: conversations.failed.jsonl, never compressed.

        Beside conversations.parquet: conversations.parquet.failed.jsonl, as there may be both.
        """
        if self.hidden:
            return self.output.with_name(f"{self.output.name}{_LETTERS}.jsonl")
        plain = without_compression(self.output)
        return plain.with_name(f"{plain.stem}{_LETTERS}{plain.suffix}")

    @property
    def folder(self) -> Path:
        """Beside conversations.jsonl: .conversations.jsonl.export, the state."""
        return self.output.with_name(f".{self.output.name}.export")

    def refuse_foreign_data(self, *, known: bool) -> None:
        """Raise if an output is not a regular file, or holds data of which nothing is known."""
        for path in (self.records, self.dead_letters):
            with writing(path):
                status = status_of(path)
            if status is None:
                continue
            if not stat.S_ISREG(status.st_mode):
                raise OutputError("is not a regular file, so it cannot be resumed", path=str(path))
            if status.st_size and not known:
                raise foreign_data(path)

    def refuse_other_exports(self) -> None:
        """Check that no file of this export is a file of another export.

        Raises:
            OutputExistsError: The output would be the other's dead letters or in its state, or the
                dead letters would be its output or its dead letters.
        """
        for folder in (self.output, *self.output.absolute().parents):
            if folder.name.startswith(".") and folder.name.endswith(".export"):
                raise self._taken(self.output, f"{folder} is reserved for the state of an export")
        for letters in (self.output, self.dead_letters):
            stem = letters.stem.removesuffix(_LETTERS)
            if stem == letters.stem:
                continue
            # Any of these would have dead letters of this name.
            names = (f"{stem}{letters.suffix}{suffix}" for suffix in ("", *COMPRESSED))
            plain = (Layout(letters.with_name(name)) for name in names)
            for other in (Layout(letters.with_name(stem), hidden=True), *plain):
                if other != self and other.has_state():
                    raise self._taken(
                        letters, f"is reserved for the dead letters of {other.output}"
                    )
        if Layout(self.dead_letters).has_state():
            raise self._taken(
                self.dead_letters,
                f"is the output of another export, and would hold the dead letters of "
                f"{self.output}",
            )

    def has_state(self) -> bool:
        """Whether there is a state of an export to this output."""
        with writing(self.output):
            return status_of(self.folder / CHECKPOINT) is not None

    def _taken(self, path: Path, why: str) -> OutputExistsError:
        return OutputExistsError(f"{why}; choose another output", path=str(path))


def foreign_data(path: Path) -> OutputExistsError:
    """Return the error for a file that this export cannot prove to have written."""
    return OutputExistsError(
        "already exists and does not belong to an export that can be resumed; "
        "move it away or choose another output; or, if only the state was lost, continue from it "
        "with --rebuild-state",
        path=str(path),
    )

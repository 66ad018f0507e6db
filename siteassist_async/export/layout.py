"""Where an export keeps its files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from attrs import frozen

from siteassist_async.export.disk import sync_folder, writing
from siteassist_async.export.errors import OutputError, OutputExistsError


@frozen
class Layout:
    """The files of one export; all names follow from the output's."""

    output: Path

    @classmethod
    def of(cls, output: Path) -> Layout:
        """Follow a link first, so that two names of one file share their state."""
        with writing(output):
            return cls(Path(os.path.realpath(output)) if output.is_symlink() else output)

    @property
    def dead_letters(self) -> Path:
        """Beside conversations.jsonl: conversations.failed.jsonl."""
        return self.output.with_name(f"{self.output.stem}.failed{self.output.suffix}")

    @property
    def folder(self) -> Path:
        """Beside conversations.jsonl: .conversations.jsonl.export, the state."""
        return self.output.with_name(f".{self.output.name}.export")

    @property
    def lock(self) -> Path:
        """Held by the run that writes to this output."""
        return self.folder / "lock"

    @property
    def checkpoint(self) -> Path:
        """The checkpoint and the index of ids: an SQLite file."""
        return self.folder / "checkpoint.db"

    @property
    def ids(self) -> Path:
        """The plain list of ids, where the input is another kind of file or a pipe."""
        return self.folder / "ids.txt"

    @property
    def new_ids(self) -> Path:
        """The plain list anew, until it is known to go on where the old one ends."""
        return self.folder / "ids.new"

    @property
    def received(self) -> Path:
        """What came through a pipe, until its column is read."""
        return self.folder / "received.new"

    @property
    def retry_ids(self) -> Path:
        """The plain list of the dead letters' ids, while they are asked for again."""
        return self.folder / "retry.txt"

    @property
    def kept_letters(self) -> Path:
        """The dead letters that stay, until they take the place of all."""
        return self.folder / "kept.jsonl"

    def refuse_strangers(self, *, known: bool) -> None:
        """Raise where an output is no regular file, or, unless it is known, already holds data."""
        for path in (self.output, self.dead_letters):
            with writing(path):
                status = path.stat() if path.exists() else None
            if status is None:
                continue
            if not stat.S_ISREG(status.st_mode):
                raise OutputError("is not a regular file, so it cannot be resumed", path=str(path))
            if status.st_size and not known:
                raise OutputExistsError(
                    "is there already and not from an export that can go on; "
                    "move it away or name another output",
                    path=str(path),
                )

    def make_folder(self) -> None:
        """Make the state's folder, durably; no one else may read it."""
        with writing(self.folder):
            if not self.folder.is_dir():
                self.folder.mkdir(mode=0o700, exist_ok=True)
                sync_folder(self.folder.parent)

    def discard(self) -> None:
        """Delete what earlier runs wrote, the outputs first: without a state they are strangers."""
        kept = {self.lock, self.new_ids}
        state = [path for path in sorted(self.folder.iterdir()) if path not in kept]
        _delete(self.output, self.dead_letters)
        sync_folder(self.output.parent)
        _delete(*state)


def _delete(*paths: Path) -> None:
    for path in paths:
        with writing(path):
            path.unlink(missing_ok=True)

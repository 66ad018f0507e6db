"""What a format is made of: a sink, and the module that opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from siteassist_async.formats.log import Batch, Place
    from siteassist_async.models import Conversation


class Sink(Protocol):
    """An output of a conversion, open and locked for this process.

    It may be killed at any moment: what is in it then is a number of whole records and the place
    after the last of them. The newest record of a conversation counts.
    """

    def place(self) -> Place:
        """Return how far the log is in the sink, durably; the start for a new sink."""
        ...

    def write(self, batch: Batch) -> None:
        """Add the records of a batch, which begins where the last one ended.

        They become durable together with `batch.place`, now or in a later call.

        Raises:
            NotAConversationError: A line is not a record; nothing of the batch is written.
            OutputError: The sink cannot be written. It may be opened again later.
        """
        ...

    def finish(self) -> None:
        """Make everything that was written durable."""
        ...


class SinkModule(Protocol):
    """A module of a format."""

    def open_sink(self, path: Path) -> AbstractContextManager[Sink]:
        """Open a sink; created if it is missing or empty. Leaving without `finish` is a crash.

        Raises:
            OutputExistsError: There is something that no conversion wrote; it is left as it is.
            OutputInUseError: Another process writes to it.
            StateError: It is damaged, or was written by another version of this package.
            OutputError: It cannot be written.
        """
        ...


class SourceModule(Protocol):
    """A module of a format that conversations can be read from."""

    def read(self, path: Path, *, latest: bool) -> Iterator[Conversation]:
        """Yield the conversations; with `latest` only the newest record of each."""
        ...

    def read_raw(self, path: Path, *, latest: bool) -> Iterator[bytes]:
        """Yield the conversations as JSON, each on one line without its newline."""
        ...

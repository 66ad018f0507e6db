"""Errors of an export's files, as opposed to its requests.

```text
ExportError
├── InputError              the IDs cannot be read: missing, empty, binary
│   ├── UnknownColumnError  the input has no such column; names its columns
│   └── InputChangedError   the input is another job's, or changed while it was read
└── OutputError             a file cannot be written: a full disk, a read-only folder
    ├── OutputExistsError   a file exists that no export wrote
    ├── OutputInUseError    another run writes to this output now
    ├── OutputChangedError  someone shortened, replaced or edited what an export wrote
    └── StateError          the state folder is damaged, or has another version
```
"""

from __future__ import annotations

from siteassist_async.errors import SiteAssistError, printable


class ExportError(SiteAssistError):
    """The base of every exception about an export's files.

    Attributes:
        path: The file that it is about, as given.
    """

    def __init__(self, message: str = "", *, path: str = "") -> None:
        super().__init__(message)
        self.path = path

    def __str__(self) -> str:
        # Longer than other errors may be: what to do stands at the end.
        message = printable(self._summary(), 500)
        return f"{printable(self.path, 500)}: {message}" if self.path else message


class InputError(ExportError):
    """The IDs cannot be read: the input is missing, empty, binary or unreadable."""


class UnknownColumnError(InputError):
    """The input has no such column.

    Attributes:
        columns: Those that it has, in its order.
    """

    def __init__(self, message: str = "", *, path: str = "", columns: tuple[str, ...] = ()) -> None:
        super().__init__(message, path=path)
        self.columns = columns


class InputChangedError(InputError):
    """The input is another job's, or it changed while it was read.

    It is taken for another job's if it shares few IDs with that of the earlier runs; then nothing
    was written. After a change while it was read, the next run goes on by its IDs.
    """


class OutputError(ExportError):
    """A file cannot be written: a full disk, a read-only folder, a failing device.

    The files on disk are valid, and the same export resumes once the cause is fixed.
    """


class OutputExistsError(OutputError):
    """A file exists that no export wrote; it is never overwritten."""


class OutputInUseError(OutputError):
    """Another run writes to this output now."""


class OutputChangedError(OutputError):
    """Someone shortened, replaced or edited what an export wrote; nothing was written."""


class StateError(OutputError):
    """The state folder is damaged, or was written by another version of this package."""

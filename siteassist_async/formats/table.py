"""The table of formats: their suffixes, modules and extras."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from attrs import frozen

from siteassist_async.errors import ConfigurationError, printable

if TYPE_CHECKING:
    from pathlib import Path

    from siteassist_async.formats.sink import SinkModule, SourceModule


@frozen
class Format:
    """A format of exported conversations.

    Attributes:
        name: Its name, for `--format`.
        suffixes: Ends of file names that mean it, the usual one first.
        module: Its module in this package, imported when it is used.
        extra: The extra of this package that installs what it needs.
        is_sink: Whether a log can be converted to it.
        is_source: Whether conversations can be read from it.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    extra: str | None = None
    is_sink: bool = True
    is_source: bool = True


JSONL = Format("jsonl", (".jsonl", ".ndjson"), "jsonl", is_sink=False)
"""The log itself."""

FORMATS = (
    JSONL,
    Format("parquet", (".parquet",), "parquet", extra="parquet"),
    Format("sqlite", (".sqlite", ".sqlite3", ".db"), "sqlite"),
    Format("duckdb", (".duckdb",), "duckdb", extra="duckdb"),
)


def format_of(path: Path, name: str | None = None) -> Format:
    """Return the format with this name, or without one that of the file's suffix.

    Raises:
        ConfigurationError: There is no such format.
    """
    if name is not None:
        for known in FORMATS:
            if known.name == name:
                return known
        names = ", ".join(known.name for known in FORMATS)
        raise ConfigurationError(f"there is no format {printable(name)!r}; there are: {names}")
    fitting = [
        (len(suffix), known)
        for known in FORMATS
        for suffix in known.suffixes
        if path.name.lower().endswith(suffix)
    ]
    if not fitting:
        suffixes = " ".join(suffix for known in FORMATS for suffix in known.suffixes)
        raise ConfigurationError(
            f"the suffix of {printable(path.name, 500)} is not that of a format; known are: "
            f"{suffixes}; or name the format (--format)"
        )
    return max(fitting, key=lambda found: found[0])[1]


def sink_module(wanted: Format) -> SinkModule:
    """Import the module that opens the sinks of a format.

    Raises:
        ConfigurationError: Nothing is converted to this format, or its extra is not installed.
    """
    if not wanted.is_sink:
        raise ConfigurationError(f"a log is not converted to {wanted.name}: it is that already")
    return cast("SinkModule", _load(wanted))


def source_module(wanted: Format) -> SourceModule:
    """Import the module that reads a format.

    Raises:
        ConfigurationError: Conversations cannot be read from it, or its extra is not installed.
    """
    if not wanted.is_source:
        raise ConfigurationError(f"conversations cannot be read from {wanted.name}; read the log")
    return cast("SourceModule", _load(wanted))


def _load(wanted: Format) -> object:
    try:
        return import_module(f"siteassist_async.formats.{wanted.module}")
    except ModuleNotFoundError as error:
        if wanted.extra is None:
            raise
        raise ConfigurationError(
            f"{wanted.name} needs {error.name}: pip install 'siteassist_async[{wanted.extra}]'"
        ) from error

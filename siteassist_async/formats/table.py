"""The table of formats: their suffixes, modules and extras."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from attrs import frozen

from siteassist_async.compression import COMPRESSED
from siteassist_async.errors import ConfigurationError, printable

if TYPE_CHECKING:
    from siteassist_async.formats.sink import SinkModule, SourceModule


@frozen
class Format:
    """A format of exported conversations.

    Attributes:
        name: Its name, for `--format`.
        suffixes: Ends of file names that mean it, the usual one first.
        module: Its module in this package, imported when it is used; or "module:name" where the
            module has several formats.
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


JSONL = Format(
    "jsonl",
    tuple(f"{name}{end}" for name in (".jsonl", ".ndjson") for end in ("", *COMPRESSED)),
    "jsonl",
    is_sink=False,
)
"""The log itself."""

TRANSCRIPTS = Format("markdown", (), "transcripts:MARKDOWN", is_source=False)
"""A folder with a file for each conversation."""

FORMATS = (
    JSONL,
    Format("parquet", (".parquet",), "parquet", extra="parquet"),
    Format("sqlite", (".sqlite", ".sqlite3", ".db"), "sqlite"),
    Format("duckdb", (".duckdb",), "duckdb", extra="duckdb"),
    Format("csv", (".csv",), "delimited:MESSAGES_CSV", is_source=False),
    Format(
        "csv-conversations",
        (".conversations.csv",),
        "delimited:CONVERSATIONS_CSV",
        is_source=False,
    ),
    Format("excel-csv", (".excel.csv",), "delimited:MESSAGES_EXCEL", is_source=False),
    Format(
        "excel-csv-conversations",
        (".conversations.excel.csv",),
        "delimited:CONVERSATIONS_EXCEL",
        is_source=False,
    ),
    TRANSCRIPTS,
    Format("html", (), "transcripts:HTML", is_source=False),
)
"""All formats."""


def format_of(path: Path | str, name: str | None = None) -> Format:
    """Return the format with this name, or without one that of the file's suffix.

    A text that ends in a slash is a folder of transcripts.

    Raises:
        ConfigurationError: There is no such format, or it does not go with the suffix of a log.
    """
    if name is not None:
        for known in FORMATS:
            if known.name == name:
                if known is not JSONL and _has_suffix(path, JSONL):
                    raise ConfigurationError(
                        f"the suffix of {printable(Path(path).name, 60)} is that of JSON lines, "
                        f"but the format is {name}: choose another name"
                    )
                return known
        names = ", ".join(known.name for known in FORMATS)
        raise ConfigurationError(f"there is no format {printable(name)!r}; there are: {names}")
    fitting = [
        (len(suffix), known)
        for known in FORMATS
        for suffix in known.suffixes
        if Path(path).name.lower().endswith(suffix)
    ]
    if not fitting and str(path).endswith("/"):
        return TRANSCRIPTS
    if not fitting:
        # The usual ones, and a short name: an error's message has 200 characters.
        suffixes = " ".join(known.suffixes[0] for known in FORMATS[:5])
        raise ConfigurationError(
            f"the suffix of {printable(Path(path).name, 50)} is not that of a format; known are: "
            f"{suffixes} .jsonl.zst .jsonl.gz, / for transcripts; or name the format (--format)"
        )
    return max(fitting, key=lambda found: found[0])[1]


def _has_suffix(path: Path | str, form: Format) -> bool:
    return Path(path).name.lower().endswith(form.suffixes)


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
        raise ConfigurationError(
            f"conversations cannot be read from {wanted.name}; read the "
            "log that it was converted from"
        )
    return cast("SourceModule", _load(wanted))


def _load(wanted: Format) -> object:
    try:
        module, _, name = wanted.module.partition(":")
        loaded = import_module(f"siteassist_async.formats.{module}")
        return getattr(loaded, name) if name else loaded
    except ModuleNotFoundError as error:
        if wanted.extra is None:
            raise
        raise ConfigurationError(
            f"{wanted.name} needs {error.name}: pip install 'siteassist_async[{wanted.extra}]'"
        ) from error

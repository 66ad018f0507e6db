"""Exported conversations in other formats: converting a log, and reading any of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from siteassist_async.codec import decode_conversation
from siteassist_async.errors import ConfigurationError, printable
from siteassist_async.export.errors import InputError
from siteassist_async.formats.converting import Converted, convert, prepare
from siteassist_async.formats.sink import hidden_log
from siteassist_async.formats.table import FORMATS, Format, format_of, source_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from siteassist_async.formats.sink import SourceModule
    from siteassist_async.models import Conversation


__all__ = ["FORMATS", "Converted", "Format", "convert", "format_of", "iter_export", "prepare"]


@overload
def iter_export(
    path: Path | str, *, latest: bool = ..., raw: Literal[False] = ..., format: str | None = ...
) -> Iterator[Conversation]: ...
@overload
def iter_export(
    path: Path | str, *, latest: bool = ..., raw: Literal[True], format: str | None = ...
) -> Iterator[bytes]: ...
def iter_export(
    path: Path | str,
    *,
    latest: bool = False,
    raw: bool = False,
    format: str | None = None,  # noqa: A002 - the option's name
) -> Iterator[Conversation] | Iterator[bytes]:
    """Read the conversations of an export lazily, in constant memory.

    Args:
        path: JSON lines, Parquet, SQLite or DuckDB.
        latest: Yield only the newest record of each conversation, where there are several. From
            JSON lines and Parquet this takes some 150 bytes of memory for each ID.
        raw: Yield JSON instead of models: from JSON lines as the API sent it, from the other
            formats with the same values.
        format: The name of the format, if the suffix does not say it.

    Raises:
        ConfigurationError: There is no such format, it cannot be read, or its extra is missing.
        InputError: The file cannot be read. It may also be raised while iterating, as is the next.
        UnusableResponseError: A record is not a valid conversation.
    """
    path = Path(path)
    records = source_of(path, format).read_raw(path, latest=latest)
    return records if raw else map(decode_conversation, records)


def source_of(path: Path, name: str | None) -> SourceModule:
    """Return the module that reads a file, the format of which is named or follows from its suffix.

    Raises:
        ConfigurationError: As `iter_export`.
        InputError: There is no such file.
    """
    form = format_of(path, name)
    if not form.is_source and (log := hidden_log(path)):
        raise ConfigurationError(
            f"conversations cannot be read from {form.name}; read the log: {printable(str(log))}"
        )
    source = source_module(form)
    if not path.exists():
        unfinished = " yet: run its export again, which will finish it" if hidden_log(path) else ""
        raise InputError(f"does not exist{unfinished}", path=str(path))
    return source

"""Verification of an export's table: that it has what the log has."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from siteassist_async.errors import ConfigurationError
from siteassist_async.export import Fault, InputChangedError, OutputError, OutputInUseError
from siteassist_async.export.disk import plural
from siteassist_async.export.layout import Layout
from siteassist_async.formats.log import check_place
from siteassist_async.formats.table import FORMATS, Format, format_of, sink_module
from siteassist_async.formats.workshop import workshop

if TYPE_CHECKING:
    from siteassist_async.export import Verified


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

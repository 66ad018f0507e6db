"""Exported conversations in other formats: converting a log, and reading any of them."""

from __future__ import annotations

from siteassist_async.formats.converting import Converted, convert, prepare
from siteassist_async.formats.reading import iter_export
from siteassist_async.formats.table import FORMATS, Format, format_of

__all__ = ["FORMATS", "Converted", "Format", "convert", "format_of", "iter_export", "prepare"]

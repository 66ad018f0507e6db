"""What is shown of a bug: the traceback, without the token."""

from __future__ import annotations

import traceback

from siteassist_async.cli.shown import hide


def report(error: Exception) -> str:
    """Write a bug as the text that its report should hold."""
    lines = "".join(traceback.format_exception(error)).rstrip()
    return f"{hide(lines)}\nsiteassist: this is a bug of siteassist; please report the lines above"

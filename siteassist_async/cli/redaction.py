"""Redaction: no token and no control characters in what is printed, crash reports included."""

from __future__ import annotations

import os
import re

_SHORTEST = 6  # a shorter text is no token, and may be part of any word

_tokens: set[str] = set()


def remember(token: str) -> None:
    """Redact this token from now on."""
    _tokens.add(token)


def redact(text: str) -> str:
    """Replace the known tokens: those that were read, and the one in the environment."""
    known = {*_tokens, os.environ.get("SITEASSIST_TOKEN", "").strip()}
    for token in sorted(known, key=len, reverse=True):  # one may be part of another
        if len(token) >= _SHORTEST:
            text = text.replace(token, "***")
    return text


def redact_words(text: str) -> str:
    """Replace also what looks like a token, for text that repeats the command's arguments."""
    return re.sub(r"\bsk_\S+", "sk_***", redact(text))


def escape(text: str) -> str:
    """Escape everything but printable characters, so that the text stays on one line."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def crash_report(error: Exception) -> str:
    """Format a bug of this package: the traceback, without the token."""
    import traceback  # noqa: PLC0415 - `--help` need not wait for it

    lines = "".join(traceback.format_exception(error)).rstrip()
    return (
        f"{redact(lines)}\nsiteassist: this is a bug in siteassist; please report the lines above"
    )

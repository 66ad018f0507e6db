"""What may be shown: no token, and nothing that steers a terminal."""

from __future__ import annotations

import os
import re

_SHORTEST = 6  # what is shorter is no token, and may be part of any word

_seen: set[str] = set()


def remember(token: str) -> None:
    """Never show this token."""
    _seen.add(token)


def hide(text: str) -> str:
    """Replace the tokens that are known: those that were read, and that of the environment."""
    for token in (*_seen, os.environ.get("SITEASSIST_TOKEN", "").strip()):
        if len(token) >= _SHORTEST:
            text = text.replace(token, "***")
    return text


def hide_words(text: str) -> str:
    """Replace also what looks like a token: text that repeats arguments may have one by mistake."""
    return re.sub(r"\bsk_\S+", "sk_***", hide(text))


def escape(text: str) -> str:
    """Make text safe for one line of a terminal."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )

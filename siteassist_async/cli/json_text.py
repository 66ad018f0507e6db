"""JSON for a terminal: indented, and what could steer the terminal escaped."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\{\s*\}|\[\s*\]|[{}\[\],:]|[^\s"{}\[\],:]+')

# Joiners hold emoji and the scripts of Persia and India together, and steer nothing.
_JOINERS = "\u200c\u200d"


def for_terminal(body: bytes, encoding: str, *, indented: bool) -> str:
    r"""Write a JSON text so that it is the same JSON, ends with a line break and is safe to show.

    JSON itself escapes the characters below U+0020. C1 controls (U+009B begins an escape sequence
    as ESC [ does), bidirectional overrides, line separators and what `encoding` lacks become
    \u escapes.
    """
    text = body.decode("utf-8-sig").strip()
    everything = encoding.lower().startswith("utf")
    shown = _indented(text) if indented else text
    return "".join(c if _is_safe(c, everything) else _escaped(c) for c in shown) + "\n"


def _indented(text: str) -> str:
    # The json and msgspec modules would change numbers, or refuse a lone surrogate's escape.
    lines = [""]
    depth = 0
    for word in _WORD.findall(text):
        if word in {"}", "]"}:
            depth -= 1
            lines.append("  " * depth)
        lines[-1] += ": " if word == ":" else word
        if word in {"{", "["}:
            depth += 1
        if word in {"{", "[", ","}:
            lines.append("  " * depth)
    return "\n".join(lines)


def _is_safe(character: str, everything: bool) -> bool:  # noqa: FBT001 - of the terminal's encoding
    if character.isascii():
        return character.isprintable() or character in "\t\r\n"
    return everything and (
        character.isprintable()
        or character in _JOINERS
        or unicodedata.category(character) == "Zs"  # spaces other than ASCII's
    )


def _escaped(character: str) -> str:
    utf_16 = character.encode("utf-16-be")
    return "".join(f"\\u{utf_16[i : i + 2].hex()}" for i in range(0, len(utf_16), 2))

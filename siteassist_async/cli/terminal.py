"""Text from outside that is safe to print on a terminal."""

from __future__ import annotations

import unicodedata

# Joiners hold emoji and the scripts of Persia and India together, and control nothing.
_JOINERS = "\u200c\u200d"


def safe(text: str, encoding: str, allowed: str = "\t\n") -> str:
    r"""Replace by \u escapes what could control a terminal, or what its encoding lacks.

    That is: C0 controls except the `allowed`, C1 controls (U+009B begins an escape sequence as
    ESC [ does), bidirectional overrides, and line separators.
    """
    is_unicode = encoding.lower().startswith("utf")
    if text.isascii() and text.translate({ord(c): None for c in allowed}).isprintable():
        return text
    return "".join(c if _is_safe(c, is_unicode, allowed) else _escaped(c) for c in text)


def _is_safe(character: str, is_unicode: bool, allowed: str) -> bool:  # noqa: FBT001 - of the terminal's encoding
    if character.isascii():
        return character.isprintable() or character in allowed
    return is_unicode and (
        character.isprintable()
        or character in _JOINERS
        or unicodedata.category(character) == "Zs"  # spaces other than ASCII's
    )


def _escaped(character: str) -> str:
    utf_16 = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{utf_16[i : i + 2].hex()}" for i in range(0, len(utf_16), 2))

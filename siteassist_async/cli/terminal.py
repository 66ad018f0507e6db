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
    shown: list[str] = []
    for c in text:
        if c.isascii():
            is_safe = c.isprintable() or c in allowed
        else:
            # "Zs" are the spaces other than ASCII's.
            is_printed = c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs"
            is_safe = is_unicode and is_printed
        if is_safe:
            shown.append(c)
        else:
            utf_16 = c.encode("utf-16-be", "surrogatepass")
            shown += (f"\\u{utf_16[i : i + 2].hex()}" for i in range(0, len(utf_16), 2))
    return "".join(shown)

"""What commands print of an export: text that is safe on a terminal, and the dead letters."""

from __future__ import annotations

import unicodedata
from io import StringIO
from shutil import get_terminal_size
from typing import TYPE_CHECKING, TextIO

from siteassist_async.compression import without_compression
from siteassist_async.export.lines import read_letter
from siteassist_async.formats.log import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from siteassist_async.export.dead_letters import DeadLetter


_NARROWEST, _INDENT = 20, 2

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


def styled(markdown: str, stream: TextIO) -> str:
    """Format safe Markdown for a terminal; unchanged for another stream, or without rich."""
    if not stream.isatty():
        return markdown
    try:  # only here: it takes 0.1 s
        from rich.console import Console  # noqa: PLC0415 - see above
        from rich.markdown import Markdown  # noqa: PLC0415 - see above
        from rich.segment import Segment, Segments  # noqa: PLC0415 - see above
    except ModuleNotFoundError:
        return markdown
    width = max(_NARROWEST, get_terminal_size().columns - _INDENT)
    console = Console(file=StringIO(), force_terminal=True, width=width)
    # Links are shown as text, so that nobody follows one without having read it.
    parts = console.render(Markdown(markdown, code_theme="ansi_dark", hyperlinks=False))
    # Made safe again: Markdown may write any character as an entity.
    parts = (Segment(safe(part.text, stream.encoding), part.style) for part in parts)
    with console.capture() as captured:
        console.print(Segments(parts), end="")
    return captured.get()


def dead_letters(path: Path) -> Iterator[DeadLetter]:
    """Read the dead letters beside a file; a line that is not one is skipped.

    Raises:
        InputError: They cannot be read.
    """
    plain = without_compression(path)
    beside = f"{plain.stem}.failed.jsonl", f"{path.name}.failed.jsonl"
    for name in dict.fromkeys(beside):
        if (letters := path.with_name(name)).exists():
            yield from filter(None, map(read_letter, lines_of(letters)))

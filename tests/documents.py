"""The pages of the documentation, and the examples in them.

`python tests/documents.py FOLDER` writes each example to a file of its own, for a type checker.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

if TYPE_CHECKING:
    from sybil import Example

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
MODULES = sorted((ROOT / "siteassist_async").rglob("*.py"))

IN_PYTEST = (
    *("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
)
"""Options of a run of pytest within a test."""


def examples() -> list[Example]:
    """The Python blocks of pages and docstrings, each a whole program.

    What needs something beside it is a block of another language: `py` in docs/formats.md, `pycon`
    and `sh` in the tutorial.
    """
    sybil = Sybil([PythonCodeBlockParser()])
    return [
        example
        for path in [*PAGES, *MODULES]
        if "```python\n" in path.read_text()
        for example in sybil.parse(path).examples()
    ]


def write_examples(folder: Path) -> list[Path]:
    """Write each example to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for example in examples():
        path = folder / f"{Path(example.path).stem}_{example.line}.py"
        path.write_text(str(example.parsed))
        written.append(path)
    return written


if __name__ == "__main__":
    write_examples(Path(sys.argv[1]))

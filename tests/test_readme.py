"""What the README and the pages of docs/ show runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from siteassist_async.emulator import Emulator

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.name} {number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    )
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Those to files, from where the page is."""
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_readme_is_short() -> None:
    """What it is and how to begin; the rest is in docs/."""
    assert len(PAGES[0].read_text().splitlines()) <= 150


@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run(block: str, siteassist_environment: Emulator) -> None:
    """Each Python block is a whole program; the environment leads it to the emulator."""
    assert siteassist_environment.url
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})


def test_the_map_names_what_is_there() -> None:
    """Every path of the map exists, and no module or folder of the package's top is missing."""
    design = (ROOT / "docs" / "design.md").read_text()
    the_map = design[design.index("## The map") :]
    named = set(re.findall(r"`([a-z_/.]+)`", the_map))
    paths = {name for name in named if "/" in name}
    assert {path for path in paths if not (ROOT / path).exists()} == set()
    here = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "siteassist_async").iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name.isidentifier())
    }
    hidden = {"__init__.py", "__pycache__/", "version.py"}
    assert here - hidden == {name.removeprefix("siteassist_async/") for name in named} & here

"""What the README shows runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from siteassist_async.emulator import Emulator

pytest_plugins = ["siteassist_async.emulator.pytest_plugin"]

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(
    block: str, siteassist_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each Python block is a whole program; the environment leads it to the emulator."""
    monkeypatch.setenv("SITEASSIST_TOKEN", siteassist_emulator.token)
    monkeypatch.setenv("SITEASSIST_BASE_URL", siteassist_emulator.url)
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})


def test_the_map_names_what_is_there() -> None:
    """Every path of the map exists, and no module or folder of the package's top is missing."""
    root = Path(__file__).parent.parent
    the_map = README[README.index("## The map") :]
    named = set(re.findall(r"`([a-z_/.]+)`", the_map))
    paths = {name for name in named if "/" in name}
    assert {path for path in paths if not (root / path).exists()} == set()
    here = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (root / "siteassist_async").iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name.isidentifier())
    }
    hidden = {"__init__.py", "__pycache__/", "version.py"}
    assert here - hidden == {name.removeprefix("siteassist_async/") for name in named} & here

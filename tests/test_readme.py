"""What the README shows runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
    """Every path in the map exists, and every file and folder of the package is in it."""
    root = Path(__file__).parent.parent
    section = README[README.index("## The map") :]
    named = {path for path in re.findall(r"`([a-z_/]+(?:\.py|/))`", section) if "/" in path}
    assert all((root / path).exists() for path in named)

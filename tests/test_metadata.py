"""What the project says of itself agrees with itself."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from siteassist_async import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([0-9.]+)", text, re.MULTILINE))


def test_the_lower_bounds_are_the_tested_ones() -> None:
    """Each dependency's lower bound is what `.ci/run` tests with, and none has an upper one."""
    bounds = dict(dependency.split(">=") for dependency in PROJECT["dependencies"])
    tested = {
        name: pin.removesuffix(".0") for name, pin in _pins("requirements-oldest.txt").items()
    }
    assert bounds == tested


def test_every_requirement_is_pinned() -> None:
    """What the project and its extras name is in the file that `.ci/run` installs from."""
    extras = [name for names in PROJECT["optional-dependencies"].values() for name in names]
    named = {
        re.split(r"[\[>]", name)[0].replace(".", "-")
        for name in [*PROJECT["dependencies"], *extras]
    }
    assert named - {PROJECT["name"]} <= set(_pins("requirements-dev.txt"))


def test_no_address_is_recorded() -> None:
    """A file of pins holds names, versions and hashes, and no place that they came from."""
    for path in ROOT.glob("requirements-*.txt"):
        assert "://" not in path.read_text()


def test_the_installed_version_is_the_packages() -> None:
    """`pip show` and `__version__` agree."""
    assert version("siteassist_async") == __version__

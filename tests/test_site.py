"""The site of the documentation can be built, and has everything."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from importlib import import_module
from shutil import copy, copytree, ignore_patterns
from types import FunctionType
from typing import TYPE_CHECKING

import pytest
from documents import DOCS, PAGES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = (
    *("siteassist_async", "siteassist_async.contract", "siteassist_async.distributed"),
    *("siteassist_async.emulator", "siteassist_async.export", "siteassist_async.formats"),
    "siteassist_async.pacing",
)
"""The packages whose `__all__` is public, and so is in the reference."""

MODULES = [
    f"siteassist_async.{name}"
    for name in ("errors", "events", "models", "otel", "pytest_plugin", "testing")
]
"""The modules of which everything without an underscore is."""

NOT_SHOWN = {
    "siteassist_async.__version__",
    "siteassist_async.errors.error_class",  # used by the package itself
    "siteassist_async.errors.printable",  # as above
    "siteassist_async.export.verify",  # shown as verify.verify, its module's
    "siteassist_async.pytest_plugin.pytest_configure",  # used by pytest
}

FIELDS = ("Conversation.messages", "Fetched.conversation", "emulator.Status.retry_after")


def test_every_page_is_in_the_navigation() -> None:
    """Those that are not cannot be found."""
    named = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert named == {page.relative_to(DOCS).as_posix() for page in PAGES[1:]}


def test_the_site_is_built_and_names_everything_public(tmp_path: Path) -> None:
    """Without a warning: no link, anchor or reference is broken."""
    pytest.importorskip("zensical")
    for name in ("docs", "examples", "siteassist_async"):
        copytree(ROOT / name, tmp_path / name, ignore=ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "CHANGELOG.md", "PROMISES.md"):
        copy(ROOT / name, tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    # Sphinx's inventory: a header of four lines, and an object a line, which begins with its name.
    inventory = (tmp_path / "site" / "objects.inv").read_bytes().split(b"\n", 4)[4]
    documented = {line.split()[0] for line in zlib.decompress(inventory).decode().splitlines()}
    public = {
        f"{package}.{name}" for package in PACKAGES for name in import_module(package).__all__
    }
    public |= {
        f"{module}.{name}"
        for module in MODULES
        for name, value in vars(import_module(module)).items()
        if isinstance(value, type | FunctionType) and value.__module__ == module
        if not name.startswith("_")
    }
    assert public - documented == NOT_SHOWN
    # The fields of attrs classes too, which have no docstring of their own.
    assert {f"siteassist_async.{name}" for name in FIELDS} <= documented

"""What the export's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .export_fakes import Workbench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """An export in an empty folder."""
    return Workbench(tmp_path)

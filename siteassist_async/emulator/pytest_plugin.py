"""The pytest plugin: `pytest_plugins = ["siteassist_async.emulator.pytest_plugin"]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from siteassist_async.emulator import Emulator, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["siteassist_emulator"]


@pytest.fixture
def siteassist_emulator() -> Iterator[Emulator]:
    """A started `Emulator` that counts IDs, in a thread, so that tests of any kind can use it."""
    with in_thread(Emulator(count_ids=True)) as emulator:
        yield emulator

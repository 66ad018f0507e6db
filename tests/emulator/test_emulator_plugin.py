"""The fixture that users get."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from siteassist_async.emulator import Emulator

pytest_plugins = ["siteassist_async.emulator.pytest_plugin"]

ID = "123e4567-e89b-12d3-a456-426614174000"


def test_the_fixture_serves_a_test_that_blocks(siteassist_emulator: Emulator) -> None:
    """An ordinary function with an ordinary client; ids are counted."""
    request = urllib.request.Request(
        f"{siteassist_emulator.url}/conversations/{ID}",
        headers={"Authorization": f"Bearer {siteassist_emulator.token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200
    assert siteassist_emulator.counters.ids == {ID: 1}


async def test_the_fixture_serves_an_async_test(siteassist_emulator: Emulator) -> None:
    """Each test has an emulator of its own."""
    assert siteassist_emulator.counters.requests == 0
    headers = {"Authorization": f"Bearer {siteassist_emulator.token}"}
    async with (
        aiohttp.ClientSession(siteassist_emulator.url + "/", headers=headers) as session,
        session.get(f"conversations/{ID}") as response,
    ):
        assert (await response.json())["id"] == ID


def test_the_emulator_does_not_import_pytest() -> None:
    """Only its plugin does."""
    code = "import sys, siteassist_async.emulator; print('pytest' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert printed.stdout.strip() == b"False"

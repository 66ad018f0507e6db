"""What users test their own code with: the fixtures, the clock, aioresponses."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from inspect import signature
from typing import TYPE_CHECKING, cast

import pytest
from fakes import CONVERSATION_URL, ID, TOKEN

from siteassist_async import RateLimitError, RetryPolicy, SiteAssist
from siteassist_async.contract import documented_body
from siteassist_async.emulator import Delay, Emulator, Status, TokenBucket
from siteassist_async.pytest_plugin import NewClient
from siteassist_async.testing import patched_aioresponses

if TYPE_CHECKING:
    from fakes import Mocked

    from siteassist_async.testing import InstantClock


pytest_plugins = ["pytester"]


def test_a_test_that_blocks_has_an_emulator(siteassist_emulator: Emulator) -> None:
    """An ordinary function with an ordinary client; ids are counted."""
    request = urllib.request.Request(
        f"{siteassist_emulator.url}/conversations/{ID}",
        headers={"Authorization": f"Bearer {siteassist_emulator.token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200
    assert siteassist_emulator.counters.ids == {ID: 1}


@pytest.mark.siteassist(messages=3)
async def test_a_marker_has_the_options(siteassist_client: NewClient) -> None:
    """Of the emulator; those of a client are given when it is made."""
    async with siteassist_client(retry=RetryPolicy(attempts=1)) as client:
        assert len((await client.conversations.get(ID)).messages) == 3


@pytest.mark.usefixtures("siteassist_environment")
async def test_the_code_under_test_needs_no_change() -> None:
    """It makes its client as always."""
    async with SiteAssist() as client:
        assert (await client.conversations.get(ID)).id == ID


@pytest.mark.siteassist(limit=TokenBucket(50))
async def test_waits_take_no_time(
    siteassist_client: NewClient, siteassist_emulator: Emulator, siteassist_clock: InstantClock
) -> None:
    """Those of the client and those of the emulator, whose limit goes by the same clock."""
    siteassist_emulator.script(ID, Status(429, retry_after=60), Delay(3600))
    began = siteassist_clock.now()
    async with siteassist_client() as client:
        assert (await client.conversations.get(ID)).id == ID
    assert siteassist_clock.now() - began >= 3660
    assert 3600 in siteassist_clock.slept
    siteassist_clock.advance(-1)
    assert siteassist_clock.now() - began >= 3660


async def test_clients_of_the_environment_go_by_the_clock(
    siteassist_environment: Emulator, siteassist_clock: InstantClock
) -> None:
    """Those that the code under test makes."""
    siteassist_environment.script(ID, Status(429, retry_after=60))
    async with SiteAssist() as client:
        assert (await client.conversations.get(ID)).id == ID
    assert siteassist_clock.now() > 1060


def test_the_options_of_a_new_client_are_those_of_a_client() -> None:
    """A type checker finds misspelt ones."""
    _, *options = signature(NewClient.__call__).parameters
    assert options == list(signature(SiteAssist).parameters)


def test_what_fails_where_something_is_wrong(pytester: pytest.Pytester) -> None:
    """A scripted fault that is not met, but not if the test says so; unittest sees no fixtures."""
    pytester.makepyfile(
        """
        import unittest
        import pytest
        from siteassist_async.emulator import Emulator, Status, in_thread

        ID = "123e4567-e89b-12d3-a456-426614174000"

        def test_left(siteassist_emulator):
            siteassist_emulator.script(ID, Status(500), Status(502))
            siteassist_emulator.script_pages(Status(500))

        @pytest.mark.siteassist(strict=False)
        def test_left_on_purpose(siteassist_emulator):
            siteassist_emulator.script(ID, Status(500))

        class Case(unittest.TestCase):
            def test_emulator(self):
                with in_thread(Emulator()) as emulator:
                    self.assertIn("http://127.0.0.1", emulator.url)
        """
    )
    result = pytester.runpytest_inprocess(
        *("-q", "-p", "no:randomly", "-n", "0"),
        *("-o", "asyncio_default_fixture_loop_scope=function"),
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(
        [f"*scripted faults that no request met: {{'{ID}': 2, 'pages': 1}}"]
    )


def test_the_plugin_imports_nothing() -> None:
    """Every run of pytest loads it, wherever the package is installed."""
    code = "import sys, siteassist_async.pytest_plugin; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert not loaded & {"aiohttp", "attrs", "cattrs", "msgspec", "tenacity"}
    ours = {name for name in run.stdout.split() if name.startswith("siteassist_async")}
    assert ours - {"siteassist_async.version"} == {
        "siteassist_async",
        "siteassist_async.pytest_plugin",
    }


async def test_aioresponses_stands_in_for_the_api() -> None:
    """With the aiohttp that is installed, and large bodies."""
    with patched_aioresponses() as patched:
        mocked = cast("Mocked", patched)
        mocked.get(CONVERSATION_URL, body=documented_body(200).ljust(200_000))
        mocked.get(CONVERSATION_URL, status=429, body=documented_body(429))
        async with SiteAssist(TOKEN, retry=RetryPolicy(attempts=1, patience=0)) as client:
            assert (await client.conversations.get(ID)).id == ID
            with pytest.raises(RateLimitError):
                await client.conversations.get(ID)

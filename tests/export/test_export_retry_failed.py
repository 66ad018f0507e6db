"""The dead letters asked for once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from siteassist_async.errors import BadGatewayError, ConnectionFailedError, TokenError
from siteassist_async.export import Ending, ExitCode, OutputChangedError, exit_code

from .export_fakes import missing, new_ids

if TYPE_CHECKING:
    from .export_fakes import Workbench

IDS = new_ids(30)


@pytest.fixture
async def failed(bench: Workbench) -> Workbench:
    """An export that is finished, with ten dead letters and two lines that are no ids."""
    bench.write([*IDS[:20], "none", *IDS[20:], "", "also none"])
    bench.api.errors = {i: BadGatewayError("gone") for i in IDS[10:20]}
    summary = await bench.finish()
    assert (summary.failed, summary.retryable, summary.counts.invalid) == (10, 10, 2)
    bench.api.asked.clear()
    return bench


async def test_what_failed_is_asked_again_and_leaves_the_dead_letters(failed: Workbench) -> None:
    """What succeeds becomes a record; what fails again is a dead letter with its new reason."""
    failed.api.errors = {IDS[12]: missing(IDS[12])}
    summary = await failed.finish(retry_failed=True)
    assert sorted(failed.api.asked) == sorted(IDS[10:20])
    assert (summary.progress.asked, summary.exported, summary.progress.already_there) == (
        32,
        9,
        20,
    )
    assert (summary.failed, summary.retryable, summary.counts.invalid) == (1, 0, 2)
    assert [letter["reason"] for letter in failed.letters()] == [
        "invalid id",
        "invalid id",
        "not found",
    ]
    failed.check([*IDS[:20], "none", *IDS[20:], "", "also none"])


async def test_what_is_no_id_is_not_asked_again(failed: Workbench) -> None:
    """It stays in the dead letters as it is, for it can never succeed."""
    failed.api.errors.clear()
    summary = await failed.finish(retry_failed=True)
    assert (summary.failed, summary.counts.invalid) == (0, 2)
    assert exit_code(summary) is ExitCode.SOME_FAILED
    failed.api.asked.clear()
    await failed.finish(retry_failed=True)
    assert failed.api.asked == []


async def test_the_input_goes_on_after_what_failed(failed: Workbench) -> None:
    """New ids come after the old failures, which their duplicates do not bring back."""
    new = new_ids(3, seed=7)
    failed.append([*new, IDS[10]])
    failed.api.errors.clear()
    summary = await failed.finish(retry_failed=True)
    assert (summary.exported, summary.counts.duplicates) == (13, 1)
    assert sorted(failed.api.asked[-3:]) == sorted(new)


async def test_asking_again_goes_on_after_a_stop(failed: Workbench) -> None:
    """The next run asks for the rest of them, whether it is told to or not."""
    failed.api.errors.clear()
    job = failed.job(retry_failed=True, limit=1)

    def stop(_: str) -> None:
        if len(failed.api.asked) == 4:
            job.stop()

    failed.api.each = stop
    summary = await job.run()
    failed.audit(summary)
    assert (summary.ending, summary.exported) == (Ending.STOPPED, 4)
    await failed.finish(retry_failed=True)
    assert sorted(failed.api.asked) == sorted(IDS[10:20])


async def test_asking_again_while_the_server_is_gone_gives_up_nothing(failed: Workbench) -> None:
    """They are asked for again by the next run, and are dead letters only if it is not gone."""
    failed.api.errors.clear()
    failed.api.otherwise = ConnectionFailedError("gone")
    summary = await failed.run(retry_failed=True)
    assert (summary.ending, summary.failed, summary.progress.asked) == (
        Ending.UNREACHABLE,
        0,
        22,
    )
    failed.api.otherwise = None
    failed.api.errors = {i: ConnectionFailedError("broke") for i in IDS[10:15]}
    summary = await failed.finish()
    assert (summary.exported, summary.failed, summary.retryable) == (5, 5, 5)
    failed.api.errors = {i: ConnectionFailedError("broke") for i in IDS[10:12]}
    summary = await failed.finish(retry_failed=True)
    assert (summary.exported, summary.failed) == (3, 2)


async def test_dead_letters_that_were_edited_are_not_asked_again(failed: Workbench) -> None:
    """A change too far from the end for the cheap check is found when they are read."""
    content = failed.dead_letters.read_bytes()
    for edited in (b"x" + content[1:], content.replace(b'"line":', b'"lint":', 1)):
        failed.dead_letters.write_bytes(edited)
        with pytest.raises(OutputChangedError, match="was edited"):
            await failed.job(retry_failed=True).run()
        assert failed.dead_letters.read_bytes() == edited
    assert failed.api.asked == []


async def test_an_id_for_which_no_token_could_be_had_is_retryable(bench: Workbench) -> None:
    """The callable that gives the token failed, not the id."""
    bench.write(IDS)
    bench.api.errors = {IDS[3]: TokenError("the token callable raised OSError")}
    summary = await bench.finish()
    assert (summary.failed, summary.retryable) == (1, 1)
    assert b'"reason":"no token"' in bench.dead_letters.read_bytes()

"""Failures that are not about one id: the server is gone, or the token opens nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from export_fakes import missing, new_ids

from siteassist_async.errors import (
    BadGatewayError,
    ConnectionFailedError,
    DeadlineExceededError,
    InternalServerError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
    TimedOutError,
)
from siteassist_async.export import Ending, ExitCode, exit_code

if TYPE_CHECKING:
    from export_fakes import Workbench

    from siteassist_async.errors import SiteAssistError

IDS = new_ids(200)
GONE = ConnectionFailedError("cannot connect")
FORBIDDEN = PermissionDeniedError("not yours")


@pytest.mark.parametrize(
    "error",
    [
        GONE,
        TimedOutError("swallowed"),
        DeadlineExceededError("too late"),
        RateLimitError("used up"),
        BadGatewayError("away"),
        ServiceUnavailableError("later"),
        ServerError("a gateway's", status=504),
    ],
    ids=repr,
)
@pytest.mark.parametrize("count", [1, 5, 200])
async def test_a_server_that_answers_for_no_id_ends_the_run(
    bench: Workbench, error: SiteAssistError, count: int
) -> None:
    """After 20 ids that nothing was said of, or all of fewer, no id is given up for it."""
    bench.write(IDS[:count])
    bench.api.otherwise = error
    summary = await bench.run()
    assert (summary.ending, summary.error) == (Ending.UNREACHABLE, error)
    assert exit_code(summary) is ExitCode.RUN_AGAIN
    assert (summary.asked, summary.failed) == (0, 0)
    assert len(bench.api.asked) <= 28
    bench.api.otherwise = None
    await bench.finish()
    bench.check(IDS[:count])


@pytest.mark.parametrize("count", [1, 5, 200])
async def test_a_token_that_opens_nothing_ends_the_run(bench: Workbench, count: int) -> None:
    """After 20 answers that are all 403, or all of fewer, a person must act."""
    bench.write(IDS[:count])
    bench.api.otherwise = FORBIDDEN
    summary = await bench.run()
    assert (summary.ending, summary.error) == (Ending.BLOCKED, FORBIDDEN)
    assert exit_code(summary) is ExitCode.ACT
    assert len(bench.api.asked) <= 28
    bench.api.otherwise = None
    await bench.finish()
    bench.check(IDS[:count])


async def test_a_500_is_about_its_id(bench: Workbench) -> None:
    """The API itself failed on it; however many there are, the export goes on to its end."""
    bench.write(IDS)
    bench.api.otherwise = InternalServerError("boom")
    summary = await bench.finish()
    assert (summary.failed, summary.retryable) == (200, 200)


async def test_403s_among_other_answers_are_each_their_own(bench: Workbench) -> None:
    """Held back until the first other answer, they are dead letters after it."""
    bench.write(IDS)
    bench.api.errors = dict.fromkeys(IDS[:19] + IDS[50:150], FORBIDDEN)
    summary = await bench.finish()
    assert (summary.failed, summary.exported) == (119, 81)
    bench.check(IDS)


async def test_a_404_shows_that_the_token_opens_something(bench: Workbench) -> None:
    """Whoever is told that a conversation is missing may ask for conversations."""
    bench.write(IDS)
    bench.api.otherwise = FORBIDDEN
    bench.api.errors[IDS[10]] = missing(IDS[10])
    assert (await bench.finish()).failed == 200


async def test_an_export_that_had_answers_takes_403s_as_they_come(bench: Workbench) -> None:
    """A later run of an export that got something knows that the token is not for nothing."""
    bench.write(IDS[:1])
    await bench.finish()
    bench.append(IDS[1:])
    bench.api.otherwise = FORBIDDEN
    assert (await bench.finish()).failed == 199


async def test_a_short_outage_fails_what_was_in_flight_and_no_more(bench: Workbench) -> None:
    """As many ids as are in flight, and 20 more, must fail in a row to end a run that had luck."""
    bench.write(IDS)
    bench.api.errors = dict.fromkeys(IDS[50:72], GONE)
    summary = await bench.finish()
    assert (summary.failed, summary.retryable, summary.exported) == (22, 22, 178)


async def test_a_server_that_goes_away_ends_the_run(bench: Workbench) -> None:
    """What failed at the end of it is not given up, but asked for again."""
    bench.write(IDS)
    bench.api.errors = dict.fromkeys(IDS[50:], GONE)
    summary = await bench.run()
    assert (summary.ending, summary.exported, summary.failed) == (Ending.UNREACHABLE, 50, 0)
    assert len(bench.api.asked) <= 50 + 24 + 8
    bench.api.errors.clear()
    await bench.finish()
    bench.check(IDS)


async def test_the_last_ids_fail_each_on_their_own(bench: Workbench) -> None:
    """Fewer than 20 at the end of an export that had answers are dead letters."""
    bench.write(IDS)
    bench.api.errors = dict.fromkeys(IDS[190:], GONE)
    assert (await bench.finish()).failed == 10


async def test_a_403_is_an_answer(bench: Workbench) -> None:
    """It shows that the server is there; what failed before it is about single ids."""
    bench.write(IDS[:20])
    bench.api.otherwise = FORBIDDEN
    bench.api.errors[IDS[0]] = GONE
    summary = await bench.run()
    assert (summary.ending, summary.failed) == (Ending.BLOCKED, 1)


@pytest.mark.parametrize("error", [GONE, FORBIDDEN], ids=repr)
async def test_a_stopped_run_does_not_judge(bench: Workbench, error: SiteAssistError) -> None:
    """What was held back when the run was stopped is asked for again."""
    bench.write(IDS)
    bench.api.otherwise = error
    job = bench.job()

    def stop(_: str) -> None:
        if len(bench.api.asked) == 10:
            job.stop()

    bench.api.each = stop
    summary = await job.run()
    assert (summary.ending, summary.failed, summary.asked) == (Ending.STOPPED, 0, 0)
    bench.api.otherwise = None
    await bench.finish()
    bench.check(IDS)


async def test_a_stopped_run_that_had_answers_gives_up_what_got_none(bench: Workbench) -> None:
    """So an id that never gets an answer cannot keep an export from its end."""
    bench.write(IDS)
    bench.api.errors = dict.fromkeys(IDS[10:], GONE)
    job = bench.job()

    def stop(conversation_id: str) -> None:
        if conversation_id == IDS[15]:
            job.stop()

    bench.api.each = stop
    summary = await job.run()
    bench.audit(summary)
    assert summary.ending is Ending.STOPPED
    assert summary.failed >= 1

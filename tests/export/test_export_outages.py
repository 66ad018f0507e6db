"""Failures that are not about one id: the server is gone, or the token opens nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from siteassist_async.errors import (
    AuthenticationError,
    BadGatewayError,
    ConnectionFailedError,
    DeadlineExceededError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
    TimedOutError,
)
from siteassist_async.export import Ending, ExitCode, exit_code

from .export_fakes import missing, new_ids

if TYPE_CHECKING:
    from siteassist_async.errors import SiteAssistError

    from .export_fakes import Workbench

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


@pytest.mark.parametrize("error", [FORBIDDEN, NotFoundError("<h1>Not here</h1>")], ids=repr)
@pytest.mark.parametrize("count", [1, 5, 200])
async def test_a_token_or_url_that_opens_nothing_ends_the_run(
    bench: Workbench, count: int, error: SiteAssistError
) -> None:
    """After 20 answers that are all 403, or another server's 404, a person must act."""
    bench.write(IDS[:count])
    bench.api.otherwise = error
    summary = await bench.run()
    assert (summary.ending, summary.error) == (Ending.BLOCKED, error)
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


async def test_ids_without_an_answer_are_told_from_a_server_without_one(
    bench: Workbench,
) -> None:
    """After 20 an id that was answered is asked for again: it is, so they are dead letters."""
    bench.write(IDS)
    bench.api.errors = dict.fromkeys(IDS[50:], GONE)
    summary = await bench.finish()
    assert (summary.failed, summary.retryable, summary.exported) == (150, 150, 50)
    again = Counter(bench.api.asked) - Counter(IDS)
    assert set(again) < set(IDS[:50])
    assert again.total() == 8


@pytest.mark.parametrize(
    "answer", [None, missing(IDS[0]), FORBIDDEN, InternalServerError("x")], ids=repr
)
async def test_any_answer_tells_that_the_server_is_there(
    bench: Workbench, answer: SiteAssistError | None
) -> None:
    """Whatever it was for the first time, and is for the second."""
    bench.write(IDS[:30])
    bench.api.errors = dict.fromkeys(IDS[1:30], GONE)
    if answer is not None:
        bench.api.errors[IDS[0]] = missing(IDS[0])

    def change(_: str) -> None:
        if answer is not None and len(bench.api.asked) > 5:
            bench.api.errors[IDS[0]] = answer

    bench.api.each = change
    assert (await bench.finish()).retryable == 29


@pytest.mark.parametrize("count", [100, 195])
async def test_a_server_that_goes_away_ends_the_run(bench: Workbench, count: int) -> None:
    """What was not answered is not given up, however few are left, but asked for again."""
    bench.write(IDS)

    def go_away(_: str) -> None:
        if len(bench.api.asked) > count:
            bench.api.otherwise = GONE

    bench.api.each = go_away
    summary = await bench.run()
    assert (summary.ending, summary.error, summary.failed) == (Ending.UNREACHABLE, GONE, 0)
    assert len(bench.api.asked) <= count + 20 + 8 + 1
    asked = len(bench.api.asked)
    assert (await bench.run()).ending is Ending.UNREACHABLE
    assert len(bench.api.asked) <= asked + 20 + 8 + 1
    bench.api.each = lambda _: None
    bench.api.otherwise = None
    await bench.finish()
    bench.check(IDS)


async def test_an_id_that_is_never_answered_ends_no_run_for_ever(bench: Workbench) -> None:
    """Even if it is all that is left, when the export was killed before: the server is there."""
    bench.write(IDS[:10])
    bench.api.errors = {IDS[9]: TimedOutError("too large")}

    def crash(conversation_id: str) -> None:
        if conversation_id == IDS[9]:
            raise ZeroDivisionError

    bench.api.each = crash
    with pytest.raises(ZeroDivisionError):
        await bench.job(limit=1).run()
    bench.api.each = lambda _: None
    summary = await bench.finish()
    assert (summary.already_there, summary.failed) == (9, 1)


async def test_a_token_that_ends_meanwhile_is_found_by_the_question_too(bench: Workbench) -> None:
    """A 401 is what it is, whichever request it comes to."""
    bench.write(IDS)
    refused = AuthenticationError("who?")
    bench.api.errors = dict.fromkeys(IDS[1:], GONE)

    def end(conversation_id: str) -> None:
        if conversation_id != IDS[0]:
            bench.api.errors[IDS[0]] = refused

    bench.api.each = end
    bench.write([IDS[0]])
    await bench.finish()
    bench.append(IDS[1:])
    summary = await bench.run()
    assert (summary.ending, summary.error) == (Ending.BLOCKED, refused)


async def test_a_403_is_an_answer(bench: Workbench) -> None:
    """It shows that the server is there; what failed before it is about its id."""
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

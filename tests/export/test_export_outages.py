"""Failures that are not about one id: the server is gone, or the token opens nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from fakes import settle

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
    TokenError,
    UnexpectedStatusError,
    UnusableResponseError,
)
from siteassist_async.export import Ending, ExitCode, exit_code

from .export_fakes import missing, new_ids

if TYPE_CHECKING:
    from siteassist_async.errors import SiteAssistError

    from .export_fakes import Workbench

IDS = new_ids(200)
GONE = ConnectionFailedError("cannot connect")
FORBIDDEN = PermissionDeniedError("not yours", code="FORBIDDEN")
PROBES = 30
"""Requests within the five minutes that a run waits."""


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
        InternalServerError("boom"),
        ServerError("a proxy's", status=522),
        UnexpectedStatusError("a login page", status=302),
        UnusableResponseError("a maintenance page"),
        TokenError("no token"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("count", [1, 5, 200])
async def test_a_server_that_answers_for_no_id_ends_the_run(
    bench: Workbench, error: SiteAssistError, count: int
) -> None:
    """After five minutes, in which 20 ids were asked for, or all of fewer: none is given up."""
    bench.write(IDS[:count])
    bench.api.otherwise = error
    summary = await bench.run()
    assert (summary.ending, summary.error) == (Ending.UNREACHABLE, error)
    assert exit_code(summary) is ExitCode.RUN_AGAIN
    assert (summary.progress.asked, summary.failed) == (0, 0)
    assert 300 <= summary.progress.elapsed <= 301
    assert len(bench.api.asked) <= 20 + 4 + 11 + PROBES
    bench.api.otherwise = None
    await bench.finish()
    bench.check(IDS[:count])


@pytest.mark.parametrize("error", [FORBIDDEN, NotFoundError("<h1>Not here</h1>")], ids=repr)
@pytest.mark.parametrize("count", [1, 5, 200])
async def test_a_token_or_url_that_opens_nothing_ends_the_run(
    bench: Workbench, count: int, error: SiteAssistError
) -> None:
    """After 20 answers that are all 403, or another server's 404, and ten from elsewhere."""
    bench.write(IDS[:count])
    bench.api.otherwise = error
    summary = await bench.run()
    assert (summary.ending, summary.error) == (Ending.BLOCKED, error)
    assert exit_code(summary) is ExitCode.ACT
    assert len(bench.api.asked) <= 20 + 4 + 11
    assert bench.clock.slept == []
    bench.api.otherwise = None
    await bench.finish()
    bench.check(IDS[:count])


async def test_a_500_is_about_its_id_where_others_are_answered(bench: Workbench) -> None:
    """The second time: the first might have been the end of an outage."""
    bench.write(IDS)
    bench.api.errors = dict.fromkeys(IDS[::2], InternalServerError("boom"))
    summary = await bench.finish()
    assert (summary.failed, summary.retryable) == (100, 100)
    counts = Counter(bench.api.asked)
    assert all(counts[id_] == 2 for id_ in IDS[::2])


async def test_a_list_that_begins_with_another_project_s_ids_is_exported(bench: Workbench) -> None:
    """Ids from elsewhere in the list show that the token opens something."""
    bench.write(IDS)
    bench.api.errors = dict.fromkeys(IDS[:100], FORBIDDEN)
    summary = await bench.finish()
    assert (summary.failed, summary.exported) == (100, 100)
    bench.check(IDS)


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
    assert (await bench.finish()).counts.failed == 200


async def test_an_export_that_had_answers_takes_403s_as_they_come(bench: Workbench) -> None:
    """A later run of an export that got something asks for that again: it still may."""
    bench.write(IDS[:1])
    await bench.finish()
    bench.append(IDS[1:])
    bench.api.errors = dict.fromkeys(IDS[1:], FORBIDDEN)
    assert (await bench.finish()).counts.failed == 199


async def test_a_token_that_loses_its_rights_ends_the_run(bench: Workbench) -> None:
    """What was answered is refused too: a person must act, and no id is given up."""
    bench.write(IDS[:1])
    await bench.finish()
    bench.append(IDS[1:])
    bench.api.otherwise = FORBIDDEN
    summary = await bench.run()
    assert (summary.ending, summary.error, summary.failed) == (Ending.BLOCKED, FORBIDDEN, 0)
    assert exit_code(summary) is ExitCode.ACT


async def test_ids_without_an_answer_are_told_from_a_server_without_one(
    bench: Workbench,
) -> None:
    """After 20 an id that was answered is asked for again: it is, so they are dead letters."""
    bench.write(IDS)
    bench.api.errors = dict.fromkeys(IDS[50:], GONE)
    summary = await bench.finish()
    assert (summary.failed, summary.retryable, summary.exported) == (
        150,
        150,
        50,
    )
    counts = Counter(bench.api.asked)
    assert all(counts[id_] == 2 for id_ in IDS[50:])
    assert 0 < sum(counts[id_] for id_ in IDS[:50]) - 50 <= 2 * 150 / 20 + 2


@pytest.mark.parametrize("answer", [None, missing(IDS[0])], ids=repr)
async def test_an_answer_tells_that_the_server_is_there(
    bench: Workbench, answer: SiteAssistError | None
) -> None:
    """Where it had one for some id before: the conversation, or that it is gone."""
    bench.write(IDS[:30])
    bench.api.errors = dict.fromkeys(IDS[1:30], GONE)

    def change(_: str) -> None:
        if answer is not None and len(bench.api.asked) > 5:
            bench.api.errors[IDS[0]] = answer

    bench.api.each = change
    assert (await bench.finish()).counts.retryable == 29


@pytest.mark.parametrize(
    "answer", [FORBIDDEN, InternalServerError("x"), NotFoundError("<h1>Not here</h1>")], ids=repr
)
async def test_any_other_answer_to_what_was_answered_is_an_outage(
    bench: Workbench, answer: SiteAssistError
) -> None:
    """No id is given up for it."""
    bench.write(IDS[:30])
    bench.api.errors = dict.fromkeys(IDS[1:30], GONE)

    def change(_: str) -> None:
        if len(bench.api.asked) > 5:
            bench.api.errors[IDS[0]] = answer

    bench.api.each = change
    summary = await bench.run()
    assert summary.ending is not Ending.FINISHED
    assert (summary.error, summary.failed) == (answer, 0)


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
    assert len(bench.api.asked) <= count + 20 + 4 + PROBES
    asked = len(bench.api.asked)
    assert (await bench.run()).ending is Ending.UNREACHABLE
    assert len(bench.api.asked) <= asked + 20 + 4 + PROBES
    bench.api.each = lambda _: None
    bench.api.otherwise = None
    await bench.finish()
    bench.check(IDS)


@pytest.mark.parametrize("seconds", [3, 60, 299])
async def test_a_server_that_comes_back_in_time_costs_no_id(
    bench: Workbench, seconds: float
) -> None:
    """The run goes on by itself, and tells meanwhile for how long nothing was answered."""
    bench.write(IDS)
    back = bench.clock.now() + seconds
    job, told = bench.job(), list[tuple[float, object]]()

    def go_away(_: str) -> None:
        gone = len(bench.api.asked) > 100 and bench.clock.now() < back
        bench.api.otherwise = GONE if gone else None
        if (progress := job.progress()).outage_error:
            told.append((progress.outage, progress.outage_error))

    bench.api.each = go_away
    summary = await job.run()
    assert (summary.ending, summary.exported) == (Ending.FINISHED, 200)
    bench.check(IDS)
    assert told[-1][1] is GONE
    assert told[-1][0] >= seconds
    assert job.progress().outage_error is None


async def test_progress_names_what_came_last_in_an_outage(bench: Workbench) -> None:
    """A server that refused connections and now answers 502 is on its way back."""
    bench.write(IDS)
    job, told = bench.job(), list[object]()
    away = BadGatewayError("away")

    def change(_: str) -> None:
        bench.api.otherwise = GONE if bench.clock.now() < 1060.0 else away
        told.append(job.progress().outage_error)

    bench.api.each = change
    summary = await job.run()
    assert (summary.ending, summary.error) == (Ending.UNREACHABLE, away)
    assert list(dict.fromkeys(told)) == [None, GONE, away]


async def test_a_run_that_waits_for_nothing_ends_at_once(bench: Workbench) -> None:
    """As a scheduler wants it that comes back by itself."""
    bench.write(IDS)
    bench.api.otherwise = GONE
    assert (await bench.run(wait=0.0)).ending is Ending.UNREACHABLE
    assert bench.clock.slept == []


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
    assert (summary.progress.already_there, summary.failed) == (9, 1)


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
    assert (summary.ending, summary.failed, summary.progress.asked) == (Ending.STOPPED, 0, 0)
    bench.api.otherwise = None
    await bench.finish()
    bench.check(IDS)


async def test_a_run_that_is_stopped_in_an_outage_ends_within_a_second(bench: Workbench) -> None:
    """Nobody waits for what may not come."""
    bench.write(IDS)
    bench.api.otherwise = GONE
    job = bench.job()

    def stop(_: str) -> None:
        if len(bench.api.asked) == 40:
            job.stop()

    bench.api.each = stop
    summary = await job.run()
    assert (summary.ending, summary.failed, summary.progress.asked) == (Ending.STOPPED, 0, 0)
    assert len(bench.api.asked) == 40
    assert max(bench.clock.slept) <= 1.0


async def test_a_stopped_run_asks_for_nothing_again(bench: Workbench) -> None:
    """What failed while others were answered has its second request in the next run."""
    bench.write(IDS)
    bench.api.errors = dict.fromkeys(IDS[1:4], InternalServerError("boom"))
    job = bench.job(limit=1)

    def stop(conversation_id: str) -> None:
        if conversation_id == IDS[4]:
            job.stop()

    bench.api.each = stop
    summary = await job.run()
    assert (summary.ending, summary.failed, summary.exported) == (
        Ending.STOPPED,
        0,
        2,
    )
    assert bench.api.asked == IDS[:5]
    await bench.finish()
    bench.check(IDS)


@pytest.mark.parametrize("limit", [1, 4])
async def test_a_run_is_stopped_though_all_that_it_asked_for_was_answered(
    bench: Workbench, limit: int
) -> None:
    """There are ids that it has not come to."""
    bench.write(IDS)
    job = bench.job(limit=limit)
    bench.api.each = lambda id_: job.stop() if id_ == IDS[7] else None
    summary = await job.run()
    assert (summary.ending, summary.exported) == (Ending.STOPPED, 8)
    await bench.finish()
    bench.check(IDS)


@pytest.mark.parametrize("error", [None, GONE], ids=repr)
async def test_a_stop_after_the_last_id_was_taken_depends_on_what_came(
    bench: Workbench, error: SiteAssistError | None
) -> None:
    """If all have their outcome the run is finished."""
    bench.write(IDS[:3])
    bench.api.errors = {IDS[2]: error} if error else {}
    job = bench.job()

    async def stop() -> None:
        await settle()
        job.stop()

    bench.api.before = stop
    summary = await job.run()
    assert summary.ending is (Ending.STOPPED if error else Ending.FINISHED)
    assert (summary.exported, summary.failed) == (2 if error else 3, 0)

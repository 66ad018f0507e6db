"""A job from its ids to its files."""

from __future__ import annotations

import asyncio
import json
import stat
from typing import TYPE_CHECKING

import pytest

from siteassist_async.errors import (
    AuthenticationError,
    BadGatewayError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    ProxyError,
    RateLimitError,
    SiteAssistError,
    TimedOutError,
    TokenError,
    UnusableResponseError,
    ValidationError,
)
from siteassist_async.export import Ending, ExitCode, ExportJob, Progress, Source, exit_code

from .export_fakes import missing, new_ids, record_of

if TYPE_CHECKING:
    from .export_fakes import Workbench


async def test_every_id_becomes_a_record_as_it_was_sent(bench: Workbench) -> None:
    """A record is what fetch gave and a line break, and nothing of a dead letter is there."""
    ids = new_ids(100)
    bench.write(ids)
    summary = await bench.finish()
    assert bench.output.read_bytes() == b"".join(record_of(i) + b"\n" for i in bench.api.asked)
    assert sorted(bench.api.asked) == sorted(ids)
    assert (summary.progress.asked, summary.exported, exit_code(summary)) == (
        100,
        100,
        ExitCode.DONE,
    )
    assert summary.progress.bytes_written == bench.output.stat().st_size
    assert (summary.output, summary.dead_letters) == (bench.output, bench.dead_letters)


async def test_a_summary_tells_every_outcome(bench: Workbench) -> None:
    """Exported, failed, duplicate and invalid ids are counted apart, and add up."""
    ids = new_ids(10)
    bench.write([*ids, ids[0], ids[3].upper(), "no id", "", ids[9]])
    bench.api.errors = {ids[4]: missing(ids[4]), ids[5]: TimedOutError("too slow")}
    summary = await bench.finish()
    assert (summary.progress.asked, summary.exported, summary.failed) == (14, 8, 2)
    assert (summary.counts.duplicates, summary.counts.invalid, summary.retryable) == (
        3,
        1,
        1,
    )
    assert exit_code(summary) is ExitCode.SOME_FAILED
    bench.check([*ids, ids[0], ids[3].upper(), "no id", "", ids[9]])


async def test_ids_are_asked_for_in_their_canonical_form(bench: Workbench) -> None:
    """An id in upper case is the same id, and is asked for in lower case."""
    bench.write([new_ids(1)[0].upper()])
    await bench.finish()
    assert bench.api.asked == new_ids(1)


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (missing("x"), "not found", False),
        (TimedOutError("x"), "timed out", True),
        (BadGatewayError("x"), "server error", True),
        (RateLimitError("x"), "rate limited", True),
        (UnusableResponseError("x"), "unusable response", True),
        (PermissionDeniedError("x", code="FORBIDDEN"), "forbidden", False),
        (PermissionDeniedError("a firewall"), "forbidden", True),
        (TokenError("x"), "no token", True),
        (DeadlineExceededError("x"), "deadline exceeded", True),
        (ValidationError("x", code="VALIDATION_ERROR"), "refused", False),
    ],
)
async def test_a_dead_letter_names_the_reason(
    bench: Workbench, error: SiteAssistError, *, reason: str, retryable: bool
) -> None:
    """The reason is one of a few words, and says whether another time may succeed."""
    ids = new_ids(2)
    bench.write(ids)
    bench.api.errors[ids[1]] = error
    await bench.finish()
    [letter] = bench.letters()
    assert (letter["id"], letter["reason"], letter["retryable"]) == (ids[1], reason, retryable)
    assert letter["error"] == type(error).__name__


async def test_a_dead_letter_is_safe_to_print_and_complete(bench: Workbench) -> None:
    """Status, code, message and attempts are there; what would drive a terminal is escaped."""
    ids = new_ids(2)
    bench.write(ids)
    error = NotFoundError("\x1b[2J\ud800", code="X\x1b")
    error.attempts = 3
    bench.api.errors[ids[0]] = error
    await bench.finish()
    [letter] = bench.letters()
    assert (letter["status"], letter["code"], letter["attempts"]) == (404, "X\\x1b", 3)
    assert "\\x1b[2J\\ud800" in letter["message"]
    assert letter["at"].endswith("Z")
    assert letter["line"] is None


async def test_an_id_that_is_none_is_named_with_its_line(bench: Workbench) -> None:
    """The dead letter shows what stands in the input, and where; no request is made for it."""
    bench.write(["", "\x1b]0;x", "a" * 300, *new_ids(1)])
    summary = await bench.finish()
    first, second = bench.letters()
    assert (first["id"], first["line"], first["reason"]) == ("\\x1b]0;x", 2, "invalid id")
    assert (len(second["id"]), second["line"]) == (200, 3)
    assert (summary.counts.invalid, bench.api.asked) == (2, new_ids(1))


@pytest.mark.parametrize("error", [AuthenticationError("x"), PaymentRequiredError("x")])
async def test_a_refusal_that_ends_all_ends_the_run(
    bench: Workbench, error: SiteAssistError
) -> None:
    """401 and 402 end it once they meet an id that was answered; no id is given up."""
    ids = new_ids(50)
    bench.write(ids)

    def end(conversation_id: str) -> None:
        if conversation_id == ids[20]:
            bench.api.otherwise = error

    bench.api.each = end
    summary = await bench.run()
    assert (summary.ending, summary.error, summary.failed) == (Ending.BLOCKED, error, 0)
    assert exit_code(summary) is ExitCode.ACT
    assert len(bench.api.asked) < 30
    bench.api.each = lambda _: None
    bench.api.otherwise = None
    await bench.finish()
    bench.check(ids)


async def test_a_client_that_is_closed_is_raised(bench: Workbench) -> None:
    """It is no outage and no conclusion about the API; the job can be resumed."""
    ids = new_ids(50)
    bench.write(ids)

    def close(conversation_id: str) -> None:
        if conversation_id == ids[20]:
            bench.api.otherwise = ClientClosedError("the client is closed")

    bench.api.each = close
    with pytest.raises(ClientClosedError):
        await bench.run()
    bench.api.each = lambda _: None
    bench.api.otherwise = None
    await bench.finish()
    bench.check(ids)


@pytest.mark.parametrize(
    ("status", "ending"), [(407, Ending.BLOCKED), (403, Ending.BLOCKED), (502, Ending.UNREACHABLE)]
)
async def test_a_proxy_that_lets_nobody_through_ends_the_run(
    bench: Workbench, status: int, ending: Ending
) -> None:
    """At once, where only a person can do something about it."""
    bench.write(new_ids(50))
    bench.api.otherwise = ProxyError(status)
    summary = await bench.run()
    assert summary.ending is ending
    assert (summary.progress.elapsed < 1) is (ending is Ending.BLOCKED)


async def test_new_files_are_their_owners(bench: Workbench) -> None:
    """The records and dead letters, being people's conversations, are not for others to read."""
    bench.write([*new_ids(1), "x"])
    await bench.finish()
    in_state = [*bench.state.iterdir()]
    assert bench.state / "checkpoint.db" in in_state
    for path in (bench.output, bench.dead_letters, *in_state):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(bench.state.stat().st_mode) == 0o700


async def test_an_empty_output_is_taken_over_with_its_mode(bench: Workbench) -> None:
    """A file that somebody made beforehand keeps the mode that they gave it."""
    bench.write(new_ids(1))
    bench.output.touch(mode=0o644)
    await bench.finish()
    assert stat.S_IMODE(bench.output.stat().st_mode) == 0o644


async def test_progress_is_told_before_while_and_after(bench: Workbench) -> None:
    """The counts follow the run, and the total is near the truth before the input is read."""
    ids = new_ids(2000)
    bench.write(ids)
    job = bench.job()
    seen: list[Progress] = [job.progress()]
    bench.api.each = lambda _: seen.append(job.progress())
    await job.run()
    assert (seen[0].total, seen[0].asked) == (None, 0)
    assert all(progress.total == 2000 for progress in seen[1:])
    assert max(progress.in_flight for progress in seen) <= 8
    last = job.progress()
    assert (last.asked, last.exported, last.total, last.in_flight) == (2000, 2000, 2000, 0)
    assert last.bytes_written == bench.output.stat().st_size


async def test_memory_does_not_grow_with_a_slow_id(bench: Workbench) -> None:
    """While one id takes its time all others pass it, and what is remembered stays small."""
    ids = new_ids(3000)
    bench.write(ids)
    release, job = asyncio.Event(), bench.job()

    async def fetch(conversation_id: str) -> bytes:
        if conversation_id == ids[0]:
            await release.wait()
        elif conversation_id == ids[-1]:
            assert job.progress().in_flight <= 8
            release.set()
        return await bench.api.fetch(conversation_id)

    job = bench.job(fetch=fetch)
    await job.run()
    bench.check(ids)


async def test_a_record_of_two_lines_is_refused(bench: Workbench) -> None:
    """A fetch that gives a line break breaks its promise, and would break the file."""
    bench.write(new_ids(1))

    async def fetch(_: str) -> bytes:
        return b'{\n"id":1}'

    with pytest.raises(ValueError, match="one line"):
        await bench.job(fetch=fetch).run()
    assert bench.output.read_bytes() == b""


def test_a_limit_below_one_is_refused(bench: Workbench) -> None:
    """No request at once is none at all."""
    with pytest.raises(ConfigurationError, match="at least 1"):
        ExportJob(Source(bench.input), bench.output, fetch=bench.api.fetch, limit=0)


async def test_a_dead_letter_file_is_an_input(bench: Workbench) -> None:
    """The dead letters of one export can be fed to another, by their column id."""
    ids = new_ids(3)
    bench.write([*ids, "none"])
    bench.api.errors = {i: missing(i) for i in ids[1:]}
    await bench.finish()
    bench.api.errors.clear()
    other = ExportJob(
        Source(bench.dead_letters, column="id"),
        bench.folder / "second.jsonl",
        fetch=bench.api.fetch,
    )
    summary = await other.run()
    assert (summary.exported, summary.counts.invalid) == (2, 1)
    lines = (bench.folder / "second.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in lines} == set(ids[1:])

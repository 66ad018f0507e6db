"""The summary: it adds up, says what to do next, and is the same for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve
from test_cli_progress import CALM, START

from siteassist_async.cli.status import Status
from siteassist_async.cli.summary import Result, closing, code_of, size, summary_record, table
from siteassist_async.errors import (
    AuthenticationError,
    ConnectionFailedError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    SiteAssistError,
)
from siteassist_async.export import Counts, Ending, OutputError, Progress, Summary

ONCE = ("--retry-failed", "--restart", "--rebuild-state")
COMMAND = ("siteassist", "export", "my ids.txt", "-o", "out.jsonl")
SUMMARY = Summary(
    ending=Ending.FINISHED,
    progress=Progress(
        Counts(exported=1000, failed=1, retryable=1, duplicates=1, invalid=1),
        already_there=100,
        bytes_written=5_400_000,
        elapsed=6.0,
    ),
    output=Path("out.jsonl"),
    dead_letters=Path("out.failed.jsonl"),
)
LAST = Status(
    progress=evolve(START, counts=Counts(exported=7), already_there=3, elapsed=0.5),
    pace=evolve(CALM, ceiling=198.3, throttled=31, waited=2.125),
    retries=44,
)
RESULT = Result(SUMMARY, LAST, requests=946)
ALL = evolve(
    SUMMARY,
    progress=evolve(SUMMARY.progress, counts=Counts(exported=1000, duplicates=1)),
)
DONE = Result(ALL, LAST, requests=946)
CUT = Result(None, LAST, requests=9)


def ended(ending: Ending, error: SiteAssistError | None = None) -> Result:
    """A run that ended so."""
    return evolve(DONE, summary=evolve(ALL, ending=ending, error=error))


def test_table_of_a_list_that_was_rewritten() -> None:
    """What was fetched again is among the exported, what was not is there."""
    counts = Counts(exported=1000, unchanged=940, before=950, updated=30, invalid=1)
    progress = evolve(SUMMARY.progress, counts=counts, already_there=950, updated=30)
    assert table(Result(evolve(SUMMARY, progress=progress), LAST, requests=50)).startswith(
        "  IDs                   991  of 1,000\n"
        "  exported               50  5.4 MB\n"
        "  updated                30  of the exported, which had changed\n"
        "  already there         940  unchanged\n"
    )


def test_table_adds_up() -> None:
    """All that was asked is in one of the rows, and what it cost in the others."""
    assert table(RESULT) == (
        "  IDs                 1,003\n"
        "  exported              900  5.4 MB\n"
        "  already there         100  from earlier runs\n"
        "  failed                  1  1 retryable\n"
        "  invalid                 1  not a UUID\n"
        "  duplicates              1\n"
        "  requests              946  31 throttled, 44 retried\n"
        "  time                6.0 s  150 per second\n"
        "  waited              2.1 s  as requested by the API\n"
        "  rate limit          198/s  estimated"
    )


def test_table_without_trouble() -> None:
    """What did not happen needs no words."""
    summary = evolve(ALL, progress=evolve(ALL.progress, elapsed=0.0))
    shown = table(Result(summary, evolve(LAST, pace=CALM, retries=0), requests=900))
    assert "retryable" not in shown
    assert "not a UUID" not in shown
    assert "per second" not in shown
    assert "requested" not in shown


def test_table_of_a_run_that_was_cut() -> None:
    """A run that was ended at once tells what it knew last."""
    shown = table(CUT)
    assert "  IDs                     7  of 1,000\n" in shown
    assert "  time                0.5 s  8 per second\n" in shown


def test_done() -> None:
    """Where everything is in the file there is nothing more to do."""
    assert closing(DONE, COMMAND) == "Done: every conversation is in out.jsonl"
    assert code_of(DONE) == 0


@pytest.mark.parametrize(
    "extra", [(), *((name,) for name in ONCE), ("--refresh=open",), ("--refresh", "open")]
)
def test_some_failed(extra: tuple[str, ...]) -> None:
    """The command that asks for the lost ones again is there to be copied."""
    said = closing(RESULT, (*COMMAND, *extra))
    assert "Failed: 2, each with its reason in out.failed.jsonl" in said
    assert said.endswith("To retry: siteassist export 'my ids.txt' -o out.jsonl --retry-failed")
    assert code_of(RESULT) == 1


@pytest.mark.parametrize("failed", [0, 1])
def test_what_can_never_be_had(failed: int) -> None:
    """What is no id, and a conversation that is not there, is not to be asked for again."""
    for_ever = evolve(
        RESULT,
        summary=evolve(
            SUMMARY,
            progress=evolve(SUMMARY.progress, counts=Counts(failed=failed, invalid=1)),
        ),
    )
    assert f"Failed: {1 + failed}, " in closing(for_ever, COMMAND)
    assert "--retry-failed" not in closing(for_ever, COMMAND)
    assert code_of(for_ever) == 1


def test_stopped() -> None:
    """A run that was stopped is to be run again."""
    for result in (ended(Ending.STOPPED), ended(Ending.LIMITED), CUT):
        assert "Run the same command again" in closing(result, COMMAND)
        assert code_of(result) == 3


def test_unreachable() -> None:
    """A server that is not there is told with the last error."""
    result = ended(Ending.UNREACHABLE, ConnectionFailedError("refused"))
    said = closing(result, COMMAND)
    assert "refused" in said
    assert "Run the same command again later" in said
    assert code_of(result) == 3


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (AuthenticationError("who?"), "Check the token"),
        (PaymentRequiredError("pay"), "change the plan"),
        (PermissionDeniedError("no"), "Use a token that may read"),
        (NotFoundError("<h1>Not here</h1>"), "Check the base URL"),
        (SiteAssistError("odd"), "Fix the cause above"),
    ],
)
def test_blocked(error: SiteAssistError, advice: str) -> None:
    """Where a person must act, what to do is said."""
    result = ended(Ending.BLOCKED, error)
    said = closing(result, COMMAND)
    assert str(error) in said
    assert advice in said
    assert "run the same command again" in said
    assert code_of(result) == 4


def test_names_cannot_steer_a_terminal() -> None:
    """File names are shown escaped."""
    odd = evolve(SUMMARY, output=Path("\x1b[2J.jsonl"), dead_letters=Path("\udcff.jsonl"))
    said = closing(evolve(RESULT, summary=odd), (*COMMAND, "\x1b[2J"))
    assert "\x1b" not in said
    assert r"\x1b[2J.jsonl" in said
    assert r"\udcff.jsonl" in said


def test_record() -> None:
    """A program is told every number."""
    assert json.loads(json.dumps(summary_record(RESULT), allow_nan=False)) == {
        "event": "summary",
        "ending": "finished",
        "exit_code": 1,
        "asked": 1003,
        "exported": 900,
        "already_there": 100,
        "updated": 0,
        "unchanged": 0,
        "failed": 1,
        "retryable": 1,
        "duplicates": 1,
        "invalid": 1,
        "bytes_written": 5_400_000,
        "elapsed": 6.0,
        "requests": 946,
        "retries": 44,
        "refused": 31,
        "waited": 2.125,
        "learned_limit": 198.3,
        "output": "out.jsonl",
        "dead_letters": "out.failed.jsonl",
        "error": None,
    }


def test_record_of_a_run_that_broke_off() -> None:
    """A full disk is told with its error and its exit code, and with what was done until then."""
    full = OutputError("cannot be written: No space left on device", path="out.jsonl")
    record = summary_record(evolve(CUT, error=full))
    assert (record["exit_code"], record["asked"]) == (4, 7)
    assert record["error"] == {"type": "OutputError", "message": str(full)}


def test_record_of_other_endings() -> None:
    """No dead letters are no file; an error has its class; a run that was cut knows less."""
    blocked = summary_record(ended(Ending.BLOCKED, AuthenticationError("who?")))
    assert (blocked["ending"], blocked["exit_code"]) == ("blocked", 4)
    assert blocked["dead_letters"] is None
    assert blocked["error"] == {"type": "AuthenticationError", "message": "401: who?"}
    cut = summary_record(CUT)
    assert (cut["ending"], cut["exit_code"], cut["asked"]) == ("stopped", 3, 7)
    assert (cut["output"], cut["retryable"]) == (None, None)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_600, "1 MB"),
        (12_345_678, "12.3 MB"),
        (4.2e9, "4.2 GB"),
        (1.5e12, "1.5 TB"),
    ],
)
def test_size(count: float, shown: str) -> None:
    """Bytes are written in the unit that suits them."""
    assert size(count) == shown

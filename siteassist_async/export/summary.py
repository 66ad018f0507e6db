"""What an export has done, for people, for machines and as an exit code."""

from __future__ import annotations

from enum import Enum, IntEnum
from pathlib import Path

from attrs import frozen

from siteassist_async.errors import ConfigurationError, SiteAssistError
from siteassist_async.export.errors import InputError, OutputExistsError, OutputInUseError


class Ending(Enum):
    """Why a run ended."""

    FINISHED = "finished"
    """Every id of the input has its outcome."""
    STOPPED = "stopped"
    """It was asked to stop; the next run goes on."""
    UNREACHABLE = "unreachable"
    """Nothing is answered any more: the server is gone or overloaded, or a quota is used up; the
    next run goes on."""
    BLOCKED = "blocked"
    """A person must act: 401, 402, 403 or a foreign 404 on all, an untrusted certificate."""


@frozen
class Summary:
    """What an export holds at the end of a run.

    asked = exported + already_there + failed + duplicates + invalid, where all but `exported`
    and `already_there` count over all runs of this export.

    Attributes:
        ending: Why the run ended.
        asked: Ids of the input that have their outcome, each occurrence counted.
        exported: Records that this run wrote.
        already_there: Records that earlier runs wrote.
        failed: Ids in the dead letters, invalid ones apart.
        retryable: Those of the failed that may well succeed another time.
        duplicates: Occurrences of an id beyond its first.
        invalid: Ids that are no UUID; they are in the dead letters too.
        bytes_written: Bytes of the records that this run wrote.
        elapsed: Seconds that this run took.
        output: The records, one JSON text a line.
        dead_letters: The ids that could not be had, one JSON text a line; no such file is there
            if there are none.
        error: What ended the run, if it is unreachable or blocked.
    """

    ending: Ending
    asked: int
    exported: int
    already_there: int
    failed: int
    retryable: int
    duplicates: int
    invalid: int
    bytes_written: int
    elapsed: float
    output: Path
    dead_letters: Path
    error: SiteAssistError | None = None


@frozen
class Progress:
    """Where a running export is; the counts are those of `Summary`.

    Attributes:
        total: Ids in the input, estimated from its size until it is read; None before it is open.
        outage: Seconds for which nothing has been answered, while the run waits for that; else 0.
        outage_error: Why the last request had no answer then.
    """

    asked: int
    exported: int
    already_there: int
    failed: int
    duplicates: int
    invalid: int
    in_flight: int
    total: int | None
    bytes_written: int
    elapsed: float
    outage: float = 0.0
    outage_error: SiteAssistError | None = None


class ExitCode(IntEnum):
    """What a scheduler is told."""

    DONE = 0
    """Everything that was asked for is in the file."""
    SOME_FAILED = 1
    """Finished; some ids are in the dead letters."""
    WRONG_USAGE = 2
    """The options or the input are wrong."""
    RUN_AGAIN = 3
    """Stopped; run the same command again."""
    ACT = 4
    """Stopped; a person must act."""


def exit_code(outcome: Summary | SiteAssistError) -> ExitCode:
    """Say what came of an export: of the summary it returned or the error it raised."""
    if isinstance(outcome, SiteAssistError):
        if isinstance(outcome, InputError | OutputExistsError | ConfigurationError):
            return ExitCode.WRONG_USAGE
        return ExitCode.RUN_AGAIN if isinstance(outcome, OutputInUseError) else ExitCode.ACT
    if outcome.ending is Ending.BLOCKED:
        return ExitCode.ACT
    if outcome.ending is not Ending.FINISHED:
        return ExitCode.RUN_AGAIN
    return ExitCode.SOME_FAILED if outcome.failed or outcome.invalid else ExitCode.DONE

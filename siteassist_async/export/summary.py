"""The summary of an export: counts, progress, how a run ended, and its exit code."""

from __future__ import annotations

from enum import Enum, IntEnum
from pathlib import Path

from attrs import frozen

from siteassist_async.errors import ConfigurationError, SiteAssistError
from siteassist_async.export.checkpoint import Counts
from siteassist_async.export.errors import InputError, OutputExistsError, OutputInUseError


class Ending(Enum):
    """Why a run ended."""

    FINISHED = "finished"
    """Every ID of the input is exported or failed."""
    STOPPED = "stopped"
    """It was asked to stop; the next run resumes."""
    LIMITED = "limited"
    """It fetched as many as it was to fetch; the next run goes on."""
    UNREACHABLE = "unreachable"
    """No usable responses: the server is down or overloaded, or a quota is used up; the next run
    resumes."""
    BLOCKED = "blocked"
    """A person must act: a 401, 402 or 403, a 404 of another server, an untrusted certificate."""


@frozen
class Progress:
    """How far an export is.

    asked = exported + already_there + counts.failed + counts.duplicates + counts.invalid, as long
    as the input only grows. Once it was rewritten, `counts.unchanged` takes the place of what is
    already there.

    Attributes:
        counts: The outcomes of all runs of this export.
        already_there: Records that earlier runs wrote.
        updated: Of the records that this run wrote, those of an ID that had an older one.
        in_flight: IDs that were read and have no outcome yet.
        total: IDs in the input, estimated from its size until it is read; None before it is open.
        listed: IDs that a listing, or another iterable, has given so far; None for files.
        bytes_written: Bytes of the records that this run wrote.
        elapsed: Seconds that this run has taken.
        outage: Seconds without a usable response, while the run waits for the end of an outage.
        outage_error: The last error of that outage.
    """

    counts: Counts
    already_there: int
    updated: int = 0
    in_flight: int = 0
    total: int | None = None
    listed: int | None = None
    bytes_written: int = 0
    elapsed: float = 0.0
    outage: float = 0.0
    outage_error: SiteAssistError | None = None

    @property
    def asked(self) -> int:
        """IDs of the input that have their outcome, each occurrence counted."""
        counts = self.counts
        written = counts.exported + counts.failed - counts.before
        skipped = counts.duplicates + counts.unchanged + counts.settled
        return max(0, written + skipped + counts.invalid)

    @property
    def exported(self) -> int:
        """Records that this run wrote."""
        return self.counts.exported - self.already_there


@frozen
class Summary:
    """The result of a run.

    Attributes:
        ending: Why the run ended.
        progress: How far the export is.
        output: The records, one JSON document per line.
        dead_letters: The IDs that failed, one JSON document per line; the file does not exist if
            there are none.
        error: What ended the run, if it is unreachable or blocked.
    """

    ending: Ending
    progress: Progress
    output: Path
    dead_letters: Path
    error: SiteAssistError | None = None

    @property
    def counts(self) -> Counts:
        """The outcomes of all runs of this export."""
        return self.progress.counts

    @property
    def exported(self) -> int:
        """Records that this run has written."""
        return self.progress.exported

    @property
    def failed(self) -> int:
        """IDs that are in the dead letters."""
        return self.counts.failed

    @property
    def retryable(self) -> int:
        """Of these, those that `retry_failed` may export."""
        return self.counts.retryable


class ExitCode(IntEnum):
    """The exit code of an export, for schedulers."""

    DONE = 0
    """Every conversation is in the output."""
    SOME_FAILED = 1
    """Finished; some IDs are in the dead letters."""
    WRONG_USAGE = 2
    """The options or the input are wrong."""
    RUN_AGAIN = 3
    """Stopped; run the same command again."""
    ACT = 4
    """Stopped; a person must act."""


def exit_code(outcome: Summary | SiteAssistError) -> ExitCode:
    """Return the exit code for a summary, or for the error that an export raised."""
    if isinstance(outcome, SiteAssistError):
        if isinstance(outcome, InputError | OutputExistsError | ConfigurationError):
            return ExitCode.WRONG_USAGE
        return ExitCode.RUN_AGAIN if isinstance(outcome, OutputInUseError) else ExitCode.ACT
    if outcome.ending is Ending.BLOCKED:
        return ExitCode.ACT
    if outcome.ending is not Ending.FINISHED:
        return ExitCode.RUN_AGAIN
    counts = outcome.counts
    return ExitCode.SOME_FAILED if counts.failed or counts.invalid else ExitCode.DONE

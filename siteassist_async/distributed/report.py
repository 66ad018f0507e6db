"""The report of a distributed export: what is in its partitions, and the exit code."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from siteassist_async.errors import SiteAssistError, printable
from siteassist_async.export import Counts, Ending, ExitCode, Progress, exit_code

_WORST_FIRST = (ExitCode.ACT, ExitCode.RUN_AGAIN, ExitCode.SOME_FAILED)


class PartitionLostError(SiteAssistError):
    """A partition did not run to an end: its workers died, or the scheduler is gone."""


@frozen
class Partition:
    """A partition after a run.

    Attributes:
        project: The name of its project.
        number: Its number, from 0.
        output: The records; a URL if they are in an object store.
        dead_letters: The IDs that failed; the file does not exist if there are none.
        counts: The outcomes of all runs, as far as they are known.
        ending: How its run ended; None if it did not run to an end.
        error: What ended it, or kept it from running; a bug if it is no `SiteAssistError`.
    """

    project: str
    number: int
    output: Path | str
    dead_letters: Path | str
    counts: Counts
    ending: Ending | None = None
    error: Exception | None = None

    @property
    def exit_code(self) -> ExitCode:
        """As that of an export of this partition alone."""
        if self.ending is None and not isinstance(self.error, PartitionLostError):
            # What is wrong on a worker is not what the user typed: no WRONG_USAGE.
            code = exit_code(self.error) if isinstance(self.error, SiteAssistError) else None
            return ExitCode.RUN_AGAIN if code is ExitCode.RUN_AGAIN else ExitCode.ACT
        if self.ending is Ending.BLOCKED:
            return ExitCode.ACT
        if self.ending is not Ending.FINISHED:
            return ExitCode.RUN_AGAIN
        lost = self.counts.failed or self.counts.invalid
        return ExitCode.SOME_FAILED if lost else ExitCode.DONE


@frozen
class Report:
    """The result of a distributed export.

    Attributes:
        output: The folder, or its URL.
        progress: The sums over all partitions of all projects.
        partitions: All of them.
    """

    output: Path | str
    progress: Progress
    partitions: tuple[Partition, ...]

    @property
    def ending(self) -> Ending:
        """Why the run ended: FINISHED only if each partition is."""
        endings = {partition.ending for partition in self.unfinished}
        for ending in (Ending.BLOCKED, Ending.UNREACHABLE):
            if ending in endings:
                return ending
        return Ending.STOPPED if endings else Ending.FINISHED

    @property
    def error(self) -> SiteAssistError | None:
        """What blocked the run, or why the API is unreachable."""
        errors = (p.error for p in self.unfinished if p.ending is self.ending)
        return next((error for error in errors if isinstance(error, SiteAssistError)), None)

    @property
    def unfinished(self) -> tuple[Partition, ...]:
        """The partitions of which some IDs have no outcome yet; run the export again."""
        return tuple(p for p in self.partitions if p.ending is not Ending.FINISHED)

    @property
    def errors(self) -> dict[str, tuple[Partition, ...]]:
        """What ended partitions, and which; those without an error were not begun or stopped."""
        found: dict[str, tuple[Partition, ...]] = {}
        for partition in self.unfinished:
            if partition.error is not None:
                text = str(partition.error)
                if not isinstance(partition.error, SiteAssistError):
                    text = printable(f"{type(partition.error).__name__}: {text}", 500)
                found[text] = (*found.get(text, ()), partition)
        return found

    @property
    def exit_code(self) -> ExitCode:
        """As that of an export: the worst of the partitions."""
        codes = {partition.exit_code for partition in self.partitions}
        return next((code for code in _WORST_FIRST if code in codes), ExitCode.DONE)

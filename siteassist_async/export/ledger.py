"""The ledger of an export: each ID that was claimed, and its outcome in one of two logs."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

from attrs import define, evolve

from siteassist_async.export.checkpoint import (
    Checkpoint,
    Counts,
    Cursor,
    Extent,
    WholeList,
    boot_id,
)
from siteassist_async.export.dead_letters import DeadLetter, encode
from siteassist_async.export.id_list import WorkQueue
from siteassist_async.export.log import Log
from siteassist_async.export.store import Store
from siteassist_async.pacing.rate import LearnedRate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siteassist_async.errors import SiteAssistError
    from siteassist_async.export.id_list import Entry, IdList


class RestorablePacer(Protocol):
    """A pacer whose learned rate can be saved, and restored by the next run."""

    def learned(self) -> LearnedRate | None:
        """Return what was learned; None if nothing was yet."""
        ...

    def restore(self, learned: LearnedRate) -> None:
        """Start from what an earlier run learned."""
        ...


@define
class Ledger:
    """An export that is open.

    An outcome is written and counted without awaiting in between. So is a checkpoint, which
    therefore never sees one without the other.

    Attributes:
        counts: The outcomes of all runs.
        input: The IDs of the input.
        retry: The failed IDs that are retried; None if there are none.
        retry_list: The list of those.
        identity: The input file's identity; None for a pipe.
        staged: The file status of the plain list that was staged from the input, if one was.
        records: The conversations.
        letters: The dead letters.
        learned: What the pacer had learned when the last run ended.
        last_answered: The last ID that was exported.
        rounds: As in the checkpoint.
        indexed: As in the checkpoint.
    """

    counts: Counts
    input: WorkQueue
    retry: WorkQueue | None
    retry_list: WholeList | None
    identity: str | None
    staged: str
    records: Log
    letters: Log
    store: Store
    pacer: RestorablePacer | None
    learned: LearnedRate | None
    last_answered: str | None
    rounds: int
    indexed: Extent

    @classmethod
    def of(cls, known: Checkpoint, ids: IdList, store: Store, records: Log, letters: Log) -> Ledger:
        """Open a ledger at a checkpoint, without a retry queue and a pacer."""
        return cls(
            counts=known.counts,
            input=WorkQueue(
                ids, known.cursor, known.prefix, store, store if known.rounds else None
            ),
            retry=None,
            retry_list=known.retry_list,
            identity=known.identity,
            staged=known.staged,
            records=records,
            letters=letters,
            store=store,
            pacer=None,
            learned=known.learned,
            last_answered=known.last_answered,
            rounds=known.rounds,
            indexed=known.indexed,
        )

    @property
    def queue(self) -> WorkQueue:
        """The queue that is processed now: first the retried IDs, then the input."""
        return self.retry or self.input

    def claim(self, entry: Entry) -> None:
        """Note that an entry is in flight."""
        self.queue.claim(entry)
        self.counts.claimed += 1

    def record_duplicate(self, entry: Entry) -> None:
        """Complete an entry as a duplicate."""
        self.queue.complete(entry)
        self.counts.duplicates += 1

    def record_settled(self, entry: Entry) -> None:
        """Complete an entry that need not be fetched."""
        self.queue.complete(entry)
        if entry.record is not None:
            self.counts.unchanged += 1
        else:
            self.counts.settled += 1

    def record_success(self, records: Sequence[tuple[Entry, bytes]]) -> None:
        """Write the records of entries, except for those that are there, and complete these."""
        lines: list[bytes] = []
        new: list[Entry] = []
        for entry, record in records:
            if entry.record is not None and entry.record.crc == zlib.crc32(record):
                self.queue.complete(entry)
                self.counts.unchanged += 1
            else:
                lines.append(record)
                new.append(entry)
        self.records.append(lines)
        for entry in new:
            self.adopt_record(entry)

    def record_failure(self, entry: Entry, error: SiteAssistError) -> None:
        """Write a dead letter for an entry, and complete it."""
        letter = DeadLetter.of(entry, error)
        self.letters.append([encode(letter)])
        self.adopt_letter(entry, retryable=letter.retryable)

    def adopt_record(self, entry: Entry) -> None:
        """Complete an entry whose record is already written."""
        self.queue.complete(entry)
        self.counts.exported += 1
        self.counts.updated += entry.record is not None
        self.last_answered = entry.id

    def adopt_letter(self, entry: Entry, *, retryable: bool) -> None:
        """Complete an entry whose dead letter is already written."""
        self.queue.complete(entry)
        if entry.id:
            self.counts.failed += 1
            self.counts.retryable += retryable
        else:
            self.counts.invalid += 1

    def in_flight(self) -> int:
        """Count the entries that were claimed and have no outcome."""
        again = len(self.retry.cursor.open) if self.retry else 0
        return len(self.input.cursor.open) + again

    def remaining(self) -> int:
        """Estimate how many IDs were not claimed."""
        again = self.retry.remaining() if self.retry else 0
        return self.input.remaining() + again

    def snapshot(self, *, clean: bool = False, finished: bool = False) -> Checkpoint:
        """Return a checkpoint of this moment; it may be committed once the logs are synced.

        `clean` says that the run ends here, and `finished` that it has nothing left to do.

        Raises:
            OutputChangedError: Someone else wrote to a log, or moved it.
        """
        self.records.roll(last=clean)
        return Checkpoint(
            counts=evolve(self.counts),
            cursor=_copy(self.input.cursor),
            prefix=self.input.prefix(),
            identity=self.identity,
            staged=self.staged,
            retry=_copy(self.retry.cursor) if self.retry else None,
            retry_list=self.retry_list if self.retry else None,
            records=self.records.mark(),
            letters=self.letters.mark(),
            boot=boot_id(),
            learned=(self.pacer.learned() if self.pacer else None) or self.learned,
            last_answered=self.last_answered,
            clean=clean,
            finished=finished,
            rounds=self.rounds,
            indexed=self.indexed,
        )

    def sync(self) -> None:
        """Make the logs durable."""
        self.records.sync()
        self.letters.sync()

    def commit(self, checkpoint: Checkpoint) -> None:
        """Let the next run resume from a checkpoint; nothing may read the input meanwhile."""
        last = checkpoint.clean
        sealed = evolve(
            checkpoint,
            records=self.records.seal(checkpoint.records, last=last),
            letters=self.letters.seal(checkpoint.letters, last=last),
        )
        self.store.commit(sealed)
        self.records.committed()

    def close_letters(self) -> None:
        """Close the current dead letters, which a retry may have replaced."""
        self.letters.close()

    def finish_retry(self) -> None:
        """Go on with the input: all retried IDs have their outcome."""
        if self.retry is not None:
            self.retry.ids.close()
            self.retry = None


def _copy(cursor: Cursor) -> Cursor:
    return evolve(cursor, open=dict(cursor.open))

"""What a run wrote after its last checkpoint: adopted where it is whole, else cut or set aside."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.export.checkpoint import boot_id
from siteassist_async.export.dead_letters import DeadLetter
from siteassist_async.export.lines import read_letter, record_id
from siteassist_async.export.store import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from siteassist_async.export.checkpoint import Checkpoint
    from siteassist_async.export.id_list import Block, Entry, WorkQueue
    from siteassist_async.export.ledger import Ledger
    from siteassist_async.export.log import Log


def recover(ledger: Ledger, checkpoint: Checkpoint) -> None:
    """Give the lines after the checkpoint their places in the input, before any new work.

    A line is adopted if it and all before it are whole and answer to entries that were not
    settled. A torn line after them is cut, and anything else is set aside: whoever wrote it may
    need it. After the machine itself failed nothing is adopted: there even a line that looks
    whole may not be what was written.

    Raises:
        OutputChangedError: The run had ended in order, so someone else wrote the lines.
    """
    if checkpoint.clean:
        ledger.records.refuse_growth()
        ledger.letters.refuse_growth()
        return
    if checkpoint.boot == boot_id():
        written = list(_answers(ledger.records, record_id))
        buried = list(_answers(ledger.letters, read_letter))
        pending = _Pending(ledger.queue)
        open_keys = _locate(pending, {answer.key for answer in (*written, *buried)})
        kept = [
            *_keep(written, open_keys, ledger.records),
            *_keep(buried, open_keys, ledger.letters),
        ]
        _adopt(ledger, pending, {answer.key: answer for answer in kept})
    ledger.records.drop_rest()
    ledger.letters.drop_rest()


@frozen
class _Answer:
    """A whole line of a log, and with a dead letter what it says."""

    key: Key
    end: int
    letter: DeadLetter | None


def _answers(log: Log, read: Callable[[bytes], Key | DeadLetter | None]) -> Iterator[_Answer]:
    """Read on from the checkpoint to the first line that this package cannot have written."""
    for line, end in log.lines(log.offset):
        found = read(line)
        if found is None:
            return
        if isinstance(found, DeadLetter):
            yield _Answer(found.key, end, found)
        else:
            yield _Answer(found, end, None)


HELD = 64
"""Blocks that are not read twice: some 28,000 ids, more than come between two checkpoints."""


class _Pending:
    """The entries of a queue without an outcome, in the order of the input, once and once more."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self._held: list[Block] = []

    def look(self) -> Iterator[Entry]:
        """Read them; nothing is taken meanwhile."""
        yield from self._queue.open_entries()
        for block in self._queue.ahead():
            if len(self._held) < HELD:
                self._held.append(block)
            yield from block.entries

    def take(self) -> Iterator[Entry]:
        """Give them again, each to be taken before the next."""
        yield from self._queue.open_entries()
        for block in self._held:
            self._queue.enter(block)
            yield from block.entries
            self._queue.finish(block)
        yield from chain.from_iterable(map(attrgetter("entries"), self._queue.blocks()))


def _locate(pending: _Pending, keys: set[Key]) -> set[Key]:
    """Find which keys belong to entries without an outcome; reads no further than to the last."""
    found: set[Key] = set()
    for entry in pending.look():
        if len(found) == len(keys):
            break
        if entry.key in keys and not entry.duplicate:
            found.add(entry.key)
    return found


def _keep(answers: Iterable[_Answer], open_keys: set[Key], log: Log) -> Iterator[_Answer]:
    """Yield the answers up to the first that answers to nothing; the log is adopted up to there."""
    end = log.offset
    for answer in answers:
        if answer.key not in open_keys:
            break
        open_keys.remove(answer.key)
        end = answer.end
        yield answer
    log.adopt(end)


def _adopt(ledger: Ledger, pending: _Pending, answers: dict[Key, _Answer]) -> None:
    for entry in pending.take() if answers else ():
        if entry.position not in ledger.queue.cursor.open:
            ledger.claim(entry)
        if entry.duplicate:
            ledger.record_duplicate(entry)
        elif answer := answers.pop(entry.key, None):
            _settle(ledger, entry, answer)
            if not answers:
                return


def _settle(ledger: Ledger, entry: Entry, answer: _Answer) -> None:
    if answer.letter is None:
        ledger.adopt_record(entry)
    else:
        ledger.adopt_letter(entry, retryable=answer.letter.retryable)

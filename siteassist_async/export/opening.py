"""Everything that comes before the first request: check, claim, recover."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.export.checkpoint import Checkpoint, boot_id
from siteassist_async.export.disk import sync_folder, writing
from siteassist_async.export.feed import Feed
from siteassist_async.export.id_list import IdList, reading
from siteassist_async.export.layout import Layout
from siteassist_async.export.ledger import Learner, Ledger
from siteassist_async.export.lock import locked
from siteassist_async.export.log import Log
from siteassist_async.export.recovery import recover
from siteassist_async.export.refeed import refeed, replace_letters, retry_feed
from siteassist_async.export.source import OpenSource, Source
from siteassist_async.export.spool import Spool, StoppedError
from siteassist_async.export.store import Store

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@frozen
class Opening:
    """Opens the ledger of an export, new or to go on with.

    Nothing is written to the outputs before all is checked: that the input can be read and goes
    on where it was, that the outputs are as they were left, and that no other run is at them.

    Args:
        restart: Discard what earlier runs wrote.
        retry_failed: Ask again for the ids in the dead letters.
        stopped: Whether the run was stopped; asked while the input is spooled.
    """

    source: Source
    layout: Layout
    restart: bool
    retry_failed: bool
    pacer: Learner | None
    stopped: Callable[[], bool]

    @contextmanager
    def ledger(self) -> Generator[Ledger]:
        """Open the ledger; leaving the context closes it, without a checkpoint.

        Raises:
            InputError: The ids cannot be read, or are others than before.
            OutputError: A file cannot be written, is in use, or was changed by someone.
            StoppedError: The run was stopped.
        """
        with ExitStack() as stack:
            source = stack.enter_context(self.source.open())
            if source.identity is not None:
                source.inspect(source.file)
            with writing(self.layout.folder):
                known = self.layout.checkpoint.exists()
            self.layout.refuse_strangers(known=known)
            self.layout.make_folder()
            stack.enter_context(locked(self.layout))
            yield self._open(stack, source)

    def _open(self, stack: ExitStack, source: OpenSource) -> Ledger:
        spool = Spool(source, self.layout, self.stopped)
        plain = self._discard(spool) if self.restart else None
        store = stack.enter_context(closing(Store(self.layout.checkpoint)))
        known = self._known(store)
        unchanged = source.identity is not None and source.identity == known.identity
        if not self.restart:
            plain = _spooled(spool, known, unchanged=unchanged)
        ids = IdList(_open_list(source, plain), source.name)
        stack.callback(ids.close)
        if not unchanged:
            ids.verify(known.prefix)
        spool.accept()
        ledger = self._ledger(stack, store, known, ids, source.identity)
        self._go_on(ledger, known)
        return ledger

    def _discard(self, spool: Spool) -> Path | None:
        """Begin anew; the input is brought in first, for it may turn out to be none."""
        plain = spool.make(unchanged=False)
        self.layout.discard()
        return plain

    def _known(self, store: Store) -> Checkpoint:
        known = store.load()
        self.layout.refuse_strangers(known=known is not None)
        return known or Checkpoint()

    def _ledger(
        self,
        stack: ExitStack,
        store: Store,
        known: Checkpoint,
        ids: IdList,
        identity: str | None,
    ) -> Ledger:
        if known.replace_letters:
            replace_letters(self.layout)
        records = stack.enter_context(closing(Log(self.layout.output, known.records)))
        ledger = Ledger(
            counts=known.counts,
            input=Feed(ids, known.cursor, known.prefix, store),
            retry=None,
            identity=identity,
            records=records,
            letters=Log(self.layout.dead_letters, known.letters),
            store=store,
            pacer=self.pacer,
            learned=known.learned,
            last_answered=known.last_answered,
        )
        stack.callback(ledger.close_letters)
        stack.callback(ledger.finish_retry)
        if known.retry is not None:
            ledger.retry = retry_feed(self.layout, known.retry)
        return ledger

    def _go_on(self, ledger: Ledger, known: Checkpoint) -> None:
        recover(ledger, known)
        if not (ledger.records.offset and ledger.letters.offset):  # they may be new
            sync_folder(self.layout.output.parent)
        # After a kill the last checkpoint still holds, and the next is due within a second.
        was_killed = known.boot and known.boot == boot_id() and not known.clean
        if self.retry_failed or not was_killed:
            ledger.sync()
            ledger.commit(ledger.snapshot())
        if not known.boot:  # the first checkpoint of all, in a new file
            sync_folder(self.layout.folder)
        if self.retry_failed:
            refeed(ledger, self.layout)


def _spooled(spool: Spool, known: Checkpoint, *, unchanged: bool) -> Path | None:
    try:
        return spool.make(unchanged=unchanged)
    except StoppedError as stopped:
        stopped.counts = known.counts
        raise


def _open_list(source: OpenSource, plain: Path | None) -> int:
    if plain is None:
        return os.dup(source.file)
    with reading(str(plain)):
        return os.open(plain, os.O_RDONLY)

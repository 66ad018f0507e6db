"""Placing the partitions of an export on the workers of a cluster, and adding up what they do."""

from __future__ import annotations

from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from itertools import chain, zip_longest
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
from attrs import define, field, fields_dict, frozen
from distributed import Client, KilledWorker

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.distributed.folder import (
    A_WORKER,
    LEAST,
    MOST,
    Folder,
    Part,
    opened,
    split,
)
from siteassist_async.distributed.local import local_cluster
from siteassist_async.distributed.partition import (
    TOPIC,
    Clients,
    News,
    Outcome,
    Task,
    run_partition,
)
from siteassist_async.distributed.project import Project
from siteassist_async.distributed.report import Partition, PartitionLostError, Report
from siteassist_async.distributed.store import Store, place_of
from siteassist_async.errors import ConfigurationError, printable
from siteassist_async.export import Counts, Ending, Progress
from siteassist_async.export.staging import StoppedError
from siteassist_async.outage import WAIT
from siteassist_async.pacing import PaceSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path


# Most of Dask is without types.
_Client: Any = Client

GRACE = 10.0
"""Seconds to wait for the end of jobs that were told to stop."""

_TICK = 0.1
_AT_ONCE = 16


def export(  # noqa: PLR0913 - the options of an export, each by its name
    projects: Project | Sequence[Project],
    output: Path | str,
    *,
    cluster: Client | str | None = None,
    partitions: int | None = None,
    retry_failed: bool = False,
    wait: float = WAIT,
    on_progress: Callable[[Progress], object] | None = None,
) -> Report:
    """Export on the workers of a Dask cluster, and return when it ends.

    Each partition of the IDs is an ordinary `ExportJob`, written to `part-00000.jsonl` and so on.
    Called again with the same arguments, it resumes, however it ended: of IDs that have their
    outcome none is requested again. Interrupting it (KeyboardInterrupt) stops the workers.

    Args:
        projects: What to export. Several need names, each of which is a folder below `output`.
        output: A folder that this process and all workers see by this path, on a POSIX file system
            with locks. They run as the same user. Or the URL of a folder in an object store, such
            as "s3://bucket/conversations", for which fsspec finds the credentials on each machine.
        cluster: The address of a scheduler, or its client; None for processes on this machine.
        partitions: Their number, which is fixed when the export begins; by default 32 a worker, and
            at least 64.
        retry_failed: Retry the UUIDs in the dead letters first.
        wait: Seconds that a partition waits during an outage, or for a lost worker that still
            writes its output, before it ends.
        on_progress: Called about ten times a second, with the sums over all partitions.

    Raises:
        ConfigurationError: The arguments cannot work, or nothing answers at the address.
        InputError: The IDs cannot be read, or are not those of the earlier runs.
        OutputInUseError: Another process exports to this folder.
        OutputError: The folder cannot be written.
    """
    run = Exporting(
        [projects] if isinstance(projects, Project) else projects,
        output,
        cluster=cluster,
        partitions=partitions,
        retry_failed=retry_failed,
        wait=wait,
    )
    if on_progress is None:
        return run.execute()
    return run.execute(lambda: on_progress(run.progress()))


@define
class Item:
    """A partition, while it is exported.

    Attributes:
        before: Records that were there when this run began; None until that is known.
        updated: As `Progress.updated`.
        written: Bytes that were written by earlier attempts in this run.
        cancelled: When it was cancelled.
    """

    key: str
    project: Project
    folder: Folder | Store
    number: int
    part: Part
    before: int | None = None
    counts: Counts = field(factory=Counts)
    updated: int = 0
    written: int = 0
    news: News | None = None
    future: Any = None  # of Dask
    cancelled: float | None = None
    ending: Ending | None = None
    error: Exception | None = None

    @property
    def is_running(self) -> bool:
        """Whether its worker has said that it begins, and not that it ends."""
        return self.news is not None and not self.news.ended

    def look(self) -> bool:
        """Read how its last run ended; returns whether there is nothing to do."""
        mark = self.folder.mark(self.number)
        if mark is None:
            return not self.part.size
        self.counts = mark.counts
        same = mark.list == self.part and mark.output == self.folder.size(self.number)
        return mark.finished and same

    def hear(self, news: News) -> None:
        """Note what its worker says."""
        last, self.news = self.news, news
        if last is not None and news.bytes_written < last.bytes_written:  # another attempt
            self.written += last.bytes_written
        self.measure(news)

    def measure(self, progress: News | Progress) -> None:
        """Note the counts, unless the job is not open, so that they are not known."""
        if progress.total is not None:
            self.counts, self.updated = progress.counts, progress.updated
            if self.before is None:
                self.before = progress.already_there

    def result(self) -> Partition:
        """Return what the report says of it."""
        return Partition(
            self.project.name,
            self.number,
            self.folder.output(self.number),
            self.folder.letters(self.number),
            self.counts,
            self.ending,
            self.error,
        )


@frozen
class _Pace:
    """What a pacer said first and last in this run."""

    first: News
    last: News


class Exporting:
    """One run of a distributed export; for its arguments see `export`."""

    def __init__(  # noqa: PLR0913 - the options of an export, each by its name
        self,
        projects: Sequence[Project],
        output: Path | str,
        *,
        cluster: Client | str | None = None,
        partitions: int | None = None,
        retry_failed: bool = False,
        wait: float = WAIT,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if partitions is not None and not 1 <= partitions <= MOST:
            raise ConfigurationError(f"partitions must be from 1 to {MOST:,}, not {partitions}")
        if isinstance(cluster, Client) and cluster.asynchronous:
            raise ConfigurationError("cluster must be a Client that is not asynchronous")
        names = {project.name for project in projects}
        if not projects or len(names) < len(projects) or ("" in names and len(names) > 1):
            raise ConfigurationError("each of several projects needs a name of its own")
        self._output = output
        self._projects = projects
        self._cluster = cluster
        self._partitions = partitions
        self._retry_failed = retry_failed
        self._wait = wait
        self._clock = clock
        self._started = clock.now()
        self._stopping = False
        self._id = f"siteassist-{uuid4().hex}"
        self._stack = ExitStack()
        self._client: Any = None
        self._items: dict[str, Item] = {}
        self._open: dict[str, Item] = {}
        self._inbox: SimpleQueue[Any] = SimpleQueue()  # futures of Dask, and news
        self._paces: dict[str, _Pace] = {}

    def stop(self) -> None:
        """Start no further requests; `execute` returns once those in flight are written."""
        self._stopping = True

    def execute(self, on_tick: Callable[[], object] = lambda: None) -> Report:
        """Run to the end; `on_tick` is called about ten times a second."""
        with self._stack:
            try:
                for project in self._projects:
                    self._add(project)
            except StoppedError:
                pass
            else:
                self._place()
                try:
                    while self._open:
                        self._listen()
                        on_tick()
                except BaseException:
                    self._cancel(self._open.values())
                    raise
            partitions = tuple(item.result() for item in self._items.values())
            output = place_of(self._output, "")
            whole = output.url if isinstance(output, Store) else output.path
            return Report(whole, self.progress(), partitions)

    def progress(self) -> Progress:
        """Return how far the export is, over all partitions."""
        items = self._items.values()
        counts = Counts(
            **{
                name: sum(getattr(item.counts, name) for item in items)
                for name in fields_dict(Counts)
            }
        )
        news = [item.news for item in items if item.news is not None]
        return Progress(
            counts=counts,
            already_there=sum(
                item.counts.exported if item.before is None else item.before for item in items
            ),
            updated=sum(item.updated for item in items),
            in_flight=sum(n.in_flight for n in news if not n.ended),
            total=sum(item.part.lines for item in items) if items else None,
            bytes_written=sum(i.written + (i.news.bytes_written if i.news else 0) for i in items),
            elapsed=self._clock.now() - self._started,
        )

    def pace(self) -> PaceSnapshot:
        """Return the sums over the pacers of all workers."""
        paces = self._paces.values()
        active = {i.news.pacer for i in self._open.values() if i.news and not i.news.ended}
        now = [self._paces[pacer].last for pacer in active]
        ceilings = [news.ceiling for news in now if news.ceiling is not None]
        return PaceSnapshot(
            ceiling=sum(ceilings) if ceilings else None,
            gate=min((news.gate for news in now), default=0.0),
            succeeded=sum(pace.last.succeeded - pace.first.succeeded for pace in paces),
            throttled=sum(pace.last.throttled - pace.first.throttled for pace in paces),
            waited=max((pace.last.waited - pace.first.waited for pace in paces), default=0.0),
        )

    def retries(self) -> int:
        """Return how many requests were repeated."""
        return sum(pace.last.retries - pace.first.retries for pace in self._paces.values())

    def _add(self, project: Project) -> None:
        folder = place_of(self._output, project.name)
        splitting = partial(
            split,
            project.source,
            partitions=self._partitions,
            usual=lambda: max(LEAST, A_WORKER * len(self._connect().nthreads())),
            stopped=lambda: self._stopping,
        )
        if isinstance(folder, Store):
            with folder.opened() as (local, state):
                manifest = splitting(folder=local, state=state)
        else:
            state = self._stack.enter_context(opened(folder))
            manifest = splitting(folder=folder, state=state)
        items = [
            Item(f"{self._id}-{len(self._items) + number}", project, folder, number, part)
            for number, part in enumerate(manifest.parts)
        ]
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # a store answers slowly
            done = list(pool.map(Item.look, items))
        for item, is_done in zip(items, done, strict=True):
            self._items[item.key] = item
            if is_done and not (self._retry_failed and item.counts.failed):
                item.ending = Ending.FINISHED

    def _connect(self) -> Any:  # noqa: ANN401 - a client of Dask
        """Connect to the cluster, or start one; what was not given is closed in the end."""
        if self._client is not None:
            return self._client
        if isinstance(self._cluster, Client):
            self._client = self._cluster
            return self._client
        address: Any = self._cluster
        if address is None:
            address = self._stack.enter_context(local_cluster())
        try:
            client = _Client(address, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"no Dask scheduler answers at {printable(str(self._cluster), 200)}: "
                f"{printable(str(error), 200)}"
            ) from error
        self._client = self._stack.enter_context(client)
        return self._client

    def _place(self) -> None:
        """Submit the partitions that are not finished; those of several projects take turns."""
        self._open = {i.key: i for i in self._items.values() if i.ending is None}
        if not self._open:
            return
        client = self._connect()
        client.register_plugin(Clients())
        workers = max(1, len(client.nthreads()))

        def hear(event: tuple[float, object]) -> None:
            # Called in Dask's thread; a client hears of the runs of all others.
            self._inbox.put(msgspec.convert(event[1], News))

        client.subscribe_topic(TOPIC, hear)
        self._stack.callback(client.unsubscribe_topic, TOPIC)
        queues = [
            [item for item in self._open.values() if item.project is project]
            for project in self._projects
        ]
        for item in filter(None, chain.from_iterable(zip_longest(*queues))):
            task = Task(
                item.key,
                item.folder,
                item.number,
                item.part,
                item.project.access(),
                retry_failed=self._retry_failed,
                wait=self._wait,
                workers=workers,
            )
            item.future = client.submit(run_partition, task, key=item.key, pure=False)
            item.future.add_done_callback(self._inbox.put)

    def _listen(self) -> None:
        """Wait for what happens next; then handle that and all else that has happened."""
        with suppress(Empty):
            message = self._inbox.get(timeout=_TICK)
            while True:
                if message.key in self._open:
                    self._handle(self._open[message.key], message)
                message = self._inbox.get_nowait()
        if self._stopping:
            self._cancel(self._open.values())
        for item in list(self._open.values()):
            if item.cancelled is not None:
                late = self._clock.now() - item.cancelled >= GRACE
                if late or not item.is_running:
                    self._close(item, Ending.FINISHED if item.look() else Ending.STOPPED)

    def _handle(self, item: Item, message: Any) -> None:  # noqa: ANN401 - a future of Dask, or news
        if isinstance(message, News):
            item.hear(message)
            pace = self._paces.get(message.pacer)
            self._paces[message.pacer] = _Pace(pace.first if pace else message, message)
        elif item.cancelled is None:
            try:
                outcome: Outcome = message.result()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is in the report
                item.error = error
                if isinstance(error, KilledWorker | CancelledError):
                    item.error = PartitionLostError(
                        f"{error.allowed_failures + 1} workers died while they ran it, the last at "
                        f"{error.last_worker.address}"
                        if isinstance(error, KilledWorker)
                        else "the connection to the Dask scheduler was lost"
                    )
                    item.error.__cause__ = error
                self._close(item, None)
                return
            item.error = outcome.error
            item.measure(outcome.progress)
            self._close(item, outcome.ending)
            if outcome.ending in {Ending.BLOCKED, Ending.UNREACHABLE}:
                # It is the same for all partitions of the project.
                self._cancel(i for i in self._open.values() if i.project is item.project)

    def _cancel(self, items: Iterable[Item]) -> None:
        new = [item for item in items if item.cancelled is None]
        for item in new:
            item.cancelled = self._clock.now()
        if new and self._client is not None:
            self._client.cancel([item.future for item in new])

    def _close(self, item: Item, ending: Ending | None) -> None:
        item.ending = ending
        item.future = None  # Dask forgets the result
        del self._open[item.key]

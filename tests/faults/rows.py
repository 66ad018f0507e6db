"""A row of the table of faults, and how it is judged."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any

import aiohttp
import aiohttp.helpers
from attrs import evolve, field, frozen

from siteassist_async import (
    ConnectionFailedError,
    Conversation,
    RetryPolicy,
    SiteAssistError,
    Timeout,
    TransportError,
)
from siteassist_async.tracebacks import behind

from .raw_server import Play
from .wire import ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from siteassist_async import SiteAssist

    from .raw_server import RawServer, Step

TOKEN = "sk_test_f4ul7s_QZXJ29"

tblib: Any = import_module("tblib.pickling_support")  # which is without types

PATIENT = Timeout(connect=30, read=30, total=60)
"""For faults that end by themselves: no machine is so slow."""


@frozen
class Row:
    """What is on the wire, what the caller gets, and how many requests it took.

    Attributes:
        plays: The answers, one a request; the last for every further one.
        error: The exact class; None: the conversation.
        telling: Attributes of the error or the conversation.
        says: A part of the error's text.
        reused: Whether the last connection carries the next request; None: the row cannot tell.
        connections: That the requests took; by default one for all, or one for each.
        gaps: Seconds between two requests: at least, and at most.
        options: Of the client.
    """

    name: str
    plays: Sequence[Play]
    error: type[SiteAssistError] | None = None
    requests: int = 1
    telling: Mapping[str, object] = field(factory=dict[str, object])
    says: str = ""
    reused: bool | None = True
    connections: int | None = None
    gaps: Sequence[tuple[float, float]] = ()
    retry: RetryPolicy = field(factory=RetryPolicy)
    timeout: Timeout = PATIENT
    deadline: float | None = None

    def of(self, category: str) -> Row:
        """This row, named as one of a category."""
        return evolve(self, name=f"{category}: {self.name}")

    def without_reuse(self) -> Row:
        """This row, where each request has a connection of its own."""
        return evolve(
            self, connections=self.requests, reused=None if self.reused is None else False
        )


def good(name: str, *steps: Step, reused: bool | None = True, **telling: object) -> Row:
    """A row whose answer is the conversation."""
    return Row(name, [steps], telling=telling, reused=reused)


def tolerated(name: str, *steps: Step) -> Row:
    """A row whose answer breaks a rule of HTTP that nobody minds but a program that is developed.

    In Python's development mode aiohttp's parser is strict, so that who writes a server sees what
    is wrong with it; then it is one error, and no conversation.
    """
    name = f"{name} (tolerated)"
    if aiohttp.helpers.DEBUG:
        return fails(name, *steps, error=ConnectionFailedError, says="invalid HTTP response")
    return good(name, *steps)


def fails(
    name: str,
    *steps: Step,
    error: type[SiteAssistError],
    requests: int = 5,
    says: str = "",
    reused: bool | None = False,
    **telling: object,
) -> Row:
    """A row whose answer is an error, the same one each time it is asked for."""
    return Row(name, [steps], error, requests, telling, says, reused)


async def outcome_of(client: SiteAssist) -> object:
    """What the caller gets, be it an exception of any kind."""
    try:
        return await client.conversations.get(ID)
    except BaseException as error:  # noqa: BLE001 - it is judged
        return error


def judge(row: Row, outcome: object, server: RawServer) -> None:
    """Compare what came out, and what was asked for, with the row."""
    if row.error is None:
        assert isinstance(outcome, Conversation), outcome
        assert outcome.id.lower() == ID
    else:
        assert type(outcome) is row.error, repr(outcome)
        assert isinstance(outcome, row.error)
        judge_error(outcome)
        assert row.says in str(outcome)
        assert outcome.attempts == row.requests
    for name, value in row.telling.items():
        assert attrgetter(name)(outcome) == value
    assert len(server.requests) == row.requests
    judge_connections(row, server)
    judge_gaps(row, server)


def judge_error(error: SiteAssistError) -> None:
    """An error is one printable line with a cause, and survives a copy, with its causes or not."""
    assert str(error).isprintable()
    assert len(str(error)) < 2500
    if isinstance(error, TransportError):
        assert error.__cause__ is not None
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (type(twin), str(twin)) == (type(error), str(error))
    sent = pickle.loads(with_all_behind(error))
    assert [(type(one), str(one)) for one in behind(sent)] == [
        (type(one), str(one)) for one in behind(error)
    ]


def with_all_behind(error: BaseException) -> bytes:
    """Pickle an error as Dask does: with its traceback, and with the errors behind it."""
    pickled = io.BytesIO()
    pickler = pickle.Pickler(pickled)
    pickler.dispatch_table = {
        TracebackType: tblib.pickle_traceback,
        **{type(one): tblib.pickle_exception for one in behind(error)},
    }
    pickler.dump(error)
    return pickled.getvalue()


def judge_connections(row: Row, server: RawServer) -> None:
    """A connection that met a fault is not used again, and any other is."""
    used = len({request.connection for request in server.requests})
    if row.connections is not None:
        assert used == row.connections
    elif row.reused is not None:
        assert used == (1 if row.reused else row.requests)


def judge_gaps(row: Row, server: RawServer) -> None:
    """Never earlier than asked, and not for ever."""
    times = [request.at for request in server.requests]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    for gap, (least, most) in zip(gaps, row.gaps, strict=bool(row.gaps)):
        assert least <= gap <= most


def traces(error: BaseException) -> str:
    """All that can be seen of an exception and of those behind it, the locals of frames too."""
    seen = ["".join(traceback.format_exception(error))]
    for one in behind(error):
        seen += [str(one), repr(one), repr(one.args), repr(vars(one))]
        seen += [repr(list(frame.f_locals.items())) for frame in frames(one)]
    return "\n".join(seen)


def frames(error: BaseException) -> Iterator[FrameType]:
    """Those that tools which report errors show the locals of."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield frame

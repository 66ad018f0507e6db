"""Tracebacks: removed from errors, because error reporters show the locals of every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


def behind(error: BaseException, until: BaseException | None = None) -> Iterator[BaseException]:
    """Yield an error and everything chained to it or grouped in it, each once.

    `until` is the exception that was being handled when the failed work started. It belongs to the
    caller, so neither it nor anything chained to it is yielded.
    """
    seen = {id(until)}
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        left += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            left += cast("BaseExceptionGroup[BaseException]", one).exceptions


def cut(error: BaseException, until: BaseException | None = None) -> None:
    """Remove the tracebacks of an error and of everything chained to it.

    The locals of their frames keep response bodies alive, and those of aiohttp's frames contain the
    request's headers. The frames themselves are not cleared (`traceback.clear_frames`): if two
    tasks share an error, that would close a coroutine that another task still runs.
    """
    for one in behind(error, until):
        one.__traceback__ = None

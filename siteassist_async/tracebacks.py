"""Tracebacks without what they hold: tools that report errors show the locals of every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


def behind(error: BaseException, until: BaseException | None = None) -> Iterator[BaseException]:
    """An error and all that is chained to it or grouped in it, once each.

    `until` is what was being handled when the work that failed began: it is its handler's, and
    neither it nor what is behind it is given.
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
    """Take the frames away from an error, and from all behind it.

    Their locals keep a body alive, and those of aiohttp hold the request's headers. To clear the
    frames would close what another task still runs, where the two share an error.
    """
    for one in behind(error, until):
        one.__traceback__ = None

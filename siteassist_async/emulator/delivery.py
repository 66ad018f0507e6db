"""Faults of how an answer is sent: late, slowly, in part or not at all."""
# ruff: noqa: D102 - the docstring of a fault says what calling it does

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

if TYPE_CHECKING:
    from siteassist_async.emulator.answers import Answer

__all__ = [
    "Chunked",
    "Delay",
    "Disconnect",
    "Drip",
    "Raw",
    "Stall",
    "Truncate",
    "Unsolicited",
]


@frozen
class Chunked:
    """No fault: a body of unknown length, in chunks of `size` bytes."""

    size: int = 1024

    def __call__(self, answer: Answer) -> Answer:
        return evolve(answer, chunked=True, piece=self.size)


@frozen
class Delay:
    """Seconds before anything is sent."""

    seconds: float

    def __call__(self, answer: Answer) -> Answer:
        return evolve(answer, delay=answer.delay + self.seconds)


@frozen
class Drip:
    """A slow drip: `size` bytes of the body every `every` seconds."""

    size: int = 1
    every: float = 1.0

    def __call__(self, answer: Answer) -> Answer:
        return evolve(answer, piece=self.size, every=self.every)


@frozen
class Stall:
    """The headers and `after` bytes of the body, then silence; the connection stays open.

    Silence before the headers is a `Delay`.
    """

    after: int = 0
    seconds: float = 3600.0

    def __call__(self, answer: Answer) -> Answer:
        return evolve(answer, cut=self.after, hold=self.seconds)


@frozen
class Truncate:
    """The connection closes after `after` bytes of the body, half of it by default.

    With a Content-Length, or chunked without the last chunk; with FIN, or with a reset.
    """

    after: int | None = None
    chunked: bool = False
    reset: bool = False

    def __call__(self, answer: Answer) -> Answer:
        cut = answer.length // 2 if self.after is None else self.after
        return evolve(answer, cut=cut, chunked=self.chunked, reset=self.reset)


@frozen
class Disconnect:
    """The connection closes before the headers; with FIN, or with a reset."""

    reset: bool = False

    def __call__(self, answer: Answer) -> Answer:
        return evolve(answer, dropped=True, reset=self.reset)


@frozen
class Raw:
    """These bytes instead of an HTTP answer; then the connection closes."""

    data: bytes

    def __call__(self, answer: Answer) -> Answer:
        return evolve(answer, raw=self.data)


@frozen
class Unsolicited:
    """The right answer, and `late` seconds after it bytes that nobody asked for."""

    data: bytes
    late: float = 0.0

    def __call__(self, answer: Answer) -> Answer:
        return evolve(answer, unsolicited=self.data, late=self.late)

"""The specification's documented bodies, as data."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["DOCUMENTED_STATUSES", "documented_body"]

DOCUMENTED_STATUSES: tuple[int, ...] = (
    200,
    400,
    401,
    402,
    403,
    404,
    409,
    422,
    429,
    500,
    502,
    503,
)
"""The statuses for which the specification shows a body."""


@cache
def documented_body(status: int) -> bytes:
    """The specification's body for `status`, byte for byte.

    Raises:
        ValueError: the specification has no body for `status`.
    """
    if status not in DOCUMENTED_STATUSES:
        raise ValueError(f"the specification has no body for status {status}")
    return files(__name__).joinpath(f"{status}.json").read_bytes()

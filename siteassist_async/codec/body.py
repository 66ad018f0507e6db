"""A body to a value of ours, or the error that says where it is wrong."""

from __future__ import annotations

from typing import TypeVar

from siteassist_async.codec.convert import MISFITS, converter, first_fault
from siteassist_async.codec.text import excerpt, parse
from siteassist_async.errors import UnusableResponseError

Value = TypeVar("Value")


def structure_body(body: bytes, cls: type[Value]) -> Value:
    """Read a body with cattrs.

    Raises:
        UnusableResponseError: It is no JSON text, or does not fit; nothing else is raised,
            whatever the bytes.
    """
    try:
        return converter.structure(parse(body), cls)
    except MISFITS as error:
        path, reason = first_fault(error)
        raise UnusableResponseError(reason, path=path, excerpt=excerpt(body)) from error

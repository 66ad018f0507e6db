"""What an option's text may be."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def whole(low: int, high: int) -> Callable[[str], int]:
    """Accept whole numbers from `low` to `high`."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ArgumentTypeError(f"expected a whole number from {low} to {high}, not {text!r}")
        return value

    return number


def above_zero(text: str) -> float:
    """Accept numbers above 0, infinity apart."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"expected a number above 0, not {text!r}")
    return value


def zero_or_more(text: str) -> float:
    """Accept 0 and numbers above it, infinity apart."""
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"expected a number of 0 or more, not {text!r}")
    return value


def duration(text: str) -> float:
    """Accept seconds, or a number with s, m or h behind it; 0 is none."""
    unit = _UNITS.get(text[-1:], 0.0)
    value = _number(text[:-1] if unit else text) * (unit or 1.0)
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"expected a duration such as 90, 90s, 5m or 2h, not {text!r}")
    return value


def not_empty(text: str) -> str:
    """Accept any text but none."""
    if not text:
        raise ArgumentTypeError("expected a value, not nothing")
    return text


def output_file(text: str) -> str:
    """Accept a file's name: what an export resumes cannot be a pipe."""
    if text == "-":
        raise ArgumentTypeError(
            "expected a file: the next run goes on from what is in it, which a pipe does not keep"
        )
    if os.path.basename(text) in {"", ".", ".."}:  # noqa: PTH119 - pathlib takes half the time
        raise ArgumentTypeError(f"expected a file, not a folder: {text!r}")
    return text


def emulator_token(text: str) -> str:
    """Accept what a header can carry as a token."""
    if not text or not all("!" <= character <= "~" for character in text):
        raise ArgumentTypeError("expected printable ASCII characters without spaces")
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")

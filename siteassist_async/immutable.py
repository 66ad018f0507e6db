"""Immutable classes that are quick to make: frozen for type checkers, plain at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["immutable"]

# Each attempt makes several of these objects, and attrs takes three times as long to make a frozen
# one. Type checkers report an assignment to any of their attributes all the same.
if TYPE_CHECKING:
    from attrs import frozen as immutable
else:
    from attrs import define as immutable

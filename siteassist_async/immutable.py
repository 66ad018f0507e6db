"""attrs' decorators for the classes that are made at import: quick to define, and quick to make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["define", "frozen", "immutable"]


def _repr(self: attrs.AttrsInstance) -> str:
    """As attrs writes it, which compiles one for each class: a third of the time to define it."""
    values = ((a, getattr(self, a.name)) for a in attrs.fields(type(self)) if a.repr)
    shown = [f"{a.name}={a.repr(v) if callable(a.repr) else repr(v)}" for a, v in values]
    return f"{type(self).__qualname__}({', '.join(shown)})"


if TYPE_CHECKING:
    from attrs import define, frozen
    from attrs import frozen as immutable
else:

    def _quick(decorate: Callable[..., type]) -> Callable[..., object]:
        def quick(cls: type | None = None, **options: bool) -> object:
            if cls is None:
                return lambda cls: quick(cls, **options)
            if "__repr__" not in vars(cls):
                cls.__repr__ = _repr
            return decorate(cls, **options)

        return quick

    define = _quick(attrs.define)
    frozen = _quick(attrs.frozen)
    # Frozen for type checkers, plain at run time. Each attempt makes several of these objects, and
    # attrs takes three times as long to make a frozen one.
    immutable = define

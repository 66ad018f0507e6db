"""attrs' decorators for the classes that are made at import: quick to define, and quick to make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["define", "frozen", "immutable"]


def _repr(self: attrs.AttrsInstance) -> str:
    values = ((a, getattr(self, a.name)) for a in attrs.fields(type(self)) if a.repr)
    shown = [f"{a.name}={a.repr(v) if callable(a.repr) else repr(v)}" for a, v in values]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: attrs.AttrsInstance, other: object) -> bool | object:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: attrs.AttrsInstance) -> int:
    return hash((type(self), *_values(self)))


def _values(of: attrs.AttrsInstance) -> list[object]:
    return [getattr(of, a.name) for a in attrs.fields(type(of)) if a.eq]


if TYPE_CHECKING:
    from attrs import define, frozen
    from attrs import frozen as immutable
else:

    def _quick(decorate: Callable[..., type], hashed: Callable[..., int] | None) -> object:
        """Give classes the methods above, which do what attrs writes and compiles for each class.

        To compile them takes half of the time to define a class.
        """

        def quick(cls: type | None = None, **options: bool) -> object:
            if cls is None:
                return lambda cls: quick(cls, **options)
            methods = {"__repr__": _repr}
            if options.pop("eq", True):
                methods |= {"__eq__": _eq, "__hash__": hashed}
            for name, method in methods.items():
                if name not in vars(cls):
                    setattr(cls, name, method)
            return decorate(cls, eq=False, **options)

        return quick

    define = _quick(attrs.define, None)
    frozen = _quick(attrs.frozen, _hash)
    # Frozen for type checkers, plain at run time. Each attempt makes several of these objects, and
    # attrs takes three times as long to make a frozen one.
    immutable = define

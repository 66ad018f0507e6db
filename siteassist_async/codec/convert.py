"""The strict converter: plain JSON values to models and back, with cattrs.

It decodes whatever the fast path rejects, and reports where a body is invalid. It is imported only
when needed, because importing cattrs takes a tenth of the package's import time.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import msgspec
from attrs import NOTHING as REQUIRED
from attrs import AttrsInstance, evolve, fields, fields_dict, has
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ClassValidationError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from siteassist_async.codec.fast import Head, MessageList, SummaryList, has_tag
from siteassist_async.codec.text import Json, excerpt, parse, wire_name
from siteassist_async.errors import UnusableResponseError
from siteassist_async.models import (
    Conversation,
    ConversationStatus,
    ConversationSummary,
    Feedback,
    Message,
    MessageStatus,
    OtherPart,
    Part,
    Role,
    TextPart,
)
from siteassist_async.tracebacks import cut

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Structured = TypeVar("Structured", bound=AttrsInstance)

_TAGS: dict[type[object], dict[str, str]] = {
    Head: {"object": "conversation"},
    Conversation: {"object": "conversation"},
    ConversationSummary: {"object": "conversation"},
    Message: {"object": "message"},
    MessageList: {"object": "list"},
    SummaryList: {"object": "list"},
    TextPart: {"type": "text"},
}

converter = Converter()

MISFITS = (BaseValidationError, TypeError, ValueError)
"""The exceptions that the converter raises for a value that does not fit."""


def structure_body(body: bytes, cls: type[Structured]) -> Structured:
    """Decode a body with cattrs.

    Raises:
        UnusableResponseError: The body is not JSON, or does not match the schema. No bytes cause
            any other exception.
    """
    try:
        return converter.structure(parse(body), cls)
    except MISFITS as error:
        path, reason = _first_fault(error)
        cut(error)  # its frames refer to it, and to the body
    # Outside the handler, so without cause and context: cattrs' errors cannot be pickled, and Dask
    # sends an exception to another process with everything that is chained to it.
    raise UnusableResponseError(reason, path=path, excerpt=excerpt(body))


def _first_fault(error: BaseException, path: str = "") -> tuple[str, str]:
    """Return the path of the first invalid value and the reason, following cattrs' notes."""
    if isinstance(error, ClassValidationError | IterableValidationError):
        cause, note = error.group_exceptions()[0][0]
        if isinstance(note, AttributeValidationNote):
            name = wire_name(note.name)
            return _first_fault(cause, f"{path}.{name}" if path else name)
        return _first_fault(cause, f"{path}[{note.index}]")
    return path, "missing" if isinstance(error, KeyError) else str(error)


_KINDS: dict[type[object], str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}


def _expect(cls: type[T], value: object) -> T:
    if isinstance(value, cls):
        return value
    got = _KINDS.get(type(value), "a number")
    raise TypeError(f"expected {_KINDS[cls]}, not {got}")


def _count(value: object, _: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise TypeError("expected a whole number of 0 or more")


def _time(value: object, _: object) -> datetime:
    try:
        # Not `datetime.fromisoformat`, which accepts "10:30:007" and truncates nanoseconds.
        time = msgspec.convert(_expect(str, value), datetime)
    except (msgspec.ValidationError, UnicodeEncodeError):
        raise ValueError("expected a time such as 2024-01-15T10:30:00.000Z") from None
    if time.tzinfo is None:
        raise ValueError("expected a time with its offset from UTC")
    return time


def _time_to_wire(time: datetime) -> str:
    precision = "microseconds" if time.microsecond % 1000 else "milliseconds"
    with suppress(OverflowError):  # in the years 1 and 9999, UTC may be out of range
        time = time.astimezone(UTC)
    return time.isoformat(timespec=precision).replace("+00:00", "Z")


def _tuple_hook(tuple_type: object) -> Callable[[object, object], tuple[Any, ...]]:
    (item, _) = get_args(tuple_type)
    structure_item = converter.get_structure_hook(item)

    def structure(value: object, _: object) -> tuple[Any, ...]:
        array: list[Any] = [*_expect(list, value)]
        structured: list[Any] = []
        try:
            for sent in array:
                structured.append(structure_item(sent, item))  # noqa: PERF401 - its length is the fault's index
        except MISFITS as error:
            # Only the first error is reported; cattrs' own hook would collect all of them.
            error.add_note(IterableValidationNote("in an array", len(structured), item))
            faults: list[Exception] = [error]
            raise IterableValidationError("in an array", faults, tuple) from error  # pyright: ignore[reportCallIssue] # its __new__ takes them
        return tuple(structured)

    return structure


def _part(value: object, _: object) -> Part:
    rest: Json = {**_expect(dict, value)}
    if not has_tag(rest):
        return OtherPart("", rest)
    tag: str = rest.pop("type")
    return converter.structure(rest, TextPart) if tag == "text" else OtherPart(tag, rest)


def _class_hook(cls: type[Any]) -> Callable[[object, object], Any]:
    """Structure by JSON names, keeping unknown fields; null counts as absent if optional."""
    known = {wire_name(a.name): a for a in fields(cls) if a.name != "extra"}
    optional = {wire for wire, a in known.items() if a.default is not REQUIRED}
    names: dict[str, Any] = {a.name: override(rename=wire) for wire, a in known.items()}
    keeps_rest = "extra" in fields_dict(cls)
    if keeps_rest:
        names["extra"] = override(omit=True)
    build = make_dict_structure_fn(cls, converter, **names)
    tag = _TAGS.get(cls, {}).get("object")

    def structure(value: object, _: object) -> Any:  # noqa: ANN401 - an instance of `cls`
        sent: Json = {**_expect(dict, value)}
        if tag is not None:
            got = sent.pop("object", None)
            if got != tag and not (tag == "list" and got is None):  # which a list may lack
                raise ValueError(f'expected an object with "object": "{tag}"')
        if "lastInterationAt" in known:  # or the correct spelling of it
            correct = sent.pop("lastInteractionAt", None)
            if correct is not None:
                sent["lastInterationAt"] = correct
        built = build({k: v for k, v in sent.items() if v is not None or k not in optional}, cls)
        rest = {k: v for k, v in sent.items() if k not in known} if keeps_rest else None
        return evolve(built, extra=rest) if rest else built

    return structure


def _class_to_wire(cls: type[Any]) -> Callable[[Any], Json]:
    names = {a.name: wire_name(a.name) for a in fields(cls) if a.name != "extra"}
    tag = _TAGS.get(cls, {})

    def unstructure(value: Message) -> Json:  # or any other that has `extra`
        sent = {wire: converter.unstructure(getattr(value, name)) for name, wire in names.items()}
        return {**tag, **sent, **value.extra}

    return unstructure


converter.register_structure_hook(str, lambda value, _: _expect(str, value))
for _union in (ConversationStatus, Role, MessageStatus, Feedback):
    converter.register_structure_hook(_union, lambda value, _: _expect(str, value))
    converter.register_structure_hook(
        _union | None, lambda value, _: None if value is None else _expect(str, value)
    )
converter.register_structure_hook(bool, lambda value, _: _expect(bool, value))
converter.register_structure_hook(int, _count)
converter.register_structure_hook(datetime, _time)
converter.register_structure_hook(Part, _part)
converter.register_structure_hook_func(lambda t: t is object, lambda value, _: value)
converter.register_structure_hook_factory(
    lambda t: getattr(t, "__origin__", None) is tuple, _tuple_hook
)
# Factories, so that the functions of a class are compiled when first needed, not at import.
converter.register_structure_hook_factory(has, _class_hook)
converter.register_unstructure_hook_factory(has, _class_to_wire)
converter.register_unstructure_hook(
    OtherPart,
    lambda part: {"type": part.type, **part.fields} if part.type else dict(part.fields),
)
converter.register_unstructure_hook(datetime, _time_to_wire)
# The JSON within the metadata is written as it is.
converter.register_unstructure_hook(dict, lambda value: value)
converter.register_unstructure_hook(list, lambda value: value)

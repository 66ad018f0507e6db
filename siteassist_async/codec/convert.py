"""The strict converter: plain JSON values to models and back, with cattrs.

It decodes whatever the fast path rejects, and reports where a body is invalid. It is imported only
when needed, because importing cattrs takes a tenth of the package's import time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeGuard, TypeVar, get_args

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

Structured = TypeVar("Structured", bound=AttrsInstance)
Hook = Callable[[object, object], Structured]


_TAGS: dict[type[object], dict[str, str]] = {
    Head: {"object": "conversation"},
    Conversation: {"object": "conversation"},
    ConversationSummary: {"object": "conversation"},
    Message: {"object": "message"},
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


def _kind(value: object) -> str:
    names = {"NoneType": "null", "dict": "an object", "list": "an array", "str": "a string"}
    return names.get(type(value).__name__, "a boolean" if isinstance(value, bool) else "a number")


def _is_object(value: object) -> TypeGuard[Json]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _object(value: object) -> Json:
    if _is_object(value):
        return value
    raise TypeError(f"expected an object, not {_kind(value)}")


def _string(value: object, _: object = str) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"expected a string, not {_kind(value)}")


def _optional_string(value: object, _: object) -> str | None:
    return None if value is None else _string(value)


def _boolean(value: object, _: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError(f"expected a boolean, not {_kind(value)}")


def _count(value: object, _: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise TypeError("expected a whole number of 0 or more")


def _time(value: object, _: object) -> datetime:
    try:
        # Not `datetime.fromisoformat`, which accepts "10:30:007" and truncates nanoseconds.
        time = msgspec.convert(_string(value), datetime)
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


def _is_tuple(declared: object) -> bool:
    return getattr(declared, "__origin__", None) is tuple


def _tuple_hook(tuple_type: object) -> Callable[[object, object], tuple[Any, ...]]:
    (item, _) = get_args(tuple_type)
    structure_item = converter.get_structure_hook(item)

    def structure(value: object, _: object) -> tuple[Any, ...]:
        if not _is_array(value):
            raise TypeError(f"expected an array, not {_kind(value)}")
        structured: list[Any] = []
        try:
            for sent in value:
                structured.append(structure_item(sent, item))  # noqa: PERF401 - its length is the fault's index
        except MISFITS as error:
            # Only the first error is reported; cattrs' own hook would collect all of them.
            error.add_note(IterableValidationNote("in an array", len(structured), item))
            faults: list[Exception] = [error]
            raise IterableValidationError("in an array", faults, tuple) from error  # pyright: ignore[reportCallIssue] # its __new__ takes them
        return tuple(structured)

    return structure


def _part(value: object, _: object) -> Part:
    rest = dict(_object(value))
    if not has_tag(rest):
        return OtherPart("", rest)
    tag: str = rest.pop("type")
    return converter.structure(rest, TextPart) if tag == "text" else OtherPart(tag, rest)


def _by_wire_names(cls: type[Structured]) -> Hook[Structured]:
    names: dict[str, Any] = {
        a.name: override(omit=True) if a.name == "extra" else override(rename=wire_name(a.name))
        for a in fields(cls)
    }
    build = make_dict_structure_fn(cls, converter, **names)
    return lambda value, _: build(_object(value), cls)


def _keeping_the_rest(cls: type[Structured]) -> Hook[Structured]:
    """Structure by JSON names, keeping unknown fields; null counts as absent if optional."""
    known = {wire_name(a.name): a for a in fields(cls) if a.name != "extra"}
    optional = {wire for wire, a in known.items() if a.default is not REQUIRED}
    build = _by_wire_names(cls)

    def structure(value: object, _: object) -> Structured:
        sent = _object(value)
        built = build({k: v for k, v in sent.items() if v is not None or k not in optional}, cls)
        rest = {k: v for k, v in sent.items() if k not in known}
        return evolve(built, extra=rest) if rest else built  # type: ignore[misc] # "extra" is theirs

    return structure


def _tagged(tag: str, structure: Hook[Structured]) -> Hook[Structured]:
    def structure_tagged(value: object, cls: object) -> Structured:
        sent = dict(_object(value))
        if sent.pop("object", None) != tag:
            raise ValueError(f'expected an object with "object": "{tag}"')
        return structure(sent, cls)

    return structure_tagged


def _listed(structure: Hook[Structured]) -> Hook[Structured]:
    def structure_list(value: object, cls: object) -> Structured:
        if _object(value).get("object") not in {None, "list"}:
            raise ValueError('expected an object with "object": "list"')
        return structure(value, cls)

    return structure_list


def _either_spelling(structure: Hook[Structured]) -> Hook[Structured]:
    def structure_either(value: object, cls: object) -> Structured:
        sent = dict(_object(value))
        correct = sent.pop("lastInteractionAt", None)
        if correct is not None:
            sent["lastInterationAt"] = correct
        return structure(sent, cls)

    return structure_either


def _class_hook(cls: type[Any]) -> Hook[Any]:
    structure = _keeping_the_rest(cls) if "extra" in fields_dict(cls) else _by_wire_names(cls)
    if cls in {Conversation, ConversationSummary}:
        structure = _either_spelling(structure)
    if cls in {MessageList, SummaryList}:
        return _listed(structure)
    tag = _TAGS.get(cls, {}).get("object")
    return structure if tag is None else _tagged(tag, structure)


def _class_to_wire(cls: type[Any]) -> Callable[[Any], Json]:
    names = {a.name: wire_name(a.name) for a in fields(cls) if a.name != "extra"}
    tag = _TAGS.get(cls, {})

    def unstructure(value: Message) -> Json:  # or any other that has `extra`
        sent = {wire: converter.unstructure(getattr(value, name)) for name, wire in names.items()}
        return {**tag, **sent, **value.extra}

    return unstructure


def _other_part_to_wire(part: OtherPart) -> Json:
    return {"type": part.type, **part.fields} if part.type else dict(part.fields)


def _register() -> None:
    converter.register_structure_hook(str, _string)
    for union in (ConversationStatus, Role, MessageStatus, Feedback):
        converter.register_structure_hook(union, _string)
        converter.register_structure_hook(union | None, _optional_string)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(int, _count)
    converter.register_structure_hook(datetime, _time)
    converter.register_structure_hook(Part, _part)
    converter.register_structure_hook_func(lambda t: t is object, lambda value, _: value)
    converter.register_structure_hook_factory(_is_tuple, _tuple_hook)
    # Factories, so that the functions of a class are compiled when first needed, not at import.
    converter.register_structure_hook_factory(has, _class_hook)
    converter.register_unstructure_hook_factory(has, _class_to_wire)
    converter.register_unstructure_hook(OtherPart, _other_part_to_wire)
    converter.register_unstructure_hook(datetime, _time_to_wire)
    # The JSON within the metadata is written as it is.
    converter.register_unstructure_hook(dict, lambda value: value)
    converter.register_unstructure_hook(list, lambda value: value)


_register()

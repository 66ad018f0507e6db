"""Our models by cattrs, as its documentation shows: renamed keys, a hook for dates and parts."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import attrs
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.json import make_converter

from siteassist_async.models import Conversation, HumanAgent, Message, OtherPart, Part, TextPart

if TYPE_CHECKING:
    from collections.abc import Callable

    from cattrs import Converter


def as_it_comes() -> Callable[[bytes], object]:
    """The standard library's JSON, detailed validation."""
    converter = make_converter()
    _teach(converter)
    return lambda body: converter.loads(body, Conversation)


def tuned() -> Callable[[bytes], object]:
    """orjson, no detailed validation."""
    orjson = import_module("cattrs.preconf.orjson")
    converter = orjson.make_converter(detailed_validation=False)
    _teach(converter)
    return lambda body: cast("object", converter.loads(body, Conversation))


def structure() -> Callable[[object], object]:
    """Dicts to models, as cattrs comes: for clients that read the JSON themselves."""
    converter = make_converter()
    _teach(converter)
    return lambda sent: converter.structure(sent, Conversation)


def _teach(converter: Converter) -> None:
    converter.register_structure_hook(datetime, lambda sent, _: datetime.fromisoformat(sent))
    converter.register_structure_hook(Part, _part)
    converter.register_structure_hook_func(lambda kind: kind is object, lambda sent, _: sent)
    for cls in (HumanAgent, Message, Conversation):
        converter.register_structure_hook(cls, _renamed(cls, converter))


def _renamed(cls: type[Any], converter: Converter) -> Callable[..., Any]:
    names = {field.name: override(rename=_camel(field.name)) for field in attrs.fields(cls)}
    names["extra"] = override(omit=True)
    if "last_interaction_at" in names:
        names["last_interaction_at"] = override(rename="lastInterationAt")
    hook: Callable[..., Any] = make_dict_structure_fn(cls, converter, **names)  # type: ignore[arg-type] # its keywords are options and fields at once
    return hook


def _part(sent: dict[str, Any], _: object) -> Part:
    if sent["type"] == "text":
        return TextPart(str(sent["text"]))
    return OtherPart(sent["type"], {key: value for key, value in sent.items() if key != "type"})


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)

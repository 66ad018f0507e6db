"""Models of pydantic's kind, made by calls, so that the checkers do not need the libraries."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from importlib import import_module
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Callable

Model = type[Any]

_REQUIRED = ...


def validated() -> Callable[[bytes], object]:
    """As pydantic v2 comes: its own JSON, all checked, unknown fields kept."""
    pydantic = import_module("pydantic")
    base = pydantic.create_model("Base", __config__=pydantic.ConfigDict(extra="allow"))
    validate = conversation(base).model_validate_json
    return cast("Callable[[bytes], object]", validate)


def constructed() -> Callable[[bytes], object]:
    """As openai-python reads an answer: the standard library's JSON, built without checks."""
    model = openai_conversation()
    return lambda body: cast("object", model.construct(**json.loads(body)))


@cache
def openai_conversation() -> Model:
    """The model as a class that openai-python's clients return."""
    return conversation(import_module("openai").BaseModel)


def conversation(base: Model) -> Model:
    """The conversation's class, upon a base class of pydantic's."""
    string, time = str | None, datetime | None
    agent = _model(base, "HumanAgent", name=(string, None), image=(string, None))
    message = _model(
        base,
        "Message",
        object=(Literal["message"], _REQUIRED),
        id=(str, _REQUIRED),
        created_at=(datetime, _REQUIRED),
        chat_id=(str, _REQUIRED),
        role=(str, _REQUIRED),
        parts=(_list_of(_part(base)), []),
        status=(string, None),
        error=(string, None),
        feedback=(string, None),
        feedback_at=(time, None),
        metadata=(Any, None),
        human_agent=(agent | None, None),
        page_url=(string, None),
        page_title=(string, None),
        text_selection=(string, None),
    )
    return _model(
        base,
        "Conversation",
        object=(Literal["conversation"], _REQUIRED),
        id=(str, _REQUIRED),
        created_at=(datetime, _REQUIRED),
        updated_at=(datetime, _REQUIRED),
        status=(str, _REQUIRED),
        last_interation_at=(datetime, _REQUIRED),
        closed_at=(time, None),
        close_reason=(string, None),
        is_human_handled=(bool, False),
        human_agent=(agent | None, None),
        title=(string, None),
        messages=(_list_of(message), []),
    )


def _part(base: Model) -> object:
    text = _model(base, "TextPart", type=(Literal["text"], _REQUIRED), text=(str, _REQUIRED))
    other = _model(base, "OtherPart", type=(str, _REQUIRED))
    union: object = text | other
    return union


def _model(base: Model, title: str, /, **fields: tuple[object, object]) -> Model:
    pydantic = import_module("pydantic")
    to_camel = import_module("pydantic.alias_generators").to_camel
    named = {
        field: (kind, pydantic.Field(default, alias=to_camel(field)))
        for field, (kind, default) in fields.items()
    }
    return cast("Model", pydantic.create_model(title, __base__=base, **named))


def _list_of(item: object) -> GenericAlias:
    return GenericAlias(list, (item,))

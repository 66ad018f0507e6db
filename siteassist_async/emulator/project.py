"""The conversations of a project: generated or put there, listed in any order, in pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import shake_128
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import msgspec
from attrs import define, field

from siteassist_async.emulator.conversations import timestamp
from siteassist_async.emulator.ids import conversation_ids, uuid4, valid_id

__all__ = ["InvalidParameterError", "Project", "messages_page"]

Json: TypeAlias = dict[str, Any]

_ORDERS = (
    *("id", "createdAt", "updatedAt", "lastInteractionAt"),
    *("status", "closedAt", "isHumanHandled", "title"),
)
_OLDER = {"lastInterationAt": "lastInteractionAt"}
_NOW = 1_767_225_600_000  # 2026-01-01T00:00:00.000Z, after all that is generated


class InvalidParameterError(ValueError):
    """A query parameter is out of bounds; its argument is the parameter's name."""


@define(eq=False)
class Project:
    """The conversations that `GET /conversations` lists, and the content that was put.

    Args:
        generated: Returns the generated conversation of an ID.
        ids: Those that are listed.
    """

    generated: Callable[[str], Json]
    seed: int
    ids: dict[str, None]
    _put: dict[str, Json] = field(init=False, factory=dict[str, Json])
    _changes: int = field(init=False, default=0)
    # By ID, the values that conversations can be listed in the order of.
    _keys: dict[str, Json] = field(init=False, factory=dict[str, Json])

    def put(self, conversation_id: str, content: Mapping[str, object]) -> None:
        """Replace fields of a conversation from now on, and list it."""
        known = valid_id(conversation_id)
        copied: Json = msgspec.json.decode(msgspec.json.encode(content))
        fields = {**self._put.get(known, {}), **copied}
        if isinstance(fields.get("messages"), list):
            time = fields.get("createdAt") or self.generated(known)["createdAt"]
            fields["messages"] = [
                {**self._message(known, time, position), **message}
                if isinstance(message, dict)
                else message
                for position, message in enumerate(fields["messages"])
            ]
        if "lastInteractionAt" in copied:
            fields["lastInterationAt"] = None
        self._put[known] = fields
        self.ids[known] = None
        self._keys.pop(known, None)

    def _message(self, conversation_id: str, time: object, position: int) -> Json:
        """Return what a message needs."""
        digits = shake_128(f"{conversation_id}:{position}".encode()).hexdigest(16)
        return {
            "object": "message",
            "id": uuid4(digits),
            "createdAt": time,
            "chatId": conversation_id,
            "role": "user",
        }

    def remove(self, conversation_id: str) -> None:
        """List a conversation no more."""
        self.ids.pop(conversation_id, None)

    def conversation(self, conversation_id: str) -> Json:
        """Return a conversation with its messages."""
        found = self.generated(conversation_id)
        if conversation_id not in self._put:
            return found
        found |= self._put[conversation_id]
        if "lastInteractionAt" in found and found.get("lastInterationAt", "") is None:
            del found["lastInterationAt"]  # the other spelling was put
        return found

    def page(self, query: str) -> Json:
        """Return what `GET /conversations` lists.

        Raises:
            InvalidParameterError: A parameter is out of bounds.
        """
        sent = _parameters(query, {"limit", "offset", "status", "orderBy", "orderDir"})
        limit = _number(sent, "limit", 1, 100) or 10
        offset = _number(sent, "offset", 0) or 0
        status = _choice(sent, "status", ("open", "closed"))
        by = _choice(sent, "orderBy", (*_ORDERS, *_OLDER)) or "lastInteractionAt"
        descending = _choice(sent, "orderDir", ("asc", "desc")) != "asc"
        keys: list[Json] = []
        for conversation_id in self.ids:
            key = self._keys.get(conversation_id)
            if key is None:
                found = self.conversation(conversation_id)
                found.setdefault("lastInteractionAt", found.get("lastInterationAt"))
                key = self._keys[conversation_id] = {name: found.get(name) for name in _ORDERS}
            if status in {None, key["status"]}:
                keys.append(key)
        by = _OLDER.get(by, by)
        keys.sort(
            key=lambda key: (key[by] is not None, str(key[by]), key["id"]), reverse=descending
        )
        data = [self.conversation(key["id"]) for key in keys[offset : offset + limit]]
        for listed in data:
            messages = listed.pop("messages")
            listed.setdefault("lastMessage", messages[-1] if messages else None)
        total = len(keys)
        return {"object": "list", "total": total, "limit": limit, "offset": offset, "data": data}

    def change(self) -> None:
        """Start a conversation, add a message to another one, and close a third."""
        self._changes += 1
        number, now = self._changes, timestamp(_NOW + 1000 * self._changes)
        ids = list(self.ids)
        new = next(iter(conversation_ids(1, seed=-self.seed - number)))
        lifted = {"updatedAt": now, "lastInteractionAt": now}
        if "lastInterationAt" in self.generated(new):
            lifted["lastInterationAt"] = lifted.pop("lastInteractionAt")
        self.put(new, {**lifted, "createdAt": now, "status": "open", "messages": []})
        if ids:
            talking, closing = ids[7 * number % len(ids)], ids[13 * number % len(ids)]
            messages = self.conversation(talking)["messages"]
            more = [{**message, "createdAt": now} for message in messages[:1]]
            self.put(talking, {**lifted, "messages": [*messages, *more]})
            self.put(closing, {"status": "closed", "closedAt": now, "updatedAt": now})


def messages_page(messages: list[Json], query: str) -> Json:
    """Return what `GET /conversations/{id}/messages` lists of these messages.

    Raises:
        InvalidParameterError: A parameter is out of bounds.
    """
    sent = _parameters(query, {"limit", "offset", "role", "status"})
    limit = _number(sent, "limit", 1, 1000)
    offset = _number(sent, "offset", 0) or 0
    role = _choice(sent, "role", ("user", "assistant", "human_agent"))
    status = _choice(sent, "status", ("complete", "streaming", "error"))
    found = [
        message
        for message in messages
        if role in {None, message.get("role")} and status in {None, message.get("status")}
    ]
    return {"object": "list", "data": found[offset:][:limit]}


def _parameters(query: str, known: set[str]) -> dict[str, str]:
    parsed = parse_qs(query, keep_blank_values=True)
    return {name: values[-1] for name, values in parsed.items() if name in known}


def _number(sent: dict[str, str], name: str, least: int, most: int = 2**53) -> int | None:
    if name not in sent:
        return None
    digits = sent[name]
    if not (digits.isascii() and digits.isdigit() and least <= int(digits[:20]) <= most):
        raise InvalidParameterError(name)
    return int(digits)


def _choice(sent: dict[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    if name in sent and sent[name] not in allowed:
        raise InvalidParameterError(name)
    return sent.get(name)

"""Records of an export: bodies that are checked but not decoded."""

from __future__ import annotations

import msgspec

from siteassist_async.codec.fast import Head, decode_head
from siteassist_async.codec.text import BOM
from siteassist_async.errors import WrongConversationError, printable

# str.splitlines and JavaScript treat these as line breaks. Escaped, the JSON string is the same.
_LINE_ENDS = (("\u0085", rb"\u0085"), ("\u2028", rb"\u2028"), ("\u2029", rb"\u2029"))


def check_requested(body: bytes, conversation_id: str) -> bytes:
    """Return the body unchanged, after checking that it is the requested conversation.

    Raises:
        UnusableResponseError: It is not JSON in UTF-8, or not a conversation.
        WrongConversationError: It is another conversation.
    """
    _text_of_requested(body, conversation_id)
    return body


def record_requested(body: bytes, conversation_id: str) -> bytes:
    """Return the body as a single line without a line break; the JSON value is unchanged.

    Raises the errors of `check_requested`.
    """
    text = _text_of_requested(body, conversation_id)
    # Unescaped line breaks only occur between tokens, where they are white space.
    line = body.removeprefix(BOM).strip(b" \t\r\n").replace(b"\n", b" ").replace(b"\r", b" ")
    for character, escape in _LINE_ENDS:
        if character in text:  # searching the str is 20 times as fast
            line = line.replace(character.encode(), escape)
    return line


def wrong_conversation(got: str, requested: str, path: str = "id") -> WrongConversationError:
    """Return the error for a response with another conversation."""
    return WrongConversationError(f"requested {requested}, got {printable(got)}", path=path)


def _text_of_requested(body: bytes, conversation_id: str) -> str:
    try:
        text = body.decode()  # msgspec does not validate strings that it skips
        head = decode_head(body.removeprefix(BOM))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text, head = "", Head("")
    if head.object != "conversation":
        from siteassist_async.codec.convert import structure_body  # noqa: PLC0415 - see there

        # Either a lone surrogate in a name, or not a conversation.
        head = structure_body(body, Head)
        text = body.decode()
    got = head.id
    if got.lower() != conversation_id:
        raise wrong_conversation(got, conversation_id)
    return text

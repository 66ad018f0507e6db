"""A body as the record of an export: checked, and kept as it came."""

from __future__ import annotations

import msgspec

from siteassist_async.codec.fast import Head, decode_head
from siteassist_async.codec.text import BOM
from siteassist_async.errors import WrongConversationError, printable

# Raw, these end a line for str.splitlines and JavaScript; escaped they are the same JSON string.
_LINE_ENDS = (("\u0085", rb"\u0085"), ("\u2028", rb"\u2028"), ("\u2029", rb"\u2029"))


def check_asked(body: bytes, conversation_id: str) -> bytes:
    """Return the body as it came, once it is known to be the conversation that was asked for.

    Raises:
        UnusableResponseError: It is no JSON text in UTF-8, or not of a conversation.
        WrongConversationError: It is another conversation.
    """
    _text_of_asked(body, conversation_id)
    return body


def record_asked(body: bytes, conversation_id: str) -> bytes:
    """Return the body on one line, without its line break; the JSON value is the server's.

    Raises as `check_asked`.
    """
    text = _text_of_asked(body, conversation_id)
    # Between tokens a line break is white space, and within a string JSON has none unescaped.
    line = body.removeprefix(BOM).strip(b" \t\r\n").replace(b"\n", b" ").replace(b"\r", b" ")
    for character, escape in _LINE_ENDS:
        if character in text:  # in the text it is found in a twentieth of the time
            line = line.replace(character.encode(), escape)
    return line


def wrong_conversation(got: str, asked: str) -> WrongConversationError:
    """Say that an answer is another conversation than the one asked for."""
    return WrongConversationError(f"asked for {asked}, got {printable(got)}", path="id")


def _text_of_asked(body: bytes, conversation_id: str) -> str:
    try:
        text = body.decode()  # msgspec does not look into the strings that it skips
        head = decode_head(body.removeprefix(BOM))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text, head = "", Head("")
    if head.object != "conversation":
        from siteassist_async.codec.convert import structure_body  # noqa: PLC0415 - see there

        # A lone surrogate in a name, or really not a conversation.
        head = structure_body(body, Head)
        text = body.decode()
    got = head.id
    if got.lower() != conversation_id:
        raise wrong_conversation(got, conversation_id)
    return text

"""What is a conversation id, and what is refused before it comes near a URL."""

from __future__ import annotations

import re
import sys
from uuid import UUID

import pytest
from fakes import ID
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY

from siteassist_async.errors import InvalidIdError
from siteassist_async.ids import is_id, parse_id, read_id


class Word(str):
    """A string of a class of its own."""

    __slots__ = ()


@pytest.mark.parametrize(
    "given_id",
    [
        ID,
        ID.upper(),
        UUID(ID),
        Word(ID),
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-ffff-FFFF-ffff-FFFFFFFFFFFF",
    ],
)
def test_a_uuid_is_an_id(given_id: str | UUID) -> None:
    """In either case, of any version; the canonical form is a plain string in lower case."""
    parsed = parse_id(given_id)
    assert parsed == str(given_id).lower()
    assert type(parsed) is str


@pytest.mark.parametrize(
    "given_id",
    [
        "",
        " ",
        "1",
        ID[:-1],
        ID + "0",
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        ID.replace("-", ""),
        ID.replace("-", "_"),
        ID.replace("-", "\u2010"),
        "-".join(reversed(ID.split("-"))),
        f" {ID}",
        f"{ID} ",
        f"{ID}\n",
        f"{ID}\r\nX-Evil: 1",
        f"{ID}\x00",
        f"\ufeff{ID}",
        f"{ID}/messages",
        f"{ID}?limit=1",
        f"{ID}#",
        f"../{ID}",
        "../../admin",
        "%2e%2e",
        ID.replace("-", "%2d"),
        ID.replace("1", "１", 1),  # noqa: RUF001 - a full-width digit
        ID.replace("e", "\u0435"),  # a Cyrillic letter
        ID.replace("4", "\N{ARABIC-INDIC DIGIT FOUR}"),
        ID.replace("a", "g"),
        ID.replace("a", "\ud800"),
        "\x1b[2J\u202e",
        ID * 100_000,
        "9" * 5_000,
    ],
    ids=lambda given_id: repr(given_id[:40]),
)
def test_any_other_text_is_refused(given_id: str) -> None:
    """The error shows its beginning, printable and on one line."""
    with pytest.raises(InvalidIdError) as caught:
        parse_id(given_id)
    line = str(caught.value)
    assert line.startswith("not a conversation ID (a UUID such as 123e")
    assert line.isprintable()
    assert len(line) <= 200
    assert len(caught.value.args[0]) < 1_000


@pytest.mark.parametrize(
    ("given_id", "shown"),
    [
        (None, "a NoneType"),
        (5, "a int"),
        (0.5, "a float"),
        (ID.encode(), "a bytes"),
        ([ID], "a list"),
        (object(), "a object"),
    ],
)
def test_any_other_type_is_refused(given_id: object, shown: str) -> None:
    """Its type is shown, its value is not."""
    with pytest.raises(InvalidIdError, match=f": {shown}$"):
        parse_id(given_id)


def test_the_refused_text_is_shown_as_python_writes_it() -> None:
    """Nothing is escaped twice."""
    with pytest.raises(InvalidIdError) as caught:
        parse_id("a\n\x1b'")
    assert str(caught.value).endswith(""": "a\\n\\x1b'\"""")


def test_no_letter_becomes_a_hexadecimal_digit_by_lowering_it() -> None:
    """Lower case is taken before the digits are checked; only A to F gain by it."""
    digits = set("0123456789abcdef-")
    gained = [c for c in map(chr, range(sys.maxunicode + 1)) if set(c.lower()) & digits]
    assert "".join(gained) == "-0123456789ABCDEFabcdef"


@PROPERTY
@given(st.uuids())
def test_the_canonical_form_is_its_own(uuid: UUID) -> None:
    """Of the value and of its text."""
    assert parse_id(uuid) == parse_id(str(uuid).upper()) == parse_id(parse_id(uuid)) == str(uuid)


@PROPERTY
@given(st.text(st.characters()) | st.from_regex(r"[0-9a-fA-F{}-]{30,40}"))
def test_only_the_text_of_a_uuid_is_accepted(text: str) -> None:
    """Whatever is accepted is 36 characters that need no quoting."""
    try:
        parsed = parse_id(text)
    except InvalidIdError:
        return
    assert str(UUID(parsed)) == parsed == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        *(
            ID,
            ID.upper(),
            f"urn:uuid:{ID}",
            f"https://example.com/chats/{ID}/",
            f"http://x/?id={ID}",
        ),
        *(f"{{{ID}}}", f"({ID})", f"<{ID}>", f'"{ID}"', f"'{ID}'", f"`{ID}`", f"\u201c{ID}\u201d"),
        *(ID.replace("-", ""), f"{{{ID.replace('-', '').upper()}}}", f'"{{ {ID} }}"'),
    ],
)
def test_an_id_in_a_form_that_files_have(text: str) -> None:
    """Quoted, in braces, without dashes, as a URN, or at the end of a URL."""
    assert read_id(text) == ID
    assert is_id(text)


@pytest.mark.parametrize(
    "text", ["", "{", "{}", f"{{{ID}", f"{ID[:8]}{ID[9:]}", f"x{ID}", f"{ID}0", f"file:///{ID}"]
)
def test_what_is_no_id_in_any_form(text: str) -> None:
    """The error names the text as it was given."""
    with pytest.raises(InvalidIdError, match=re.escape(repr(text))):
        read_id(text)
    assert not is_id(text)

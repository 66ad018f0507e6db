"""Transcripts to read: a folder with a folder for each month, of one file for each conversation.

    transcripts/
        _siteassist.json                                    the place in the log
        2026-01/123e4567-e89b-12d3-a456-426614174000.html

Each file is replaced in one step. The place is written after all files are durable, so that the
files of a conversion that was killed are written again. The newest record of a conversation counts.
"""

from __future__ import annotations

import html
import os
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import frozen

from siteassist_async.errors import InvalidIdError
from siteassist_async.export.disk import private, writing
from siteassist_async.export.errors import OutputError
from siteassist_async.formats.rows import CONVERSATIONS, MESSAGES, Row, decode
from siteassist_async.formats.sink import Contents, PlaceFile, check_version, read_place, whole
from siteassist_async.ids import parse_id

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from siteassist_async.formats.log import Batch, Place

VERSION = 1
"""The version of the folder's structure."""

COMMIT = 64 << 20
"""Bytes of the log between two commits."""

_PLACE = "_siteassist.json"
_WRITING = "_writing"
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")


@frozen
class Said:
    """A message, in texts to be shown.

    Attributes:
        role: Who said it.
        heading: That, and when.
        notes: What else is known of it.
        text: What was said.
        others: The parts that are not text, as JSON.
    """

    role: str
    heading: str
    notes: tuple[str, ...]
    text: str
    others: tuple[str, ...]


@frozen
class Transcript:
    """A conversation, in texts to be shown. They are as sent, and not safe to show as they are."""

    title: str
    facts: tuple[tuple[str, str], ...]
    messages: tuple[Said, ...]

    @classmethod
    def of(cls, conversation: Row, messages: Sequence[Row]) -> Transcript:
        """Describe the rows of a conversation."""
        known = _named(_OF_CONVERSATION, conversation)
        facts = (
            ("ID", known["id"]),
            ("Status", _joined(known["status"], known["close_reason"])),
            ("Created", _time(known["created_at"])),
            ("Updated", _time(known["updated_at"])),
            ("Closed", _time(known["closed_at"])),
            ("Human agent", known["human_agent_name"]),
        )
        return cls(
            title=known["title"] or f"Conversation {known['id']}",
            facts=tuple((name, value) for name, value in facts if value),
            messages=tuple(_said(_named(_OF_MESSAGE, row)) for row in messages),
        )


_OF_CONVERSATION, _OF_MESSAGE = (
    tuple(column.name for column in columns) for columns in (CONVERSATIONS, MESSAGES)
)


def _named(names: Sequence[str], row: Row) -> dict[str, Any]:
    return dict(zip(names, row, strict=True))


def _joined(*texts: str | None) -> str:
    return ", ".join(text for text in texts if text)


def _time(text: str | None) -> str | None:
    """Show a time alike, whatever the format that it was read from writes."""
    try:
        time = datetime.fromisoformat(text or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return time.isoformat(" ", "seconds").replace("+00:00", " UTC")


def _said(known: dict[str, Any]) -> Said:
    notes = (
        ("status", None if known["status"] == "complete" else known["status"]),
        ("error", known["error"]),
        ("feedback", known["feedback"]),
        ("page", _joined(known["page_title"], known["page_url"])),
        ("selection", known["text_selection"]),
    )
    time = _time(known["created_at"])
    role = known["role"] or "unknown"
    return Said(
        role=role,
        heading=_joined(role, known["human_agent_name"], time),
        notes=tuple(f"{name}: {value}" for name, value in notes if value),
        text=known["text"] or "",
        others=tuple(_others(known["parts"])) if known["parts"] else (),
    )


def _others(parts: str) -> Iterator[str]:
    """Yield the parts that are not text."""
    try:
        for part in msgspec.json.decode(parts, type=list[msgspec.Raw]):
            try:
                is_text = msgspec.json.decode(part, type=_Part).type == "text"
            except msgspec.MsgspecError:
                is_text = False
            if not is_text:
                yield str(part, "utf-8")
    except msgspec.MsgspecError:
        yield parts


class _Part(msgspec.Struct):
    type: str = ""


def as_markdown(transcript: Transcript) -> str:
    """Return a transcript as Markdown.

    What was said is quoted, so that no line of it looks like the heading of another message. Its
    own Markdown is kept, except for images and HTML, which would be loaded when the file is opened.
    """
    lines = [f"# {_inline(transcript.title)}", ""]
    lines += [f"- {name}: {_inline(value)}" for name, value in transcript.facts]
    for said in transcript.messages:
        lines += ["", f"## {_inline(said.heading)}", ""]
        lines += [f"*{_inline(note)}*  " for note in said.notes]
        lines += [""] if said.notes else []
        text = said.text.replace("&", "&amp;").replace("<", "&lt;").replace("![", "!\\[")
        lines += [f"> {line}".rstrip() for line in text.splitlines()]
        for other in said.others:
            lines += ["", *(f"    {line}" for line in other.splitlines())]
    return _without_controls("\n".join(lines)) + "\n"


def _inline(text: str) -> str:
    """Escape text to be on one line, without any markup."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


_MARKUP = re.compile(r"[\\`*_\[\]<>#!|&~]")


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem }
dt { font-weight: 600; float: left; clear: left; width: 9rem } dd { margin: 0 0 0 9rem }
article { border-top: 1px solid #ccc; margin-top: 1rem } h2 { font-size: 1rem }
.text, pre { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext }
.note { color: #555; font-size: .875rem; margin: 0 } pre { background: #f4f4f4; padding: .5rem }
"""
_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
_HEAD = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width">
"""


def as_html(transcript: Transcript) -> str:
    """Return a transcript as a page of HTML, which loads nothing and has no links."""
    title = html.escape(transcript.title)
    page = [f"{_HEAD}<title>{title}</title>\n<style>{_STYLE}</style>\n<h1>{title}</h1>\n<dl>\n"]
    page += [f"<dt>{name}</dt><dd>{html.escape(value)}</dd>\n" for name, value in transcript.facts]
    page.append("</dl>\n")
    for said in transcript.messages:
        page.append(f"<article>\n<h2>{html.escape(said.heading)}</h2>\n")
        page += [f'<p class="note">{html.escape(note)}</p>\n' for note in said.notes]
        page.append(f'<div class="text" dir="auto">{html.escape(said.text)}</div>\n')
        page += [f"<pre>{html.escape(other)}</pre>\n" for other in said.others]
        page.append("</article>\n")
    return _without_controls("".join(page))


# Of Unicode too: among them those that reorder the text around them.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _without_controls(text: str) -> str:
    return _CONTROLS.sub("\ufffd", text)


@frozen
class Transcripts:
    """A format of transcripts; see `SinkModule`.

    Attributes:
        name: The format's name.
        suffix: Of its files.
        write: Makes the content of a file.
    """

    name: str
    suffix: str
    write: Callable[[Transcript], str]

    def create(self, path: Path) -> None:
        """Create a folder without transcripts."""
        with writing(path):
            path.mkdir(mode=0o700)
        PlaceFile(self.name, VERSION).save(path / _PLACE)

    def prove(self, path: Path) -> None:
        """Check that a folder was written by a conversion."""
        read_place(path / _PLACE, path, self.name)

    def contents(self, path: Path) -> Contents:
        """Count the transcripts of a folder."""
        known = check_version(path, read_place(path / _PLACE, path, self.name), VERSION)
        with writing(path):
            names = {file.name for file in path.glob(f"*/*{self.suffix}")}
        return whole(path, Contents(known.place, len(names)), promised=0, messages=0)

    @contextmanager
    def open_sink(self, path: Path) -> Generator[TranscriptSink]:
        """Open a folder."""
        known = check_version(path, read_place(path / _PLACE, path, self.name), VERSION)
        yield TranscriptSink(self, path, known.place)


class TranscriptSink:
    """Writes the files of a folder."""

    def __init__(self, format: Transcripts, folder: Path, place: Place) -> None:  # noqa: A002 - what it is
        self._format = format
        self._folder = folder
        self._place = self._durable = place
        self._months: set[str] = set()

    def place(self) -> Place:
        """Return how far the log is in the files, durably."""
        return self._durable

    def write(self, batch: Batch) -> None:
        """Write the transcripts of a batch."""
        rows = decode(batch.lines).newest()
        start = 0
        with writing(self._folder):
            for row in rows.conversations:
                end = start + _named(_OF_CONVERSATION, row)["message_count"]
                self._write(row, rows.messages[start:end])
                start = end
        self._place = batch.place
        if batch.place.end - self._durable.end >= COMMIT:
            self._commit()

    def finish(self) -> None:
        """Make everything that was written durable."""
        if self._place != self._durable:
            self._commit()

    def _write(self, conversation: Row, messages: Sequence[Row]) -> None:
        text = self._format.write(Transcript.of(conversation, messages))
        new = self._folder / _WRITING
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(private(new, flags), "wb") as file:
            file.write(text.encode())
        month, name = _name(_named(_OF_CONVERSATION, conversation))
        new.replace(self._in_month(month) / f"{name}{self._format.suffix}")

    def _in_month(self, month: str) -> Path:
        folder = self._folder / month
        if month not in self._months:
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.is_symlink():
                raise OutputError("is a link; remove it", path=str(folder))
            self._months.add(month)
        return folder

    def _commit(self) -> None:
        os.sync()  # of thousands of files at once; to sync each would take a hundred times as long
        PlaceFile(self._format.name, VERSION, self._place).save(self._folder / _PLACE)
        self._durable = self._place


def _name(known: dict[str, Any]) -> tuple[str, str]:
    """Return the names of a transcript's folder and file, whatever the record says."""
    month = (known["created_at"] or "")[:7]
    try:
        name = parse_id(known["id"])
    except InvalidIdError:
        name = f"other-{sha256(known['id'].encode()).hexdigest()[:32]}"
    return month if _MONTH.fullmatch(month) else "undated", name


MARKDOWN = Transcripts("markdown", ".md", as_markdown)
HTML = Transcripts("html", ".html", as_html)

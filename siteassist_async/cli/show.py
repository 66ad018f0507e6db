"""`siteassist show`: one exported conversation, as text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from siteassist_async.cli.terminal import dead_letters, safe, styled
from siteassist_async.errors import printable
from siteassist_async.export import ExitCode
from siteassist_async.export.lines import record_id
from siteassist_async.formats import source_of
from siteassist_async.formats.rows import decode
from siteassist_async.formats.transcripts import Transcript
from siteassist_async.ids import read_id

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console


def run(options: Options, console: Console) -> int:
    """Print the conversation."""
    path = Path(options.file)
    conversation_id = read_id(options.id)
    source = source_of(path, options.format)
    ids = (conversation_id, conversation_id.upper())
    record = None  # the last one
    for line in source.read_raw(path, latest=False, ids=ids):
        if record_id(line) == conversation_id:  # and not another that mentions it
            record = line
    if record is None:
        letters = [letter for letter in dead_letters(path) if letter.id == conversation_id]
        for letter in letters:
            console.error(f"its export failed: {letter.reason}: {printable(letter.message, 500)}")
        if not letters:
            console.error(f"{printable(str(path), 1000)} has no conversation {conversation_id}")
        return ExitCode.SOME_FAILED
    rows = decode([record])
    transcript = Transcript.of(rows.conversations[0], rows.messages)
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    lines = [_one_line(transcript.title)]
    lines += (f"{name + ':':<13} {_one_line(value)}" for name, value in transcript.facts)
    shown = [safe("\n".join(lines), encoding)]
    for said in transcript.messages:
        head = [f"--- {_one_line(said.heading)}", *(f"({_one_line(note)})" for note in said.notes)]
        text = safe(said.text, encoding)
        if said.role == "assistant":  # whose texts are Markdown
            text = styled(text, sys.stdout)
        # Indented, so that no line of a text looks like the heading of another message.
        indented = [f"  {line}".rstrip() for line in text.splitlines()]
        rest = [safe(f"  {_one_line(other)}", encoding) for other in said.others]
        shown.append("\n".join([safe("\n".join(head), encoding), *indented, *rest]))
    console.result("\n\n".join(shown))
    return ExitCode.DONE


def _one_line(text: str) -> str:
    return " ".join(text.split())

"""CSV and transcripts: what is in them, how they follow a log, and what a kill does to them."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from export.failing_disk import PowerLossError, watched
from export.volatile_disk import undying, volatile
from hypothesis import given, settings
from hypothesis import strategies as st

from siteassist_async.emulator import conversation, conversation_ids
from siteassist_async.errors import ConfigurationError
from siteassist_async.export import OutputChangedError, OutputError, OutputExistsError, StateError
from siteassist_async.formats import convert, delimited, transcripts
from siteassist_async.formats.delimited import CONVERSATIONS_CSV, MESSAGES_CSV
from siteassist_async.formats.rows import decode
from siteassist_async.formats.transcripts import Transcript, as_html, as_markdown

if TYPE_CHECKING:
    from pathlib import Path

IDS = list(conversation_ids(12))
RECORDS = [json.dumps(conversation(i, messages=3)).encode() + b"\n" for i in IDS]
FORMATS = ("csv", "csv-conversations", "excel-csv", "excel-csv-conversations", "markdown", "html")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of some of the records."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(RECORDS[:5]))
    return path


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit after a few records, a batch for each, and no lock, which would outlive a kill."""
    monkeypatch.setattr("fcntl.flock", max)  # which does nothing
    monkeypatch.setattr("siteassist_async.formats.log.batches.__kwdefaults__", {"size": 1})
    monkeypatch.setattr(delimited, "COMMIT", 4000)
    monkeypatch.setattr(transcripts, "COMMIT", 4000)


def content_of(output: Path) -> dict[str, bytes]:
    """What is in an output, without what says its place."""
    files = [output] if output.is_file() else sorted(output.rglob("*"))
    return {
        str(path.relative_to(output.parent)): path.read_bytes()
        for path in files
        if path.is_file() and not path.name.startswith("_")
    }


NEWER = RECORDS[2].replace(b'"status":"', b'"status":"re-')
"""A newer record of one of them."""


def whole(tmp_path: Path, records: list[bytes], name: str) -> dict[str, bytes]:
    """What a conversion of all records at once gives."""
    folder = tmp_path / "whole"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "log.jsonl").write_bytes(b"".join(records))
    convert(folder / "log.jsonl", folder / "out", format=name)
    return content_of(folder / "out")


def read_csv(path: Path, encoding: str = "utf-8") -> list[list[str]]:
    """The rows of a file."""
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("name", ["out.csv", "out.conversations.csv"])
def test_a_csv_has_the_rows_of_its_table(log: Path, name: str) -> None:
    """Empty cells for what is absent, and booleans as in JSON."""
    output = log.with_name(name)
    assert convert(log, output).records == 5
    rows = decode(RECORDS[:5])
    columns = CONVERSATIONS_CSV.columns if "conv" in name else MESSAGES_CSV.columns
    table = rows.conversations if "conv" in name else rows.messages
    expected = [["" if cell is None else str(cell) for cell in row] for row in table]
    if "conv" in name:
        expected = [[c.lower() if c in {"True", "False"} else c for c in row] for row in expected]
    assert read_csv(output) == [[column.name for column in columns], *expected]
    assert output.stat().st_mode & 0o777 == 0o600


def test_others_read_a_csv(log: Path) -> None:
    """Texts with quotes and line breaks too."""
    output = log.with_name("out.csv")
    record = json.loads(RECORDS[0])
    record["messages"][0]["parts"] = [{"type": "text", "text": 'a "b",\r\n\tc\nd'}]
    log.write_bytes(json.dumps(record).encode() + b"\n" + b"".join(RECORDS[1:]))
    convert(log, output)
    duckdb, pandas = pytest.importorskip("duckdb"), pytest.importorskip("pandas")
    query = f"SELECT role, count(*) FROM read_csv('{output}') GROUP BY 1 ORDER BY 1"
    rows = duckdb.sql(query).fetchall()
    frame = pandas.read_csv(output)
    assert dict(rows) == frame["role"].value_counts().to_dict()
    assert sum(count for _, count in rows) == 36
    assert frame["text"][0] == 'a "b",\r\n\tc\nd'


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_excel_takes_no_text_for_a_formula(tmp_path: Path, cell: str) -> None:
    """If the format for it is chosen; the other one keeps all as it is."""
    record = json.loads(RECORDS[0])
    record["messages"][0]["parts"] = [{"type": "text", "text": cell}]
    (tmp_path / "log.jsonl").write_bytes(json.dumps(record).encode() + b"\n")
    for name, prefix, encoding in (("o.csv", "", "utf-8"), ("o.excel.csv", "'", "utf-8-sig")):
        convert(tmp_path / "log.jsonl", tmp_path / name)
        rows = read_csv(tmp_path / name, encoding)
        assert rows[1][rows[0].index("text")] == prefix + cell
    excel = (tmp_path / "o.excel.csv").read_bytes()
    assert excel.startswith(b"\xef\xbb\xbfconversation_id,")
    assert excel.endswith(b"\r\n")


@pytest.mark.parametrize("name", FORMATS)
def test_only_the_growth_is_converted(
    log: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is that of one conversion; where nothing is new, nothing is written."""
    output = tmp_path / "out"
    convert(log, output, format=name)
    with log.open("ab") as file:
        file.writelines(RECORDS[5:9])
    assert convert(log, output, format=name).records == 4
    assert content_of(output) == whole(tmp_path, RECORDS[:9], name)
    with monkeypatch.context() as patch, watched() as disk:
        patch.setattr(shutil, "rmtree", None)
        assert convert(log, output, format=name).records == 0
    assert disk.steps <= 6  # those of the lock
    assert convert(log, output, format=name, rebuild=True).records == 9
    assert content_of(output) == whole(tmp_path, RECORDS[:9], name)
    assert convert(log, output, format=name).records == 0


@pytest.mark.parametrize("name", FORMATS)
def test_the_newest_record_of_a_conversation_counts(log: Path, name: str, tmp_path: Path) -> None:
    """Whether the older one was converted before, or is converted with it."""
    output, newer = tmp_path / "out", [NEWER, RECORDS[7], RECORDS[8], RECORDS[7]]
    convert(log, output, format=name)
    with log.open("ab") as file:
        file.writelines(newer)
    assert convert(log, output, format=name).records == 4
    kept = [*RECORDS[:2], *RECORDS[3:5], NEWER, *RECORDS[8:6:-1]]
    assert content_of(output) == whole(tmp_path, kept, name)
    with log.open("ab") as file:
        file.write(RECORDS[9])
    assert convert(log, output, format=name).records == 1
    assert content_of(output) == whole(tmp_path, [*kept, RECORDS[9]], name)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    ("name", "rebuild", "records"),
    [
        ("csv", False, RECORDS[:5]),
        ("csv", True, RECORDS[:5]),
        ("csv", True, [RECORDS[2], NEWER]),
        ("html", False, RECORDS[:5]),
    ],
)
def test_a_conversion_may_be_killed_at_any_change(
    log: Path,
    tmp_path: Path,
    name: str,
    rebuild: bool,  # noqa: FBT001 - a parameter of the table
    records: list[bytes],
) -> None:
    """The next one ends with each row once; a rebuild may have to be said again."""
    log.write_bytes(b"".join(records))
    output = tmp_path / "at" / "out"
    expected = whole(tmp_path, records, name)
    steps = step = 1
    while step <= steps:
        shutil.rmtree(tmp_path / "at", ignore_errors=True)
        (tmp_path / "at").mkdir()
        if rebuild:
            convert(log, output, format=name)

        def die(number: int, _: str, at: int = step) -> None:
            if number == at:
                raise PowerLossError

        with watched() as disk:
            disk.before = die
            try:
                convert(log, output, format=name, rebuild=rebuild)
            except PowerLossError:
                steps = step + 1
        try:
            convert(log, output, format=name)
        except (OutputChangedError, StateError):
            assert rebuild
            convert(log, output, format=name, rebuild=True)
        assert content_of(output) == expected
        assert not list(tmp_path.rglob("*.aside-*"))
        step += 1
    assert step > 10


@pytest.mark.usefixtures("small_steps")
def test_the_power_may_go_while_a_csv_is_written(log: Path, tmp_path: Path) -> None:
    """The next conversion ends with each row once."""
    output = tmp_path / "at" / "out.csv"
    output.parent.mkdir()
    convert(log, output)
    log.write_bytes(b"".join(RECORDS[:8]))
    expected = whole(tmp_path, RECORDS[:8], "csv")["out"]
    with undying(tmp_path / "attic"):
        with volatile(output.parent) as disk:
            convert(log, output)
        for seed, moment in enumerate(disk.moments * 2):
            moment.restore(output.parent, tmp_path / "attic", random.Random(seed))
            convert(log, output)
            assert content_of(output)["out.csv"] == expected


@settings(max_examples=15)
@given(st.data())
def test_a_csv_may_have_any_part_of_what_follows(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """However much of it a killed conversion wrote, and whatever stands there instead."""
    folder = tmp_path_factory.mktemp("csv")
    log, output = folder / "log.jsonl", folder / "out.csv"
    log.write_bytes(b"".join(RECORDS[:2]))
    convert(log, output)
    log.write_bytes(b"".join(RECORDS[:6]))
    expected = whole(folder, RECORDS[:6], "csv")["out"]
    rows = expected[output.stat().st_size :]
    ours = data.draw(st.integers(0, len(rows)))
    strange = data.draw(st.sampled_from([b"", b"x", b"\0\0", b"{", b"1,2\n"]))
    with output.open("ab") as file:
        file.write(rows[:ours] + strange)
    convert(log, output)
    assert output.read_bytes() == expected
    aside = [path.read_bytes() for path in folder.glob("out.csv.aside-*")]
    assert aside == [] or aside[0].endswith(strange)
    assert bool(aside) == (bool(strange) and not rows[ours:].startswith(strange))


def test_a_csv_that_was_edited_is_not_added_to(log: Path) -> None:
    """Neither one that was saved by another program; `rebuild` makes it anew."""
    output = log.with_name("out.csv")
    convert(log, output)
    before = output.read_bytes()
    for edited in (before[:-1], before.replace(b"user", b"User", 1), b"x" * len(before)):
        (log.parent / "saved").write_bytes(edited)
        (log.parent / "saved").replace(output)
        with pytest.raises(OutputChangedError, match="--rebuild"):
            convert(log, output)
        assert output.read_bytes() == edited
    assert convert(log, output, rebuild=True).total == 5
    assert output.read_bytes() == before


@pytest.mark.parametrize("name", ["csv", "html"])
def test_an_output_of_somebody_else_is_refused(log: Path, tmp_path: Path, name: str) -> None:
    """Or of another format, or of another version; and of none is anything changed."""
    output = tmp_path / "out"
    if name == "csv":
        output.write_bytes(b"a,b\n")
    else:
        output.mkdir()
        (output / "mine.html").touch()
    before = content_of(output)
    for rebuild in (False, True):
        with pytest.raises(OutputExistsError, match=f"is not {name} that was converted"):
            convert(log, output, format=name, rebuild=rebuild)
    assert content_of(output) == before
    shutil.rmtree(output) if output.is_dir() else output.unlink()
    convert(log, output, format=name)
    other = {"csv": "excel-csv", "html": "markdown"}[name]
    with pytest.raises(OutputExistsError, match="move it away"):
        convert(log, output, format=other)
    place = tmp_path / ".out.place" if name == "csv" else output / "_siteassist.json"
    place.write_bytes(place.read_bytes().replace(b'"version":1', b'"version":7'))
    with pytest.raises(StateError, match="has version 7"):
        convert(log, output, format=name)
    place.write_bytes(b"{")
    with pytest.raises(StateError, match="is damaged"):
        convert(log, output, format=name)


def test_transcripts_are_written_to_the_folder_only(log: Path, tmp_path: Path) -> None:
    """Whatever the ids and times of the records are."""
    output = tmp_path / "out"
    record = json.loads(RECORDS[0])
    records = [
        record | {"id": "../../escaped", "createdAt": "2026-01-01T00:00:00Z"},
        record | {"createdAt": "../../../x"},
        record | {"createdAt": None, "messages": None},
    ]
    log.write_bytes(b"".join(json.dumps(r).encode() + b"\n" for r in records))
    convert(log, output, format="markdown")
    names = sorted(content_of(output))
    assert len(names) == 2  # two records have the same id
    assert re.fullmatch(r"out/2026-01/other-[0-9a-f]{32}\.md", names[0])
    assert names[1] == f"out/undated/{IDS[0]}.md"
    shutil.rmtree(output / "2026-01")
    (output / "2026-01").symlink_to(tmp_path)
    log.write_bytes(log.read_bytes() * 2)
    with pytest.raises(OutputError, match="2026-01: is a link"):
        convert(log, output, format="markdown")


def test_a_folder_is_one_of_transcripts(log: Path) -> None:
    """If its name ends in a slash, and no other format's suffix comes before it."""
    convert(log, f"{log.parent}/read/")
    assert len(list(log.parent.glob("read/*/*.md"))) == 5
    convert(log, f"{log.parent}/rows.csv/")
    assert log.with_name("rows.csv").is_file()


HOSTILE = (
    "<script>alert(1)</script>\n# user\n![x](http://e.example/x)\n</div>\u202e\x1b[2J\x00&amp;"
)


def hostile() -> Transcript:
    """A transcript of which every text is made to break out."""
    record = json.loads(RECORDS[0])
    record |= {
        "title": HOSTILE,
        "messages": record["messages"][:3],
        "closeReason": HOSTILE,
        "humanAgent": {"name": HOSTILE},
    }
    for message in record["messages"]:
        message |= {"role": HOSTILE, "error": HOSTILE, "pageTitle": HOSTILE, "status": HOSTILE}
        message |= {"feedback": HOSTILE, "textSelection": HOSTILE}
        message["parts"] = [
            {"type": "text", "text": HOSTILE},
            {"type": "tool", "input": HOSTILE, "big": 2**70},
        ]
    record["messages"][1]["parts"] = HOSTILE
    record["messages"][2]["parts"] = [7]
    rows = decode([json.dumps(record).encode()])
    return Transcript.of(rows.conversations[0], rows.messages)


class Seen(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, Any] = {}
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.add(tag)
        self.attributes |= {name: value for name, value in attrs if name != "content"}

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


def test_a_page_is_safe_to_open() -> None:
    """It has our tags only, no links, and a policy that forbids all but its style."""
    page = as_html(hostile())
    seen = Seen(page)
    assert seen.tags == {
        *("html", "meta", "title", "style", "h1", "dl", "dt", "dd"),
        *("article", "h2", "p", "div", "pre"),
    }
    assert set(seen.attributes) == {"lang", "charset", "http-equiv", "name", "class", "dir"}
    assert "default-src 'none'; style-src 'sha256-" in page
    assert seen.text.count("<script>alert(1)</script>") > 10
    assert not re.search("[\x00\x1b\u202e]", page)
    assert "1180591620717411303424" in seen.text


def test_markdown_is_safe_to_show() -> None:
    """No line of a text is a heading, an image or HTML."""
    page = as_markdown(hostile())
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert len(headings) == 4
    quoted = [line for line in page.splitlines() if line.startswith("> ")]
    assert "> # user" in quoted
    assert "> !\\[x](http://e.example/x)" in quoted
    assert not any("<" in line for line in quoted)
    assert not re.search("[\x00\x1b\u202e]", page)


def test_a_transcript_reads_as_a_conversation() -> None:
    """With who said what, and what else is known."""
    record = json.loads(RECORDS[0])
    record |= {"title": None, "status": "closed", "closeReason": "solved", "messages": [
        {"object": "message", "id": "m", "chatId": record["id"], "role": "agent",
         "createdAt": "2026-01-01T10:00:00Z", "humanAgent": {"name": "Ann"}, "status": "complete",
         "parts": [{"type": "text", "text": "Hello\n\nBye"}]},
        {"object": "message", "id": "m", "chatId": record["id"], "role": "user",
         "createdAt": "0001-01-01T00:00:00+09:00", "status": "error", "error": "too long",
         "parts": []},
    ]}  # fmt: skip
    rows = decode([json.dumps(record).encode()])
    page = as_markdown(Transcript.of(rows.conversations[0], rows.messages))
    assert page.startswith(f"# Conversation {IDS[0]}\n\n- ID: {IDS[0]}\n- Status: closed, solved\n")
    assert page.endswith(
        "\n\n## agent, Ann, 2026-01-01 10:00:00 UTC\n\n> Hello\n>\n> Bye\n"
        "\n## user, 0001-01-01T00:00:00+09:00\n\n*status: error*  \n*error: too long*  \n\n"
    )


@pytest.mark.parametrize("name", ["csv", "markdown"])
def test_these_formats_are_not_read(tmp_path: Path, name: str) -> None:
    """They leave out too much."""
    from siteassist_async.formats import iter_export  # noqa: PLC0415 - of this test only

    with pytest.raises(ConfigurationError, match="read the log"):
        iter_export(tmp_path / "out", format=name)

"""Where ids come from, and what may be wrong with it."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from backports import zstd

from siteassist_async.export import (
    Ending,
    ExitCode,
    ExportError,
    InputError,
    Source,
    UnknownColumnError,
    exit_code,
)
from siteassist_async.export.values import LONGEST_LINE, columns

from .export_fakes import new_ids

if TYPE_CHECKING:
    from collections.abc import Generator

    from .export_fakes import Workbench

A, B, C = new_ids(3)

LISTS: dict[str, tuple[bytes, str | None, list[str], int]] = {
    # what is in the file, the column, the ids asked for, how many values are no ids
    "one a line": (f"{A}\n{B}\n".encode(), None, [A, B], 0),
    "no last line break": (f"{A}\n{B}".encode(), None, [A, B], 0),
    "blank lines": (f"\n\n{A}\n \n\t\n{B}\n\n".encode(), None, [A, B], 0),
    "surrounding white space": (f"  {A}\t\n\u00a0{B} \n".encode(), None, [A, B], 0),
    "Windows line breaks": (f"{A}\r\n{B}\r\n".encode(), None, [A, B], 0),
    "byte order mark": (f"\ufeff{A}\n{B}\n".encode(), None, [A, B], 0),
    "mark and white space": (f" \ufeff {A}\n".encode(), None, [A], 0),
    "upper case": (f"{A.upper()}\n".encode(), None, [A], 0),
    "no id among ids": (f"{A}\nid\n{B}\n".encode(), None, [A, B], 1),
    "a broken character": (f"{A}\n".encode() * 1 + b"x" * 70000 + b"\xff\n", None, [A], 1),
    "comments": (f"# ids\n{A} # one\n  #\n{B}\t# two\n".encode(), None, [A, B], 0),
    "no comment": (f"{A}#\n{B}\n".encode(), None, [B], 1),
    "quotes": (f"\"{A}\"\n\u201c{B}\u201d\n`'{C}'`\n".encode(), None, [A, B, C], 0),
    "half of a quote": (f'"{A}\n{B}\'\n{C}\n""\n'.encode(), None, [C], 3),
    "braces": (f"{{{A}}}\n({B})\n<{C}>\n".encode(), None, [A, B, C], 0),
    "no dashes": (f"{A.replace('-', '')}\n{B.replace('-', '', 1)}\n".encode(), None, [A], 1),
    "URNs": (f"urn:uuid:{A}\nURN:UUID:{B.upper()}\n{C}\n".encode(), None, [A, B, C], 0),
    "URLs": (
        f"https://app.example/c/{A}\n{{http://x/?id={B}}}\nhttps://x/y/{C}/\nx/{A}\n".encode(),
        None,
        [A, B, C],
        1,
    ),
    "an array": (f' \ufeff[ "{A}",\n"{B}" ,7]\n\n'.encode(), None, [A, B], 1),
    "an array of objects": (
        f'[{{"x":{{"id":"{A}"}}}}, {{"x":{{"id":"{B}"}},"y":"\\ud800"}}, 5, {{"x":1}}]'.encode(),
        "x.id",
        [A, B],
        2,
    ),
    "a long element": (
        f'[{{"x":"{"é" * 200_000}","id":"{A}"}},{{"id":"{B}"}}]'.encode(),
        "id",
        [A, B],
        0,
    ),
    "a nested key": (
        f'{{"a":{{"b":{{"c":"{A}"}}}}}}\n{{"a":{{"b":7}}}}\n{{"a.b.c":"{B}"}}'.encode(),
        "a.b.c",
        [A, B],
        1,
    ),
    "a column by number": (f"name;id\nx;{A}\ny;{B}\nz\n".encode(), "2", [A, B], 1),
    "a number without a header": (f"x,y|z,{A}\n1,2,{B}\n".encode(), "3", [A, B], 0),
    "a number and a first row": (f"x;1,{A}\ny;2,{B}\n".encode(), "2", [A, B], 0),
    "the only column by number": (f"{A}\n{B}\n".encode(), "1", [A, B], 0),
    "a name that is a number": (f"1,2\n{A},{B}\n".encode(), "2", [B], 0),
    "gzip": (
        gzip.compress(f"# x\n{A}\n".encode()) + gzip.compress(f"{B}\n".encode()),
        None,
        [A, B],
        0,
    ),
    "zstd": (zstd.compress(f"id,x\n{A},1\n{B},2\n".encode()), "id", [A, B], 0),
    "no brace for JSON": (f"{{\n{B}\n".encode(), None, [B], 1),
    "a line of a megabyte": (f"{A}\n{'x' * 2**20}\n{B}\n".encode(), None, [A, B], 1),
    "a long line at the end": (f"{A}\n{'x' * 40000}".encode(), None, [A], 1),
    "a line of a whole block": (
        f"{A}\n{'x' * 16383}\n{B}\n{'y' * 16384}".encode(),
        None,
        [A, B],
        2,
    ),
    "many blank lines": (b"\n" * 70000 + f"{A}\n".encode(), None, [A], 0),
    "CSV": (f"id,name\n{A},x\n{B},y\n".encode(), "id", [A, B], 0),
    "the last of the columns": (f"name,id\nx,{A}\ny,{B}\n".encode(), "id", [A, B], 0),
    "semicolons": (f"name;id\nx,y;{A}\n".encode(), "id", [A], 0),
    "tabs": (f"name\tid\nx\t{A}\n".encode(), "id", [A], 0),
    "bars": (f"name|id\nx|{A}\n".encode(), "id", [A], 0),
    "one column": (f"id\n{A}\n{B}\n".encode(), "id", [A, B], 0),
    "CSV with a mark": (f"\ufeffid,name\r\n{A},x\r\n".encode(), "id", [A], 0),
    "CSV after blank lines": (f"\n  \nid,name\n\n{A},x\n,\n".encode(), "id", [A], 0),
    "quoted cells": (f'"id","name"\n"{A}","x, ""y"""\n'.encode(), "id", [A], 0),
    "a cell of 200 kB": (f"id,x\n{A},{'y' * 200_000}\n{B},z\n".encode(), "id", [A, B], 0),
    "a cell of two lines": (f'name,id\n"x\ny",{A}\nz,"no\nid"\n'.encode(), "id", [A], 1),
    "a row that is short": (f"name,id\nx\ny,{A}\n".encode(), "id", [A], 1),
    "a cell that is empty": (f"id,name\n,x\n{A},y\n".encode(), "id", [A], 1),
    "JSON lines": (f'{{"id":"{A}"}}\n{{"x":1,"id":"{B}"}}\n'.encode(), "id", [A, B], 0),
    "JSON with a mark": (f'\ufeff{{"id":"{A}"}}\n'.encode(), "id", [A], 0),
    "JSON and blank lines": (f'\n{{"id":"{A}"}}\n\n{{"id":"{B}"}}'.encode(), "id", [A, B], 0),
    "JSON without the key": (f'{{"id":"{A}"}}\n{{"x":"{B}"}}\n'.encode(), "id", [A], 1),
    "JSON that is none": (f'{{"id":"{A}"}}\n{{"id":"{B}\n'.encode(), "id", [A], 1),
    "JSON that is no object": (f'{{"id":"{A}"}}\n["{B}"]\n'.encode(), "id", [A], 1),
    "an id that is no string": (
        f'{{"id":"{A}"}}\n{{"id":7}}\n{{"id":null}}\n'.encode(),
        "id",
        [A],
        2,
    ),
    "lone surrogates": (f'{{"id":"{A}","x":"\\ud800"}}\n{{"id":"\\ud800"}}'.encode(), "id", [A], 1),
    "a long line of JSON": (
        f'{{"id":"{A}"}}\n{{"x":"{"x" * LONGEST_LINE}","id":"{C}"}}\n{{"id":"{B}"}}\n'.encode(),
        "id",
        [A, B],
        1,
    ),
}


@contextmanager
def opened(through: str, path: Path, column: str | None) -> Generator[Source]:
    """A source of a file's content, by its path, as an open file or through a pipe."""
    if through == "path":
        yield Source(path, column)
        return
    if through == "open file":
        with path.open("rb") as file:
            yield Source(file.fileno(), column)
        return
    read, write = os.pipe()
    writer = threading.Thread(target=fill, args=(write, path.read_bytes()))
    writer.start()
    yield Source(read, column)
    os.close(read)
    writer.join()


def fill(pipe: int, content: bytes) -> None:
    """Write all to a pipe until its reader goes."""
    with os.fdopen(pipe, "wb") as file, suppress(BrokenPipeError):
        file.write(content)


@pytest.mark.parametrize("through", ["path", "open file", "pipe"])
@pytest.mark.parametrize("name", LISTS)
async def test_ids_are_read(bench: Workbench, name: str, through: str) -> None:
    """Each kind of list gives its ids, whatever way it comes."""
    content, column, ids, invalid = LISTS[name]
    bench.input.write_bytes(content)
    with opened(through, bench.input, column) as source:
        summary = await bench.run(source)
    assert sorted(bench.api.asked) == sorted(ids)
    assert (summary.ending, summary.counts.invalid) == (Ending.FINISHED, invalid)


LINES: dict[str, tuple[bytes, str | None, int]] = {
    "text": (f"{A}\n\nnone\n".encode(), None, 3),
    "CSV": (f'name,id\n"x\ny",{A}\nz,none\n'.encode(), "id", 4),
    "JSON lines": (f'{{"id":"{A}"}}\n\n{{"id":"none"}}\n'.encode(), "id", 3),
}


@pytest.mark.parametrize("name", LINES)
async def test_a_dead_letter_names_the_line_of_the_users_file(bench: Workbench, name: str) -> None:
    """The line of what is no id is that of the input as the user has it."""
    content, column, line = LINES[name]
    bench.input.write_bytes(content)
    await bench.run(Source(bench.input, column))
    assert [(letter["id"], letter["line"]) for letter in bench.letters()] == [("none", line)]


FAULTS: dict[str, tuple[bytes, str | None, str]] = {
    "empty": (b"", None, "contains no IDs"),
    "blank": (b" \n\n\t\r\n", None, "contains no IDs"),
    "only a mark": (b"\xef\xbb\xbf\n", None, "contains no IDs"),
    "only a header": (b"id,name\n", "id", "contains no IDs"),
    "empty with a column": (b"", "id", "has no column 'id'; its columns: none"),
    "UTF-16": (A.encode("utf-16"), None, "is UTF-16; save it as UTF-8"),
    "UTF-16 without a mark": (A.encode("utf-16-le"), None, "is not text: it contains NUL bytes"),
    "half of gzip": (gzip.compress(A.encode())[:-9], None, "is not valid gzip"),
    "broken gzip": (gzip.compress(A.encode())[:11] + b"\xff" * 9, None, "is not valid gzip"),
    "no gzip": (b"\x1f\x8b\x08", None, "is not valid gzip"),
    "half of zstd": (zstd.compress(A.encode())[:-9], None, "is not valid zstd"),
    "broken zstd": (zstd.compress(b"x" * 999)[:6] + b"\xff" * 20, None, "is not valid zstd"),
    "another compression": (b"BZh91AY&SY\xae", None, "is not UTF-8 text"),
    "compressed UTF-16": (gzip.compress(A.encode("utf-16")), None, "is UTF-16"),
    "words": (b"one\ntw\x1bo\n", None, "no ID in its first lines: IDs are UUIDs, unlike 'one'"),
    "an escape": (b"\x1b[2J\n", None, "IDs are UUIDs, unlike '\\\\x1b[2J'"),
    "words in a column": (
        b"id,x\n1,a\n2,b\n",
        "id",
        "no ID in column 'id': IDs are UUIDs, unlike '1'",
    ),
    "words in gzip": (gzip.compress(b"one\n"), None, "unlike 'one'"),
    "a number beyond": (f"id,x\n{A},1\n".encode(), "3", "has no column '3'; its columns: id, x"),
    "no column 0": (f"id,x\n{A},1\n".encode(), "0", "has no column '0'"),
    "another path": (
        f'{{"a":{{"b":"{A}"}}}}\n'.encode(),
        "a.c",
        "has no column 'a.c'; its columns: a, a.b",
    ),
    "an empty array": (b"[ ]", None, "contains no IDs"),
    "an array of objects as text": (f'[{{"a":"{A}"}}]'.encode(), None, "contains the IDs: a"),
    "an array of strings with a column": (f'["{A}"]'.encode(), "id", "has no column 'id'"),
    "an array cut": (f'["{A}", "{B}'.encode(), None, "not valid JSON at element 2 of its array"),
    "an array without its end": (f'["{A}"'.encode(), None, "not valid JSON at element 1"),
    "an array of too many commas": (f'["{A}",]'.encode(), None, "not valid JSON at element 2"),
    "an array of too deep nesting": (
        f'["{A}",{"[" * 100_000}'.encode(),
        None,
        "not valid JSON at element 2",
    ),
    "two arrays": (f'["{A}"]["{B}"]'.encode(), None, "has more after its JSON array"),
    "Latin 1": ("id,n\u00e4me\n".encode("latin-1"), "id", "is not UTF-8 text"),
    "another column": (b"a,b\n1,2\n", "id", "has no column 'id'; its columns: a, b"),
    "another key": (b'{"a":1,"b\\u001b":2}\n', "id", "its columns: a, b\\x1b"),
    "CSV as text": (f"a,b\n1,{A}\n".encode(), None, "choose the one that contains the IDs: a, b"),
    "CSV without a header": (f"{A}, 1\n".encode(), None, "choose the one that contains"),
    "JSON as text": (
        f'{{"a":"{A}"}}\n'.encode(),
        None,
        "choose the one that contains the IDs: a",
    ),
    "an open quote": (f'id,x\n{A},"y\n{B},z\n'.encode(), "id", "is not valid CSV in line 3"),
    "an open quote before too much": (
        b'id,x\nn,"' + b"y\n" * (LONGEST_LINE // 2 + 1),
        "id",
        "is not valid CSV in line",
    ),
    "a huge header": (f"id{'x' * 200_000}\n".encode(), "id", "has no column 'id'"),
    "a huge line": (b"id,x\n" + b'",' * LONGEST_LINE, "id", "has a line of more than"),
}


def test_a_header_beyond_the_limit_of_csv_is_one_column() -> None:
    """In a process that has read no table yet the limit is still 128 KiB a cell."""
    header = f"id,{'x' * 200_000}"
    before = csv.field_size_limit(1 << 17)
    try:
        assert columns(io.BytesIO(header.encode())) == (header,)
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("through", ["path", "pipe"])
@pytest.mark.parametrize("name", FAULTS)
async def test_an_input_that_cannot_be_read_is_named(
    bench: Workbench, name: str, through: str
) -> None:
    """The error says what is wrong with which input; nothing is written and nothing asked."""
    content, column, message = FAULTS[name]
    bench.input.write_bytes(content)
    with opened(through, bench.input, column) as source, pytest.raises(InputError) as raised:
        await bench.run(source)
    assert message in str(raised.value)
    assert raised.value.path == source.name
    assert exit_code(raised.value) is ExitCode.WRONG_USAGE
    assert (bench.files(), bench.api.asked) == ({}, [])
    assert through == "pipe" or not bench.state.exists()


@pytest.mark.parametrize("name", ["ids.csv", "ids.TSV", "ids.csv.gz"])
async def test_a_header_of_one_column_is_no_dead_letter(bench: Workbench, name: str) -> None:
    """Who names a file CSV is asked for the column; in a list the same line is a wrong ID."""
    content = f"conversation\n{A}\n{B}\n".encode()
    path = bench.folder / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(UnknownColumnError, match="IDs: conversation \\(--column\\)"):
        await bench.run(Source(path))
    assert (await bench.run(Source(path, "conversation"))).exported == 2


@pytest.mark.parametrize(
    ("name", "lines", "exported"),
    [
        ("ids.csv", [A, B], 2),
        ("ids.csv", [A], 1),
        ("ids.csv", [A, "x", B], 2),
        ("ids.txt", ["conversation", A], 1),
    ],
)
async def test_one_column_without_a_header_is_a_list(
    bench: Workbench, name: str, lines: list[str], exported: int
) -> None:
    """Whatever it is called."""
    path = bench.folder / name
    path.write_text("\n".join(lines))
    assert (await bench.run(Source(path))).exported == exported


async def test_an_unknown_column_comes_with_those_there_are(bench: Workbench) -> None:
    """Whoever catches the error has the columns as they are."""
    bench.input.write_bytes(b"a;b\n1;2\n")
    with pytest.raises(UnknownColumnError) as raised:
        await bench.run(Source(bench.input, "id"))
    assert raised.value.columns == ("a", "b")


async def test_a_missing_input_is_named(bench: Workbench) -> None:
    """The path is in the error, and so is the reason."""
    with pytest.raises(InputError, match=r"ids\.txt: cannot be read: No such file or directory"):
        await bench.run()


async def test_a_folder_is_no_input(bench: Workbench) -> None:
    """A folder can be opened and not read."""
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        await bench.run(Source(bench.folder))


async def test_an_input_that_breaks_off_is_named(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input on a failing disk ends the run; the next one goes on."""
    bench.write(new_ids(1000))
    pread, broken = os.pread, OSError(5, "Input/output error")

    def failing(file: int, size: int, offset: int) -> bytes:
        if offset > 16000:
            raise broken
        return pread(file, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(InputError, match=r"ids\.txt: cannot be read: Input/output error"):
        await bench.job().run()
    monkeypatch.undo()
    await bench.finish()
    bench.check(new_ids(1000))


def test_sources_have_names_for_errors() -> None:
    """A path is its own name, the descriptor 0 is standard input."""
    names = [Source(file).name for file in (Path("x/y"), 0, 7)]
    assert names == ["x/y", "standard input", "file descriptor 7"]


async def test_a_pipe_that_gives_nothing_can_be_stopped(bench: Workbench) -> None:
    """Where the ids are yet to come, `stop` ends the run, and says what the export holds."""
    read, write = os.pipe()
    job = bench.job(Source(read))
    running = asyncio.create_task(job.run())
    while not bench.state.exists():  # noqa: ASYNC110 - a folder tells nobody that it is there
        await asyncio.sleep(0)
    job.stop()
    summary = await running
    assert (summary.ending, summary.progress.asked) == (Ending.STOPPED, 0)
    os.close(read)
    os.close(write)


async def test_a_pipe_that_gives_nothing_can_be_cancelled(bench: Workbench) -> None:
    """Being cancelled ends the reading too, and frees the output for the next run."""
    read, write = os.pipe()
    running = asyncio.create_task(bench.job(Source(read)).run())
    while not bench.state.exists():  # noqa: ASYNC110 - a folder tells nobody that it is there
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    os.close(write)
    os.close(read)
    bench.write([A])
    await bench.finish()


async def test_what_was_exported_is_told_where_a_pipe_was_stopped(bench: Workbench) -> None:
    """A run that was stopped while it waited for its ids changes nothing of what is there."""
    bench.write([A, B, "none"])
    with opened("pipe", bench.input, None) as source:
        await bench.run(source)
    read, write = os.pipe()
    job = bench.job(Source(read))
    job.stop()
    os.write(write, b"x")
    summary = await job.run()
    bench.audit(summary)
    assert (summary.progress.asked, summary.progress.already_there, summary.counts.invalid) == (
        3,
        2,
        1,
    )
    os.close(read)
    os.close(write)


async def test_a_file_that_someone_began_to_read_is_read_from_there(bench: Workbench) -> None:
    """As `(read header; export -) < ids` has it."""
    bench.input.write_text(f"header\n{A}\n")
    with bench.input.open("rb") as file:
        os.lseek(file.fileno(), len("header\n"), os.SEEK_SET)
        await bench.run(Source(file.fileno()))
    assert (bench.api.asked, bench.letters()) == ([A], [])


async def test_a_named_pipe_is_an_input(bench: Workbench) -> None:
    """As is what a shell makes of `<(command)`."""
    os.mkfifo(bench.input)
    writer = threading.Thread(target=bench.input.write_text, args=(f"{A}\n",))
    writer.start()
    await bench.run()
    writer.join()
    assert bench.api.asked == [A]


def test_an_error_names_its_path_once() -> None:
    """An error without a path is its message alone."""
    assert str(ExportError("is empty", path="ids.txt")) == "ids.txt: is empty"
    assert str(ExportError("is empty")) == "is empty"

"""IDs in every shape of file, from several files, and from Python."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import os
import sqlite3
import sys
import tracemalloc
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from siteassist_async.errors import ConfigurationError
from siteassist_async.export import (
    Ending,
    ExitCode,
    ExportJob,
    InputError,
    OutputError,
    Source,
    UnknownColumnError,
    exit_code,
)
from siteassist_async.export.values import (
    LONGEST_LINE,
    NO_VERSION,
    UNKNOWN_VERSION,
    Columns,
    values,
    version_of,
)
from siteassist_async.ids import read_id

from .export_fakes import new_ids

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from siteassist_async.export import GivenIds

    from .export_fakes import Workbench

IDS = new_ids(9)
T1 = datetime(2026, 1, 1, tzinfo=UTC)

FORMS: list[Callable[[str], str]] = [
    str,
    str.upper,
    "{{{}}}".format,
    '"{}"'.format,
    "urn:uuid:{}".format,
    "https://app.siteassist.io/c/{}".format,
    lambda text: text.replace("-", ""),
]
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=9)
items = st.tuples(
    st.sampled_from(IDS),
    st.sampled_from(FORMS),
    st.datetimes(timezones=st.just(UTC)),
    words,
    st.sampled_from(["", "\n", " \r\n"]),  # blank lines
)


def text(rows: list[tuple[str, datetime, str]]) -> tuple[str, Columns]:
    """Plain text, with a comment in each line."""
    lines = (f"{given}{' # ' + word if word.strip() else ''}\n" for given, _, word in rows)
    return "#\n" + "".join(lines), Columns()


def table(rows: list[tuple[str, datetime, str]]) -> tuple[str, Columns]:
    """CSV, with cells that need quotes."""
    out = io.StringIO()
    csv.writer(out).writerows(
        [("updatedAt", "x", "id"), *((time.isoformat(), word, i) for i, time, word in rows)]
    )
    return out.getvalue(), Columns("id")


def lines(rows: list[tuple[str, datetime, str]]) -> tuple[str, Columns]:
    """JSON lines, with the ID within an object."""
    made = ({"x": word, "c": {"id": i, "updatedAt": str(time)}} for i, time, word in rows)
    return "".join(f"{json.dumps(row)}\n" for row in made), Columns("c.id")


def array(rows: list[tuple[str, datetime, str]]) -> tuple[str, Columns]:
    """A JSON array over several lines, with another name for the time."""
    made = [{"x": [word], "id": i, "at": str(time)} for i, time, word in rows]
    return json.dumps(made, indent=1, ensure_ascii=False), Columns("id", "at")


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(items, min_size=1, max_size=30),
    shape=st.sampled_from([text, table, lines, array]),
    compress=st.sampled_from([bytes, gzip.compress, zstd.compress]),
)
async def test_every_shape_of_file_gives_its_ids_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, Callable[[str], str], datetime, str, str]],
    shape: Callable[[list[tuple[str, datetime, str]]], tuple[str, Columns]],
    compress: Callable[[bytes], bytes],
) -> None:
    """With their times, whatever stands beside them and however it is compressed."""
    content, wanted = shape([(form(i), time, word) for i, form, time, word, _ in rows])
    path = tmp_path_factory.mktemp("input") / "ids"
    path.write_bytes(compress(content.encode()))
    with Source(path, wanted.ids, wanted.updated).open() as source:
        source.inspect()
        with source.parts[0].content() as file:
            found = list(values(file, source.parts[0].wanted, "ids"))
    assert [read_id(value.text) for value in found] == [i for i, *_ in rows]
    numbers = [value.line for value in found]
    assert numbers == sorted(set(numbers))
    times = [NO_VERSION if shape is text else version_of(time) for _, _, time, *_ in rows]
    assert [value.version for value in found] == times


@settings(max_examples=100, deadline=None)
@given(
    data=st.binary(max_size=200)
    | st.tuples(
        st.sampled_from([b"[", b"{", b"\xef\xbb\xbf[", b'["', b"\x1f\x8b", b"\x28\xb5\x2f\xfd"]),
        st.binary(max_size=200),
    ).map(b"".join),
    column=st.sampled_from([None, "id", "1", "a.b"]),
)
def test_no_bytes_raise_anything_but_our_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, column: str | None
) -> None:
    """And what is read is one value a line."""
    path = tmp_path_factory.mktemp("input") / "ids"
    path.write_bytes(data)
    with Source(path, column).open() as source:
        found: list[int] = []
        with suppress(InputError):
            source.inspect()
            with source.parts[0].content() as file:
                found.extend(value.line for value in values(file, source.parts[0].wanted, "ids"))
        assert found == sorted(set(found))


def test_the_memory_of_a_reader_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Nor with an array of one line, as most are."""
    element = json.dumps({"id": IDS[0], "x": "y" * 1000}).encode()
    path = tmp_path / "ids.json"
    path.write_bytes(b"[\n" + b",".join([element] * 10_000) + b"]")
    with path.open("rb") as file:
        tracemalloc.start()
        count = sum(1 for _ in values(file, Columns("id"), "ids"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (count, peak < 1_000_000 < path.stat().st_size) == (10_000, True)


@pytest.mark.parametrize(
    ("given", "version"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        (" 1970-01-01 02:00:00.5+02:00 ", 500_000),
        ("1970-01-02", 86_400_000_000),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 1),
        ("0001-01-01T00:00:00", 1),
        ("9999-12-31T23:59:59-12:00", 253_402_343_999_000_000),
        ("yesterday", UNKNOWN_VERSION),
        ("", UNKNOWN_VERSION),
        (1_700_000_000, UNKNOWN_VERSION),
        (None, UNKNOWN_VERSION),
    ],
)
def test_a_time_is_a_version(given: object, version: int) -> None:
    """In microseconds, in UTC where nothing else is said; what cannot be read is unknown."""
    assert version_of(given) == version


async def test_several_files_are_one_input(bench: Workbench) -> None:
    """Of any shape; the numbers of their lines go on, an empty one is skipped, a pipe is read."""
    paths = [bench.folder / name for name in ("a.txt", "b", "c.json.gz", "d")]
    paths[0].write_text(f"{IDS[0]}\n\nnone\n")
    paths[1].write_text("\n")
    paths[2].write_bytes(gzip.compress(json.dumps([IDS[1], "nor this", IDS[0]]).encode()))
    os.mkfifo(paths[3])
    fill = asyncio.create_task(asyncio.to_thread(paths[3].write_text, f"{IDS[2]}\n"))
    summary = await bench.run(Source(paths))
    await fill
    assert sorted(bench.api.asked) == sorted(IDS[:3])
    assert [(letter["id"], letter["line"]) for letter in bench.letters()] == [
        ("none", 3),
        ("nor this", 5),
    ]
    assert summary.counts.duplicates == 1
    assert not (bench.state / "received.new").exists()


async def test_several_files_without_ids_are_named(bench: Workbench) -> None:
    """All of them, whether they can be read twice or not."""
    a, b = bench.folder / "a", bench.folder / "b"
    a.write_text("")
    b.write_text("#\n")
    with pytest.raises(InputError, match=r"a, .*b: contains no IDs"):
        await bench.run(Source([a, b]))
    read, write = os.pipe()
    os.close(write)
    with pytest.raises(InputError, match=r"a, file descriptor .*: contains no IDs"):
        await bench.run(Source([a, read]))
    os.close(read)
    with pytest.raises(ConfigurationError, match="a source needs a file"):
        Source([])


async def test_without_its_library_zstd_is_refused(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install."""
    bench.input.write_bytes(zstd.compress(IDS[0].encode()))
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(InputError, match=r"pip install 'siteassist_async\[zstd\]'"):
        await bench.run()


async def later(ids: list[str]) -> AsyncIterator[str]:
    """Give IDs in time."""
    for conversation_id in ids:
        await asyncio.sleep(0)
        yield conversation_id


GIVEN: dict[str, Callable[[], GivenIds]] = {
    "a list": lambda: IDS,
    "UUIDs": lambda: map(UUID, IDS),
    "a generator": lambda: (i.upper() for i in IDS),
    "an async generator": lambda: later(IDS),
    "rows": lambda: [(i,) for i in IDS],
    "rows with times": lambda: [(i, T1) for i in IDS],
    "rows with texts": lambda: [(i, "2026-01-01") for i in IDS],
    "rows by name": lambda: [{"id": i, "at": T1} for i in IDS],  # type: ignore[misc] # pyright: ignore[reportReturnType] # some drivers' rows
}


@pytest.mark.parametrize("name", GIVEN)
async def test_any_iterable_is_an_input(bench: Workbench, name: str) -> None:
    """Given again, it asks for nothing."""
    for exported in (9, 0):
        job = ExportJob(GIVEN[name](), bench.output, fetch=bench.api.fetch)
        summary = await job.run()
        assert (summary.ending, summary.exported) == (Ending.FINISHED, exported)
    bench.check(IDS)
    assert sorted(path.name for path in bench.folder.iterdir()) == [
        ".out.jsonl.export",
        "out.jsonl",
    ]


async def test_what_is_no_id_among_them_is_a_dead_letter(bench: Workbench) -> None:
    """By its place."""
    odd: list[object] = [IDS[0], 7, None, "\ud800", (), ("x", "y"), IDS[1]]
    await ExportJob(odd, bench.output, fetch=bench.api.fetch).run()  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # as from careless code
    assert sorted(bench.records()) == sorted(IDS[:2])
    assert [(x["id"], x["line"]) for x in bench.letters()] == [
        ("7", 2),
        ("None", 3),
        ("\\ud800", 4),
        ('""', 5),
        ("x", 6),
    ]


@pytest.mark.parametrize("ids", ["x", b"x", UUID(IDS[0]), 7, None])
def test_what_cannot_be_iterated_is_refused(tmp_path: Path, ids: object) -> None:
    """A single ID too, whose characters would be meant otherwise."""
    with pytest.raises(ConfigurationError, match=r"source must be a Source or an iterable"):
        ExportJob(ids, tmp_path / "x", fetch=lambda _: asyncio.sleep(0, b""))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # see above


async def test_no_ids_from_python_are_no_input(bench: Workbench) -> None:
    """As with a file."""
    with pytest.raises(InputError, match="the given IDs: "):
        await ExportJob([], bench.output, fetch=bench.api.fetch).run()


async def test_reading_an_iterable_can_be_stopped(bench: Workbench) -> None:
    """Even an endless one."""

    def endless() -> Iterator[str]:
        while True:
            yield IDS[0]

    job = ExportJob(endless(), bench.output, fetch=bench.api.fetch)
    asyncio.get_running_loop().call_later(0.05, job.stop)
    assert (await job.run()).ending is Ending.STOPPED
    assert bench.files() == {}


async def test_an_iterable_needs_the_outputs_folder(bench: Workbench) -> None:
    """Where it is not there, the error names the output."""
    with pytest.raises(OutputError, match=r"missing/out\.jsonl: cannot be written"):
        await ExportJob(IDS, bench.folder / "missing" / "out.jsonl", fetch=bench.api.fetch).run()


async def test_a_cursor_is_an_input(bench: Workbench) -> None:
    """Read in the thread that it belongs to."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE ticket (conversation TEXT, changed TEXT)")
        database.executemany("INSERT INTO ticket VALUES (?, '2026-01-01')", [(i,) for i in IDS])
        rows = database.execute("SELECT conversation, changed FROM ticket")
        await ExportJob(rows, bench.output, fetch=bench.api.fetch).run()
    bench.check(IDS)


async def test_a_run_may_be_limited(bench: Workbench) -> None:
    """It fetches so many, and what needs no fetching besides; the next runs go on."""
    lines = [*IDS[:3], "none", IDS[0], *IDS[3:]]
    bench.write(lines)
    for exported, ending, invalid in (
        (3, Ending.LIMITED, 1),
        (3, Ending.LIMITED, 1),
        (3, Ending.FINISHED, 1),
        (0, Ending.FINISHED, 1),
    ):
        summary = await bench.run(most=3)
        assert (summary.exported, summary.ending) == (exported, ending)
        assert summary.counts.invalid == invalid
        assert exit_code(summary) is (
            ExitCode.RUN_AGAIN if ending is Ending.LIMITED else ExitCode.SOME_FAILED
        )
    bench.check(lines)
    assert len(bench.api.asked) == len(IDS)
    with pytest.raises(ConfigurationError, match="most must be at least 1, not 0"):
        bench.job(most=0)


def test_a_line_of_json_that_is_too_long_is_one_value() -> None:
    """An element of an array is the end of it."""
    file = io.BytesIO(f'["{"x" * (3 * LONGEST_LINE)}"]'.encode())
    with pytest.raises(InputError, match="not valid JSON at element 1"):
        list(values(file, Columns(), "ids"))


@pytest.mark.parametrize("content", [f"id,x\n{IDS[0]},1\n", f'{{"id":"{IDS[0]}","x":1}}\n'])
async def test_times_that_were_asked_for_must_be_there(bench: Workbench, content: str) -> None:
    """Another column is no reason to fetch all of them."""
    bench.input.write_text(content)
    with pytest.raises(UnknownColumnError, match="has no column 'changed'; its columns: id, x"):
        await bench.run(Source(bench.input, "id", "changed"))


def test_an_element_may_end_where_a_piece_of_the_file_does() -> None:
    """It might have gone on, as a number would."""
    padding = " " * (65_536 - len(f'["{IDS[0]}"'))
    file = io.BytesIO(f'[{padding}"{IDS[0]}","{IDS[1]}"]'.encode())
    assert [value.text for value in values(file, Columns(), "ids")] == IDS[:2]

"""Converting a log to each format, again and again."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import duckdb
import msgspec
import pytest
from export.volatile_disk import undying, volatile
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import SINKS, every_sink, ids_of, new_id, record, records, tables_of
from strategies import PROPERTY

from siteassist_async import Conversation
from siteassist_async.export import (
    ExitCode,
    InputChangedError,
    InputError,
    OutputError,
    OutputExistsError,
    OutputInUseError,
    StateError,
    exit_code,
)
from siteassist_async.formats import Converted, convert, iter_export, log, parquet, prepare
from siteassist_async.formats import duckdb as duckdb_format
from siteassist_async.formats import sqlite as sqlite_format
from siteassist_async.formats.converting import workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A log of ten conversations."""
    path = tmp_path / "c.jsonl"
    path.write_bytes(records(range(10)))
    return path


@pytest.fixture(params=SINKS)
def output(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Where to convert it to."""
    return tmp_path / f"c.{request.param}"


def models(path: Path, *, latest: bool = False) -> dict[str, Conversation]:
    """The conversations of an export, each of which is there once."""
    found = [*iter_export(path, latest=latest)]
    by_id = {conversation.id: conversation for conversation in found}
    assert len(by_id) == len(found)
    return by_id


def test_convert_and_convert_again(source: Path, output: Path) -> None:
    """All of the log, then only its growth, then nothing; no file is left beside."""
    seen: list[int] = []
    assert convert(source, output, on_progress=seen.append) == Converted(output, 10, 10)
    assert seen == [10]
    assert models(output) == models(source)
    with source.open("ab") as file:
        file.write(records([10, 11]) + b'{"object":')
    assert convert(str(source), str(output)) == Converted(output, 2, 12)
    before = tables_of(output)
    assert convert(source, output) == Converted(output, 0, 12)
    assert tables_of(output) == before
    assert ids_of(output) == [new_id(number) for number in range(12)]
    assert len(before[1]) == sum(number % 4 for number in range(12))
    assert [msgspec.json.decode(line)["id"] for line in iter_export(output, raw=True)] == [
        new_id(number) for number in range(12)
    ]
    assert {path.name for path in output.parent.iterdir()} == {source.name, output.name}
    assert output.stat().st_mode & 0o077 == 0


def test_no_output_is_made_of_a_missing_log(source: Path, output: Path) -> None:
    """Nor is one that exists changed."""
    with pytest.raises(InputError, match="No such file"):
        convert(source.with_name("none"), output)
    assert [*output.parent.iterdir()] == [source]
    convert(source, output)
    before = tables_of(output)
    with pytest.raises(InputError, match="No such file"):
        convert(source.with_name("none"), output, rebuild=True)
    assert tables_of(output) == before


def test_the_newest_record_wins(source: Path, output: Path) -> None:
    """Within an increment and after it, with its own messages only."""
    convert(source, output)
    newer = [record(3, title="a", messages=[]), record(4, title="b"), record(3, title="c")]
    with source.open("ab") as file:
        file.writelines(newer)
    convert(source, output)
    expected = models(source, latest=True)
    assert len(expected) == 10
    assert expected[new_id(3)].title == "c"
    assert models(output) == models(output, latest=True) == expected
    assert ids_of(output) == [new_id(number) for number in range(10)]
    assert len(tables_of(output)[1]) == sum(number % 4 for number in range(10))
    convert(source, output, rebuild=True)
    assert models(output) == expected
    with source.open("ab") as file:
        file.write(record(3, title="d") + record(11))
    assert convert(source, output) == Converted(output, 2, 15)
    assert models(output) == models(source, latest=True)


@pytest.mark.parametrize("renames", range(12))
def test_parts_that_are_written_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """A conversion that ends between any two renames: what is read is whole, the next goes on."""
    output = tmp_path / "c.parquet"
    monkeypatch.setattr(log, "BATCH", 1)
    monkeypatch.setattr(parquet, "PART", 1)
    convert(source, output)
    before = models(output)
    with source.open("ab") as file:
        file.write(record(1, title="a") + record(9, title="b") + record(10))
    after = models(source, latest=True)
    left = iter(range(renames))
    replace = Path.replace

    def until(path: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise OSError("ends here")
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", until)
        with suppress(OutputError):
            convert(source, output)
    assert next(left, None) is None, "each of the renames is tried"
    found = models(output, latest=True)
    assert before.keys() <= found.keys()
    assert all(c in (before.get(i), after[i]) for i, c in found.items())
    convert(source, output)
    assert models(output) == after
    assert len(tables_of(output)[1]) == sum(number % 4 for number in range(11))


def test_the_power_may_go_while_parquet_is_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while parts are written again: the next conversion ends with each newest row once."""
    monkeypatch.setattr(log, "BATCH", 1)
    monkeypatch.setattr(parquet, "PART", 1)
    output = tmp_path / "at" / "c.parquet"
    output.parent.mkdir()
    convert(source, output)
    with source.open("ab") as file:
        file.write(record(1, title="a") + record(10))
    convert(source, whole := tmp_path / "whole.parquet")
    expected = tables_of(whole)
    with undying(tmp_path / "attic"):
        with volatile(output.parent) as disk:
            convert(source, output)
        for seed, moment in enumerate(disk.moments):
            moment.restore(output.parent, tmp_path / "attic", random.Random(seed))
            convert(source, output)
            assert tables_of(output) == expected
    assert len(disk.moments) > 10


def test_the_newest_of_odd_records(tmp_path: Path) -> None:
    """Whatever their ids are; what has none is refused with its number."""
    source, output = tmp_path / "c.jsonl", tmp_path / "c.parquet"
    odd = b'{"object":"conversation","id":"x","title":"%b"}\n'
    line = record(1)
    lone = line.replace(b'"object":"conversation",', b'"object":"conversation","a\\ud800":1,')
    source.write_bytes(odd % b"1" + lone + odd % b"2" + lone)
    convert(source, output)
    convert(source, output, rebuild=True)
    assert ids_of(output) == [new_id(1), "x"]
    assert len([*iter_export(source, latest=True, raw=True)]) == 2
    with source.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(InputError, match="line 5 is not"):
        convert(source, output, rebuild=True)


def test_rebuild(source: Path, output: Path) -> None:
    """The log is converted anew, and what was there is replaced."""
    convert(source, output)
    source.write_bytes(records(range(5, 8)))
    with pytest.raises(InputChangedError, match="siteassist convert --rebuild") as caught:
        convert(source, output)
    assert exit_code(caught.value) == ExitCode.WRONG_USAGE
    assert len(ids_of(output)) == 10
    assert convert(source, output, rebuild=True) == Converted(output, 3, 3)
    assert models(output) == models(source)
    assert {path.name for path in output.parent.iterdir()} == {source.name, output.name}
    fresh = output.with_name(f"fresh{output.suffix}")
    assert convert(source, fresh, rebuild=True) == Converted(fresh, 3, 3)


def test_a_rebuild_that_fails_leaves_the_old(source: Path, output: Path) -> None:
    """So does one that is killed: the next one begins anew."""
    convert(source, output)
    with source.open("ab") as file:
        file.write(b"[]\n")
    with pytest.raises(InputError, match="line 11 is not the record of a conversation"):
        convert(source, output, rebuild=True)
    assert len(ids_of(output)) == 10
    assert len([*output.parent.iterdir()]) == 2
    left = output.with_name(f".{output.name}.convert") / "new"  # as a killed process leaves it
    left.parent.mkdir()
    shutil.copytree(output, left) if output.is_dir() else left.write_text("half")
    source.write_bytes(records(range(4)))
    assert convert(source, output, rebuild=True).records == 4
    assert len(ids_of(output)) == 4


def test_a_folder_is_put_back(source: Path, tmp_path: Path) -> None:
    """A rebuild that was killed between its two steps has lost nothing."""
    output = tmp_path / "c.parquet"
    convert(source, output)
    left = tmp_path / ".c.parquet.convert"
    left.mkdir()
    output.rename(left / "old")
    assert convert(source, output) == Converted(output, 0, 10)


def test_a_line_that_is_no_record(source: Path, output: Path) -> None:
    """It is named; once it is removed, the conversion goes on."""
    convert(source, output)
    good = source.read_bytes()
    source.write_bytes(good + records([10]) + b'{"id":7}\n')
    with pytest.raises(InputError, match=r"line 12 is not the record of a conversation: it has no"):
        convert(source, output)
    source.write_bytes(good + records([10]))
    convert(source, output)
    assert len(ids_of(output)) == 11


@pytest.mark.parametrize(
    "content", [b"mine", b"SQLite format 3\0" + bytes(100), b"\0" * 8 + b"DUCK"]
)
def test_what_nobody_converted_is_left_alone(source: Path, output: Path, content: bytes) -> None:
    """A file of someone else, whatever it is; with `rebuild` too."""
    output.write_bytes(content)
    for rebuild in (False, True):
        with pytest.raises((OutputExistsError, StateError, OutputError)):
            convert(source, output, rebuild=rebuild)
        with pytest.raises((OutputExistsError, StateError, OutputError)):
            list(iter_export(output))
    assert output.read_bytes() == content


def test_a_folder_of_someone_else_is_left_alone(source: Path, output: Path) -> None:
    """Even if it looks like Parquet."""
    output.mkdir()
    (output / "_siteassist.json").write_text('{"format":"other","version":1}')
    with pytest.raises(OutputError):
        convert(source, output)
    assert [path.name for path in output.iterdir()] == ["_siteassist.json"]


def test_databases_of_someone_else_are_left_alone(source: Path, tmp_path: Path) -> None:
    """With their own tables."""
    with closing(sqlite3.connect(tmp_path / "mine.sqlite")) as database:
        database.execute("CREATE TABLE conversations (id)")
    with closing(duckdb.connect(tmp_path / "mine.duckdb")) as database:
        database.execute("CREATE TABLE conversations (id INTEGER)").fetchall()
    for name in ("mine.sqlite", "mine.duckdb"):
        for rebuild in (False, True):
            with pytest.raises(OutputExistsError, match="already exists and is not a"):
                convert(source, tmp_path / name, rebuild=rebuild)


def test_an_empty_file_or_folder_is_free(source: Path, output: Path) -> None:
    """As `mktemp` makes them."""
    output.mkdir() if output.suffix == ".parquet" else output.touch()
    assert convert(source, output).records == 10
    link = output.with_name(f"link{output.suffix}")
    link.symlink_to(output)
    assert convert(source, link) == Converted(output, 0, 10)


def test_two_at_once(source: Path, output: Path) -> None:
    """The second is told, and told when the first is over."""
    with workshop(output), pytest.raises(OutputInUseError, match="another conversion") as caught:
        convert(source, output)
    assert exit_code(caught.value) == ExitCode.RUN_AGAIN
    assert convert(source, output).records == 10


def test_the_lock_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock whose file was removed by the one who had it is none."""
    output = tmp_path / "o"
    folder = tmp_path / ".o.convert"
    opened: list[Path] = []
    real = os.open

    def racing(path: Path, *rest: object, **more: object) -> int:
        opened.append(path)
        if len(opened) == 1:
            folder.rmdir()
            raise FileNotFoundError
        descriptor = real(path, *rest, **more)  # type: ignore[arg-type] # as they came
        if len(opened) == 2:
            (folder / "lock").unlink()
        return descriptor

    monkeypatch.setattr(os, "open", racing)
    with workshop(output):
        assert len(opened) == 3
        assert (folder / "lock").exists()
    assert not folder.exists()


def test_a_workshop_that_is_a_link(source: Path, output: Path, tmp_path: Path) -> None:
    """It is not followed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f".{output.name}.convert").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is a link"):
        convert(source, output)


def test_an_output_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    """Its folder does not exist."""
    with pytest.raises(OutputError, match="No such file"):
        convert(source, tmp_path / "none" / "c.sqlite")


def older(output: Path) -> None:
    """Make an output of another version of this package of it."""
    if output.suffix == ".parquet":
        (output / "_siteassist.json").write_text('{"format":"siteassist","version":0}')
    elif output.suffix == ".sqlite":
        with closing(sqlite3.connect(output)) as database:
            database.execute("PRAGMA user_version = 0")
    else:
        with closing(duckdb.connect(output)) as database:
            database.execute("UPDATE siteassist_place SET version = 0").fetchall()


def test_another_version(source: Path, output: Path) -> None:
    """One clear line; `rebuild` makes it one of this version."""
    convert(source, output)
    older(output)
    with pytest.raises(StateError, match=r"version 0 of the tables, .* version 1; .*--rebuild"):
        convert(source, output)
    with pytest.raises(StateError, match="version 0"):
        list(iter_export(output))
    assert convert(source, output, rebuild=True).records == 10
    assert models(output) == models(source)


def test_damage_is_found(source: Path, tmp_path: Path) -> None:
    """What is missing or replaced is named; `rebuild` makes it whole."""
    output = tmp_path / "c.parquet"
    convert(source, output)
    with source.open("ab") as file:
        file.write(records([10]))
    convert(source, output)
    (output / "conversations/000001.parquet").unlink()
    with pytest.raises(StateError, match="a part is missing"):
        convert(source, output)
    convert(source, output, rebuild=True)
    part = output / "messages/000001.parquet"
    parquet.pq.write_table(parquet.pq.read_table(part).replace_schema_metadata({}), part)
    with pytest.raises(StateError, match="does not say its place"):
        convert(source, output)
    part.write_bytes(b"PAR1")
    with pytest.raises(StateError, match="is damaged"):
        convert(source, output)
    assert convert(source, output, rebuild=True).records == 11


def test_damaged_databases(source: Path, tmp_path: Path) -> None:
    """Their errors are ours."""
    output = tmp_path / "c.sqlite"
    convert(source, output)
    with closing(sqlite3.connect(output, isolation_level=None)) as database:
        database.execute("DELETE FROM siteassist_place")
    with pytest.raises(StateError, match="does not say its place"):
        convert(source, output)
    with closing(sqlite3.connect(output, isolation_level=None)) as database:
        database.execute("DROP TABLE siteassist_place")
    with pytest.raises(StateError, match="is damaged: no such table"):
        convert(source, output)
    assert convert(source, output, rebuild=True).records == 10
    with closing(sqlite3.connect(output, isolation_level=None)) as database:
        database.execute("DROP TABLE messages")
    with source.open("ab") as file:
        file.write(records([10]))
    with pytest.raises(StateError, match="is damaged: no such table"):
        convert(source, output)
    assert convert(source, output, rebuild=True).records == 11
    output = tmp_path / "c.duckdb"
    convert(source, output)
    with closing(duckdb.connect(output)) as database:
        database.execute("CREATE OR REPLACE TABLE messages AS FROM messages ORDER BY id").fetchall()
    with pytest.raises(StateError, match="another order"):
        list(iter_export(output))
    output = tmp_path / "other.duckdb"  # the failed reader may still have it open
    convert(source, output)
    with closing(duckdb.connect(output)) as database:
        database.execute("ALTER TABLE siteassist_place DROP tail").fetchall()
    with pytest.raises(StateError, match="is damaged"):
        convert(source, output)
    assert convert(source, output, rebuild=True).records == 11


def test_another_program_that_uses_it(source: Path, tmp_path: Path) -> None:
    """It is said, and may be tried again."""
    output = tmp_path / "c.sqlite"
    convert(source, output)
    with source.open("ab") as file:
        file.write(records([10]))
    real = sqlite3.connect
    with (
        closing(real(output, isolation_level=None)) as reader,
        pytest.MonkeyPatch.context() as patch,
    ):
        reader.execute("BEGIN EXCLUSIVE")
        patch.setattr(sqlite3, "connect", partial(real, timeout=0))
        with pytest.raises(OutputInUseError, match="another program is using it"):
            convert(source, output)
    assert convert(source, output) == Converted(output, 1, 11)
    output = tmp_path / "c.duckdb"
    convert(source, output)
    program = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    command = [sys.executable, "-c", program, str(output)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        with pytest.raises(OutputInUseError, match="another program is using it"):
            convert(source, output)
        reader.communicate()


@every_sink
@settings(PROPERTY, max_examples=4)
@given(data=st.data())
def test_any_log_in_any_increments(suffix: str, data: st.DataObject) -> None:
    """However it is cut, and wherever it is torn: each row once, as if converted at once."""
    numbers = data.draw(st.lists(st.integers(0, 12), max_size=12))
    titles = data.draw(st.lists(st.text(max_size=3), min_size=len(numbers), max_size=len(numbers)))
    content = b"".join(
        record(number, title=title.encode(errors="replace").decode())
        for number, title in zip(numbers, titles, strict=True)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=3)))
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "BATCH", data.draw(st.sampled_from([1, 3000, 1 << 20])))
        patch.setattr(parquet, "PART", 4000)
        patch.setattr(parquet, "GROUP", 3000)
        patch.setattr(parquet, "_AT_ONCE", data.draw(st.integers(1, 10)))
        patch.setattr(duckdb_format, "TRANSACTION", 4000)
        patch.setattr(sqlite_format, "TRANSACTION", 4000)
        source, output, whole = (Path(name, f"{n}.{suffix}") for n in ("log", "parts", "whole"))
        for cut in [*cuts, len(content)]:
            source.write_bytes(content[:cut])
            convert(source, output)
        convert(source, whole)
        assert tables_of(output) == tables_of(whole)
        assert Counter(ids_of(output)) == Counter({new_id(number) for number in numbers})
        expected = {c.id: c for c in map(Conversation.from_json, content.splitlines())}
        assert models(output) == expected


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """Limits the size of files, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk(
    source: Path, output: Path, full_disk: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clear line; once there is room, the same command goes on."""
    monkeypatch.setattr(log, "BATCH", 100_000)
    monkeypatch.setattr(parquet, "PART", 300_000)
    monkeypatch.setattr(duckdb_format, "TRANSACTION", 300_000)
    convert(source, output)
    with source.open("ab") as file:
        file.write(records(range(10, 600)))
    full_disk(4096)
    with pytest.raises(OutputError) as caught:
        convert(source, output)
    assert "\n" not in str(caught.value)
    full_disk(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    assert convert(source, output).total == 600
    assert ids_of(output) == [new_id(number) for number in range(600)]


def test_prepare(source: Path, output: Path) -> None:
    """An export asks before it fetches anything."""
    prepare(source, output)
    assert not output.exists()
    convert(source, output)
    prepare(source, output)
    with pytest.raises(OutputExistsError, match="exists, but this export's log does not"):
        prepare(source.with_name("none"), output)
    other = source.with_name("other")
    other.write_bytes(records(range(50, 99)))
    with pytest.raises(InputChangedError):
        prepare(other, output)
    prepare(source, output, restart=True)
    assert ids_of(output) == []
    prepare(source.with_name("none"), output)
    assert convert(other, output).records == 49


NANOSECONDS = "2024-01-01T00:00:00.123456789Z"
EARLIEST, LATEST = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999-14:00"
HARD = (
    rf'{{"object":"conversation","id":"%s","createdAt":"{EARLIEST}","updatedAt":"{LATEST}",'
    r'"status":"a\u0000b","closeReason":"0.5","title":"\ud83d\ude00\ud800",'
    rf'"lastInterationAt":"{NANOSECONDS}","big":18446744073709551617,"huge":1e400,'
    r'"messages":[%s]}'
)
HARD_MESSAGE = (
    r'{"object":"message","id":"m%d","chatId":"%s","createdAt":"2024-01-01T00:00:00.123456Z",'
    r'"role":"role-%d","parts":[{"type":"text","text":"%s"}],"metadata":%s}'
)


def test_hard_values(output: Path, tmp_path: Path) -> None:
    """All of those that readers of the log stumble over are in the output by the rules."""
    source = tmp_path / "c.jsonl"
    deep = "[" * 300 + "1e400" + "]" * 300
    long = "long" * 1_300_000
    own = new_id(0)
    messages = [HARD_MESSAGE % (n, own, n, long if n == 3 else "x", deep) for n in range(200)]
    source.write_text(HARD % (own, ",".join(messages)) + "\n")
    convert(source, output)
    (row,), rows = tables_of(output)
    assert row[0] == own
    assert row[3:6] == ("a\0b", None, "0.5")
    assert row[10] == "\N{GRINNING FACE}\ufffd"
    assert json.loads(row[12], parse_float=str) == {"big": 18446744073709551617, "huge": "1e400"}
    assert row[11] == len(rows) == 200
    assert {r[4] for r in rows} == {f"role-{n}" for n in range(200)}
    assert {r[11] for r in rows} == {deep}
    assert [r[6] for r in rows if r[2] == "m3"] == [long]
    (line,) = iter_export(output, raw=True)
    assert b'"big":18446744073709551617' in line
    assert b'"huge":1e400' in line
    first, last = (json.loads(line)[name] for name in ("createdAt", "updatedAt"))
    moments = msgspec.convert([first, last], list[datetime])
    assert moments == msgspec.convert([EARLIEST, LATEST], list[datetime])
    nanoseconds = json.loads(line)["lastInterationAt"]  # rounded, except in SQLite
    assert (nanoseconds == NANOSECONDS) is (output.suffix == ".sqlite")
    rounded = datetime(2024, 1, 1, microsecond=123457, tzinfo=UTC)
    assert msgspec.convert(nanoseconds, datetime) == rounded

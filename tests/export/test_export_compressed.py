"""A compressed log keeps all that a plain one promises, and every reader of its format reads it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siteassist_async.compression import COMPRESSED, Compression, DamagedFrameError, compression_of
from siteassist_async.errors import ConfigurationError
from siteassist_async.export import (
    OutputChangedError,
    OutputError,
    OutputExistsError,
    StateError,
    compressed_log,
    log,
    verify,
)
from siteassist_async.export.checkpoint import Mark
from siteassist_async.export.disk import identity
from siteassist_async.export.layout import Layout
from siteassist_async.export.state import opened_state

from . import test_export_crash, test_export_disk, test_export_power
from .export_fakes import Workbench, missing, new_ids, record_of
from .failing_disk import watched
from .test_export_kill import kill_after
from .test_export_power import Loss, losses, machine, moments_of
from .volatile_disk import unthreaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDS = new_ids(40)
LINES = test_export_crash.LINES
EXAMPLES = int(os.environ.get("EXPORT_HISTORIES", "5"))
SMALL = 300


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of a few records, so that there are many."""
    monkeypatch.setattr(compressed_log, "FRAME", SMALL)


@pytest.fixture(params=COMPRESSED)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Workbench:
    """An export in an empty folder, for each compression."""
    return Workbench(tmp_path, request.param)


async def killed(bench: Workbench, after: int = 20) -> None:
    """Leave an export as a kill does: after so many answers, with checkpoints before."""

    def die(_: str) -> None:
        bench.clock.time += 0.3
        if len(bench.api.asked) > after:
            raise KilledError

    bench.api.each = die
    with pytest.raises(KilledError):
        await bench.job(limit=1).run()
    bench.api.each = lambda _: None
    bench.api.asked.clear()


class KilledError(Exception):
    """Ends a run in disorder."""


def plain_files(bench: Workbench) -> list[Path]:
    """The files of lines that are not compressed yet."""
    return sorted(bench.state.glob("plain-*"))


async def test_a_finished_export_is_one_file_of_frames(bench: Workbench) -> None:
    """Each holds whole lines, later runs add more, and the dead letters are never compressed."""
    bench.write(IDS[:30])
    bench.api.errors = {IDS[0]: missing(IDS[0])}
    bench.api.each = lambda _: setattr(bench.clock, "time", bench.clock.time + 0.3)
    summary = await bench.finish(limit=1)
    frames = [plain for plain, _ in frames_of(bench)]
    assert all(SMALL <= len(frame) < 3 * SMALL for frame in frames[:-1])
    assert all(frame.endswith(b"\n") for frame in frames)
    assert summary.progress.bytes_written == len(b"".join(frames))
    assert bench.dead_letters.name == "out.failed.jsonl"
    assert plain_files(bench) == []
    before = bench.output.read_bytes()
    bench.append(IDS[30:])
    del bench.api.errors[IDS[0]]
    assert (await bench.finish(retry_failed=True)).progress.already_there == 29
    assert bench.output.read_bytes().startswith(before)
    bench.check(IDS)
    found = verify(bench.output)
    assert (found.records, found.faults, found.unfinished) == (40, (), False)


def frames_of(bench: Workbench) -> list[tuple[bytes, int]]:
    """The content and the end of each frame of the output."""
    compression = compression_of(bench.output)
    assert compression is not None
    whole: dict[int, bytes] = {}
    for plain, end in compression.decompress([bench.output.read_bytes()]):
        whole[end] = whole.get(end, b"") + plain
    return [(plain, end) for end, plain in whole.items()]


async def test_an_export_without_a_record_is_a_valid_file(bench: Workbench) -> None:
    """Which no file of no bytes is."""
    bench.api.errors[IDS[0]] = missing(IDS[0])
    bench.write(IDS[:1])
    await bench.finish()
    assert frames_of(bench) == [(b"", bench.output.stat().st_size)]
    bench.append(IDS[1:])
    await bench.finish()
    bench.check(IDS)


def test_a_kill_before_any_change_loses_nothing(tmp_path: Path) -> None:
    """From the files as they are at each step, the export is completed without asking twice."""
    original = Workbench(tmp_path / "original", ".zst")
    original.folder.mkdir()
    original.write(LINES)
    test_export_crash.trouble(original)
    with pytest.MonkeyPatch.context() as patch:
        unthreaded(patch)
        for module in (log, compressed_log):  # a copy stands for the file itself
            patch.setattr(module, "identity", "the same".format)
        copies = test_export_crash.copies_of_each_step(original, tmp_path, limit=3)
        assert len(copies) > 50
        for copy in copies[::2]:
            again = Workbench(copy, ".zst")
            test_export_crash.trouble(again)
            lines = b"".join(path.read_bytes() for path in plain_files(again)).split(b"\n")
            whole = {json.loads(line)["id"] for line in lines if line.endswith(b"}")}
            whole |= {json.loads(line)["id"] for line in lines_of(again.output)}
            with watched():
                asyncio.run(again.finish())
            again.check(LINES)
            assert not whole & set(again.api.asked)


def lines_of(output: Path) -> Iterator[bytes]:
    """The whole lines of a compressed file that may not be whole."""
    compression = compression_of(output)
    assert compression is not None
    content = [output.read_bytes()] if output.exists() else []
    return (line for line in compression.lines(content) if line)


def test_a_process_that_is_killed_has_every_id_once(tmp_path: Path) -> None:
    """`kill -9` at random moments."""
    seed = int(os.environ.get("EXPORT_KILL_SEED", "0")) or random.randrange(1, 2**32)
    chance = random.Random(seed)
    ids = new_ids(1000, seed=5)
    source, output = tmp_path / "ids.txt", tmp_path / "out.jsonl.zst"
    source.write_text("\n".join(ids))
    program = Path(__file__).with_name("export_process.py")
    command = [sys.executable, str(program), str(source), str(output)]
    for left in range(2, 0, -1):
        kill_after(chance.randrange(100 // (left + 1)), command)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    letters = (tmp_path / "out.failed.jsonl").read_bytes().splitlines()
    lines = [*lines_of(output), *letters]
    assert Counter(json.loads(line)["id"] for line in lines) == Counter(ids), seed
    assert verify(output).faults == ()


@pytest.mark.parametrize(("name", "suffix"), [("the first", ".zst"), ("one with more ids", ".gz")])
def test_the_power_may_go_at_any_moment(name: str, suffix: str) -> None:
    """The next run completes."""
    with machine(test_export_power.LINES, suffix=suffix) as mine:
        for moment in moments_of(name, mine, test_export_power.LINES):
            mine.lose(moment, 1)
            mine.run()
            mine.bench.check(test_export_power.LINES)


def test_the_power_may_go_while_a_state_is_rebuilt() -> None:
    """The next run completes, or says that the state is to be rebuilt."""
    lines = test_export_power.LINES
    with machine(lines, suffix=".zst") as mine:
        mine.run()
        for moment in mine.moments(rebuild_state=True):
            mine.lose(moment, 1)
            try:
                mine.run()
            except OutputError:
                mine.run(rebuild_state=True)
            mine.bench.check(lines)


@settings(max_examples=EXAMPLES)
@given(
    history=st.lists(losses, min_size=1, max_size=3),
    limit=st.integers(1, 10),
    seconds=st.floats(0, 1.5),
)
def test_every_history_of_losses_of_power_ends_with_every_id_once(
    history: list[Loss], limit: int, seconds: float
) -> None:
    """However often it goes, no run needs anybody's help."""
    with machine(LINES, seconds=seconds, suffix=".zst") as mine:
        for loss in history:
            moments = mine.moments_after_kill(
                loss.killed, limit=limit, retry_failed=loss.retry_failed
            )
            mine.lose(moments[round(loss.at * (len(moments) - 1))], loss.seed)
        mine.run(limit=limit)
        mine.bench.check(LINES)


def test_any_change_to_the_disk_may_fail(tmp_path: Path) -> None:
    """Whichever it is, the next run completes."""
    prepared = test_export_disk.prepared
    lines = test_export_disk.LINES

    def fresh(name: str) -> Workbench:
        bench = prepared(tmp_path / name)
        packed = Workbench(bench.folder, ".zst")
        packed.api, packed.clock = bench.api, bench.clock
        return packed

    with watched() as disk:
        asyncio.run(fresh("whole").finish())
    for step in range(1, disk.steps + 1, 2):
        broken = fresh(str(step))

        def fail(number: int, name: str, at: int = step) -> None:
            if number == at and name != "commit":
                raise OSError(28, "No space left on device")

        with watched() as disk:
            disk.before = fail
            with suppress(OutputError):
                asyncio.run(broken.job().run())
        with watched():
            asyncio.run(broken.finish())
        broken.check(lines)


APPENDED: dict[str, tuple[Callable[[bytes, bytes], bytes], bool]] = {
    # what stands after the last checkpoint, of what compressing the lines gives; is it set aside?
    "nothing": (lambda _, __: b"", False),
    "a frame": (lambda frame, _: frame, False),
    "a torn frame": (lambda frame, _: frame[:-10], False),
    "the first byte of a frame": (lambda frame, _: frame[:1], False),
    "a frame and a torn one": (lambda frame, _: frame + frame[:5], False),
    "a note": (lambda _, __: b"note to self\n", True),
    "a frame and a note": (lambda frame, _: frame + b"note", True),
    "zeros": (lambda _, __: b"\0" * 100, True),
    "another's frame": (lambda _, other: other, True),
    "our frame and another's": (lambda frame, other: frame + other, True),
}


@pytest.mark.parametrize("name", APPENDED)
async def test_what_someone_appended_after_a_kill_is_set_aside(
    bench: Workbench, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what compressing the lines gives is cut."""
    bench.write(IDS)
    await killed(bench)
    compression = compression_of(bench.output)
    assert compression is not None
    lines = plain_files(bench)[0].read_bytes()
    make, is_kept = APPENDED[name]
    tail = make(compression.compress(lines), compression.compress(record_of(IDS[0]) + b"\n"))
    with bench.output.open("ab") as output:
        output.write(tail)
    aside = bench.output.with_name(f"{bench.output.name}.aside-1")
    with caplog.at_level(logging.WARNING, "siteassist_async"):
        await bench.finish()
    bench.check(IDS)
    assert (aside.read_bytes() if aside.exists() else None) == (tail if is_kept else None)
    assert (str(aside) in caplog.text) == is_kept


@pytest.mark.parametrize("name", ["a frame", "another's frame", "a note"])
async def test_a_restart_deletes_only_its_own(bench: Workbench, name: str) -> None:
    """What stands beyond the checkpoint must be what compressing its lines gives."""
    bench.write(IDS)
    await killed(bench)
    compression = compression_of(bench.output)
    assert compression is not None
    lines = plain_files(bench)[0].read_bytes()
    make, is_anothers = APPENDED[name]
    tail = make(compression.compress(lines), compression.compress(record_of(IDS[0]) + b"\n"))
    with bench.output.open("ab") as output:
        output.write(tail)
    files = bench.files()
    if is_anothers:
        with pytest.raises(OutputExistsError):
            await bench.job(restart=True).run()
        assert bench.files() == files
    else:
        await bench.finish(restart=True)
        bench.check(IDS)


async def test_what_a_killed_run_wrote_is_not_asked_for_again(bench: Workbench) -> None:
    """Also if a second one is killed before its first checkpoint."""
    bench.write(IDS)
    await killed(bench, 20)
    await killed(bench, 0)
    await bench.finish()
    assert len(bench.api.asked) == 20
    bench.check(IDS)


def truncate(bench: Workbench) -> None:
    """Cut the last byte."""
    os.truncate(bench.output, bench.output.stat().st_size - 1)


def damage(bench: Workbench) -> None:
    """Change a byte in the middle."""
    content = bytearray(bench.output.read_bytes())
    content[len(content) // 2] ^= 0xFF
    bench.output.write_bytes(content)


def again(bench: Workbench) -> None:
    """Compress the lines again, without one of them."""
    compression = compression_of(bench.output)
    assert compression is not None
    lines = [line + b"\n" for line in lines_of(bench.output)]
    bench.output.write_bytes(compression.compress(b"".join(lines[1:])))


def ends_amid_a_line(bench: Workbench) -> None:
    """Append a frame that holds half a line."""
    compression = compression_of(bench.output)
    assert compression is not None
    with bench.output.open("ab") as output:
        output.write(compression.compress(b'{"id":'))


EDITS: dict[str, tuple[Callable[[Workbench], object], str]] = {
    "the last byte": (truncate, "bytes written so far"),
    "a byte": (damage, "edited since it was written"),
    "a line less": (again, "has 39 records, but 40 were written"),
    "amid a line": (ends_amid_a_line, "has no valid record in line 41"),
    "no file": (lambda bench: bench.output.unlink(), "is missing"),
}


@pytest.mark.parametrize("name", EDITS)
async def test_an_edit_is_told_and_can_be_repaired(bench: Workbench, name: str) -> None:
    """Verification names it, and a state that is rebuilt asks for what is missing."""
    bench.write(IDS)
    await bench.finish()
    edit, message = EDITS[name]
    edit(bench)
    assert any(message in fault.what for fault in verify(bench.output).faults)
    with pytest.raises((OutputChangedError, StateError)):
        await bench.job().run()
    if name == "amid a line":
        with pytest.raises(OutputChangedError, match="has no valid record in line 41"):
            await bench.job(rebuild_state=True).run()
        return
    await bench.finish(rebuild_state=True)
    bench.check(IDS)
    assert verify(bench.output).faults == ()


async def test_an_edit_of_what_is_not_compressed_yet_is_told(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named by its own path; a state that is rebuilt does without it."""
    monkeypatch.setattr(compressed_log, "FRAME", 10_000)
    bench.write(IDS)
    await killed(bench)
    assert verify(bench.output).unfinished
    (plain,) = plain_files(bench)
    plain.write_bytes(b"")
    assert [fault.path for fault in verify(bench.output).faults][:1] == [plain]
    with pytest.raises(OutputChangedError, match=plain.name):
        await bench.job().run()
    await bench.finish(rebuild_state=True)
    bench.check(IDS)


async def test_a_closed_file_that_was_edited_ends_what_is_adopted(bench: Workbench) -> None:
    """What follows a line that is not whole is asked for again."""
    bench.write(IDS)
    await killed(bench)
    number = max(int(path.name[6]) for path in plain_files(bench))
    closed, following = (bench.state / f"plain-{(number + n) % 3}.jsonl" for n in (0, 1))
    following.write_bytes(record_of(IDS[39]) + b"\n")
    with closed.open("ab") as file:
        file.write(b'{"torn')
    await bench.finish()
    assert IDS[39] in bench.api.asked
    bench.check(IDS)


async def test_a_file_that_appears_in_a_finished_export_is_refused(bench: Workbench) -> None:
    """No line may be added to what was complete."""
    bench.write(IDS)
    await bench.finish()
    for number in range(3):
        (bench.state / f"plain-{number}.jsonl").write_bytes(record_of(IDS[0]) + b"\n")
    with pytest.raises(OutputChangedError, match="bytes that no export wrote"):
        await bench.job().run()


async def test_a_damaged_frame_is_a_line_that_no_export_writes(bench: Workbench) -> None:
    """The lines before it are read."""
    bench.write(IDS)
    await bench.finish()
    lines = list(lines_of(bench.output))
    with bench.output.open("ab") as output:
        output.write(b"damage")
    file = identity(bench.output.stat())
    with (
        opened_state(Layout(bench.output)) as state,
        closing(compressed_log.records_log(bench.output, Mark(file=file), state)) as opened,
    ):
        opened.offset = opened.size()
        assert list(opened.own_lines()) == [*lines, b""]


async def test_a_link_in_place_of_a_plain_file_is_not_followed(
    bench: Workbench, tmp_path: Path
) -> None:
    """It may lead to a file that is not the export's."""
    bench.write(IDS)
    await killed(bench)
    (plain,) = plain_files(bench)
    plain.rename(tmp_path / "precious")
    plain.hardlink_to(tmp_path / "precious")
    before = plain.read_bytes()
    with pytest.raises(StateError, match="is a link"):
        await bench.job().run()
    assert (tmp_path / "precious").read_bytes() == before


async def test_a_log_that_began_without_compression_goes_on_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions did not look at the name."""
    bench = Workbench(tmp_path, ".gz")
    bench.write(IDS[:20])
    with monkeypatch.context() as patch:
        patch.setattr(compressed_log, "compression_of", dict[Path, Compression]().get)
        await bench.job().run()
    before = bench.output.read_bytes()
    bench.append(IDS[20:])
    await bench.job().run()
    lines = bench.output.read_bytes().removeprefix(before).splitlines()
    assert lines == [record_of(conversation_id) for conversation_id in IDS[20:]]


async def test_dead_letters_are_of_one_export(tmp_path: Path) -> None:
    """Those of an uncompressed export have the same name, so there cannot be both."""
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    await Workbench(tmp_path).finish()
    for suffix in COMPRESSED:
        with pytest.raises(OutputExistsError, match=r"dead letters of .*out\.jsonl; choose"):
            await Workbench(tmp_path, suffix).job().run()


async def test_a_library_that_is_missing_is_named(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install, before anything is written; gzip needs none."""
    bench.write(IDS)
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    if bench.output.suffix == ".gz":
        await bench.finish()
        return
    with pytest.raises(ConfigurationError, match=r"pip install 'siteassist_async\[zstd\]'"):
        await bench.job().run()
    assert not bench.output.exists()


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 50), st.binary(max_size=9))
def test_frames_are_joined_however_they_are_cut(parts: list[bytes], size: int, rest: bytes) -> None:
    """What follows them is damage, or the beginning of another."""
    for suffix in COMPRESSED:
        compression = compression_of(Path(f"x{suffix}"))
        assert compression is not None
        frames = [compression.compress(part) for part in parts]
        content = b"".join(frames)
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        found = list(compression.decompress(pieces))
        assert b"".join(plain for plain, _ in found) == b"".join(parts)
        assert [end for _, end in found][-1:] == ([len(content)] if content else [])
        try:
            ends = [end for _, end in compression.decompress([content, rest])]
        except DamagedFrameError:
            continue
        assert max(ends, default=0) == len(content)


def by_duckdb(path: Path) -> list[str]:
    """The query that the docs give."""
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(f"SELECT id FROM read_ndjson('{path}', columns = {{id: 'VARCHAR'}})")
    return [row[0] for row in rows.fetchall()]


def by_polars(path: Path) -> list[str]:
    """It looks at the content."""
    polars = pytest.importorskip("polars")
    ids: list[str] = polars.read_ndjson(path, schema={"id": polars.String})["id"].to_list()
    return ids


def by_pandas(path: Path) -> list[str]:
    """A handle, because pandas needs a library of its own for the name of a .zst."""
    pandas = pytest.importorskip("pandas")
    if path.suffix == ".gz":
        return list(pandas.read_json(path, lines=True)["id"])
    zstd = pytest.importorskip("backports.zstd")
    with zstd.open(path, "rt") as file:
        return list(pandas.read_json(file, lines=True)["id"])


def by_pyarrow(path: Path) -> list[str]:
    """By the name, too."""
    pyarrow, json_reader = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.json")
    with pyarrow.input_stream(str(path), compression="detect") as file:
        return list(json_reader.read_json(file)["id"].to_pylist())


def by_command(path: Path) -> list[str]:
    """Unix."""
    command = shutil.which("zstd" if path.suffix == ".zst" else "zcat")
    if command is None:
        pytest.skip("the command is not installed")
    text = subprocess.run([command, "-dc", path], check=True, capture_output=True).stdout
    return [json.loads(line)["id"] for line in text.splitlines()]


READERS: dict[str, Callable[[Path], list[str]]] = {
    "duckdb": by_duckdb,
    "polars": by_polars,
    "pandas": by_pandas,
    "pyarrow": by_pyarrow,
    "command": by_command,
}


@pytest.mark.parametrize("name", READERS)
async def test_others_read_the_file(bench: Workbench, name: str) -> None:
    """All of its frames."""
    ids = [i for i in new_ids(60) if int(i[2], 16) % 2 == 0]  # without half of an emoji
    bench.write(ids)
    bench.api.each = lambda _: setattr(bench.clock, "time", bench.clock.time + 0.3)
    await bench.finish()
    assert len(frames_of(bench)) > 2
    assert sorted(READERS[name](bench.output)) == sorted(ids)

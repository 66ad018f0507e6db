"""What an export cuts, replaces or deletes is its own; all else is refused or set aside."""

from __future__ import annotations

import logging
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from siteassist_async.errors import BadGatewayError
from siteassist_async.export import (
    ExitCode,
    OutputChangedError,
    OutputError,
    OutputExistsError,
    Source,
    StateError,
    checkpoint,
    exit_code,
)

from .export_fakes import Workbench, missing, new_ids, record_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDS = new_ids(30)


class KilledError(Exception):
    """Ends a run in disorder."""


async def killed(bench: Workbench, after: int = 15) -> None:
    """Run an export that ends in its midst."""

    def kill(_: str) -> None:
        if len(bench.api.asked) > after:
            raise KilledError

    bench.api.each = kill
    with pytest.raises(KilledError):
        await bench.job(limit=1).run()
    bench.api.each = lambda _: None


def other(bench: Workbench, name: str) -> Workbench:
    """Another export in the same folder."""
    bench = Workbench(bench.folder)
    bench.output = bench.folder / name
    stem, _, suffix = name.rpartition(".")
    bench.dead_letters = bench.folder / f"{stem}.failed.{suffix}"
    return bench


async def test_the_dead_letters_of_an_export_are_no_other_exports_output(bench: Workbench) -> None:
    """Whichever of the two begins first, the other is refused, and nothing is written."""
    bench.write(IDS)
    bench.api.errors[IDS[20]] = missing(IDS[20])
    await killed(bench)
    second = other(bench, "out.failed.jsonl")
    with pytest.raises(
        OutputExistsError, match=r"is reserved for the dead letters of .*out\.jsonl"
    ) as raised:
        await second.job().run()
    assert exit_code(raised.value) is ExitCode.WRONG_USAGE
    await bench.finish()
    assert len(bench.letters()) == 1


async def test_the_output_of_an_export_holds_no_other_exports_dead_letters(
    bench: Workbench,
) -> None:
    """An export whose dead letters would be the output of another does not begin."""
    bench.write(IDS)
    first = other(bench, "out.failed.jsonl")
    await first.job().run()
    content = first.output.read_bytes()
    with pytest.raises(OutputExistsError, match="is the output of another export") as raised:
        await bench.job().run()
    assert raised.value.path == str(first.output)
    assert first.output.read_bytes() == content
    assert not bench.output.exists()


@pytest.mark.parametrize("name", [".out.jsonl.export", ".out.jsonl.export/x.jsonl"])
async def test_no_output_is_within_a_state(bench: Workbench, name: str) -> None:
    """Neither a file of the folder nor the folder itself, whether it is there or not."""
    bench.write(IDS)
    for begun in (False, True):
        if begun:
            await bench.finish()
        with pytest.raises(OutputExistsError, match="is reserved for the state of an export"):
            await other(bench, name).job().run()


TAILS: dict[str, tuple[bytes, bool]] = {
    # what stands after the checkpoint, whether it is set aside
    "nothing": (b"", False),
    "a torn record": (record_of(IDS[29])[:-10], False),
    "a note": (b"note to self\n", True),
    "a note without a line break": (b"note to self", True),
    "zeros": (b"\0" * 100, True),
    "a record that was there": (record_of(IDS[0]) + b"\n", True),
    "a record of another export": (record_of(new_ids(1, seed=8)[0]) + b"\n", True),
    "a note and a torn record": (b"note\n" + record_of(IDS[29])[:-10], True),
    "two lines that begin as torn ones": (b"{\n{", True),
}


@pytest.mark.parametrize("name", TAILS)
async def test_what_someone_appended_after_a_kill_is_set_aside(
    bench: Workbench, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a torn last line is cut; what may be of use to somebody is kept, and told."""
    tail, is_kept = TAILS[name]
    bench.write(IDS)
    await killed(bench)
    with bench.output.open("ab") as output:
        output.write(tail)
    aside = bench.folder / "out.jsonl.aside-1"
    with caplog.at_level(logging.WARNING, "siteassist_async"):
        await bench.finish()
    bench.check(IDS)
    assert (aside.read_bytes() if aside.exists() else None) == (tail if is_kept else None)
    assert (str(aside) in caplog.text) == is_kept
    if is_kept:
        assert aside.stat().st_mode & 0o777 == 0o600


async def test_what_is_set_aside_again_gets_a_name_of_its_own(bench: Workbench) -> None:
    """Nothing that was set aside is overwritten."""
    bench.write(IDS)
    for number in (5, 10):
        await killed(bench, number)
        with bench.output.open("ab") as output:
            output.write(b"note %d\n" % number)
    await bench.finish()
    bench.check(IDS)
    notes = [(bench.folder / f"out.jsonl.aside-{n}").read_bytes() for n in (1, 2)]
    assert notes == [b"note 5\n", b"note 10\n"]


async def test_a_strangers_file_in_place_of_an_empty_output_is_refused(bench: Workbench) -> None:
    """Before anything was written there is nothing by which the file could prove itself."""
    bench.write(IDS)
    await killed(bench, 0)
    (bench.folder / "held").write_bytes(b"precious\n")
    (bench.folder / "held").replace(bench.output)
    with pytest.raises(OutputChangedError, match="has 9 bytes that no export wrote"):
        await bench.job().run()
    assert bench.output.read_bytes() == b"precious\n"


async def test_an_export_may_be_moved_with_all_its_files(bench: Workbench, tmp_path: Path) -> None:
    """Files that were copied have other inodes; then all of their content is the proof."""
    bench.write(IDS)
    bench.api.errors = {i: missing(i) for i in IDS[:3]}
    await killed(bench)
    shutil.copytree(bench.folder, tmp_path / "copy")
    copy = Workbench(tmp_path / "copy")
    edited = bytearray(copy.output.read_bytes())
    await copy.finish()
    copy.check(IDS)
    shutil.rmtree(copy.folder)
    await bench.finish()
    shutil.copytree(bench.folder, copy.folder)
    await copy.finish(restart=True)
    copy.check(IDS)
    shutil.rmtree(copy.folder)
    shutil.copytree(bench.folder, copy.folder)
    edited[40] ^= 1
    copy.output.write_bytes(edited + copy.output.read_bytes()[len(edited) :])
    with pytest.raises(OutputChangedError, match="was edited since it was written"):
        await copy.job().run()


def replace(path: Path) -> None:
    """As an editor saves."""
    shutil.copy(path, path.with_name("new"))
    path.with_name("new").replace(path)


MOVES: dict[str, tuple[Callable[[Path], object], str]] = {
    "deleted": (lambda path: path.unlink(), "was deleted during this run"),
    "moved": (lambda path: path.rename(path.with_name("moved")), "was moved away or replaced"),
    "replaced": (replace, "was deleted during this run"),
}


@pytest.mark.parametrize("at", [9, 29])
@pytest.mark.parametrize("which", ["output", "dead_letters"])
@pytest.mark.parametrize("name", MOVES)
async def test_an_output_that_goes_amid_a_run_ends_it(
    bench: Workbench, name: str, which: str, at: int
) -> None:
    """No run says that it is done while what it wrote is not under its name."""
    bench.write(IDS)
    bench.api.errors[IDS[0]] = missing(IDS[0])
    move, message = MOVES[name]
    path: Path = getattr(bench, which)
    bench.api.each = lambda given: move(path) if given == IDS[at] else None
    with pytest.raises(OutputChangedError, match=message) as raised:
        await bench.job(limit=1).run()
    assert raised.value.path == str(path)
    assert exit_code(raised.value) is ExitCode.ACT


async def test_an_output_that_goes_at_the_very_end_is_noticed(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look is taken after everything is on the disk."""
    bench.write(IDS)
    sync = os.fsync

    def move(file: int) -> None:
        sync(file)
        if len(bench.records()) == len(IDS) and not (bench.folder / "moved").exists():
            bench.output.rename(bench.folder / "moved")

    monkeypatch.setattr(os, "fsync", move)
    with pytest.raises(OutputChangedError, match="was moved away"):
        await bench.job().run()


def append(path: Path, content: bytes) -> None:
    """Write after what there is."""
    with path.open("ab") as file:
        file.write(content)


STRANGERS: dict[str, Callable[[Workbench], object]] = {
    "another file": lambda bench: bench.output.write_bytes(b"somebody else's\n" * 1000),
    "a shorter file": lambda bench: bench.output.write_bytes(b"short\n"),
    "lines after its own": lambda bench: append(bench.output, b"note\n"),
    "notes": lambda bench: bench.dead_letters.write_bytes(b"notes\n"),
}


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("moved", [False, True])
async def test_a_restart_deletes_no_strangers_file(
    bench: Workbench, name: str, *, moved: bool
) -> None:
    """Nor anything else, where one of the files may not be this export's."""
    bench.write(IDS)
    await bench.finish()
    if moved:
        shutil.copy(bench.output, bench.folder / "kept")
        bench.output.rename(bench.folder / "archive.jsonl")
        (bench.folder / "kept").rename(bench.output)
    STRANGERS[name](bench)
    files = bench.files()
    with pytest.raises(
        OutputExistsError, match="does not belong to an export that can be resumed"
    ) as raised:
        await bench.job(restart=True).run()
    assert exit_code(raised.value) is ExitCode.WRONG_USAGE
    assert bench.files() == files


async def test_a_restart_before_the_first_record_needs_the_same_file(bench: Workbench) -> None:
    """An identity is proof where there is no content yet, and another is none."""
    bench.write(IDS)
    await killed(bench, 0)
    (bench.folder / "held").write_bytes(b"precious\n")
    (bench.folder / "held").replace(bench.output)
    with pytest.raises(OutputExistsError):
        await bench.job(restart=True).run()
    assert bench.output.read_bytes() == b"precious\n"


async def test_a_restart_after_a_loss_of_power_sets_aside_what_may_be_anothers(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands after the checkpoint then need not be records, and need not be the export's."""
    bench.write(IDS)
    await killed(bench, 0)
    with bench.output.open("ab") as output:
        output.write(b"note\n")
    boot = bench.folder / "boot_id"
    boot.write_text("another start")
    with pytest.raises(OutputExistsError, match="does not belong to an export that can be resumed"):
        await bench.job(restart=True).run()
    monkeypatch.setattr(checkpoint, "_BOOT_ID", boot)
    await bench.finish(restart=True)
    bench.check(IDS)
    assert (bench.folder / "out.jsonl.aside-1").read_bytes() == b"note\n"


async def test_a_restart_leaves_what_is_not_of_its_making_in_the_state(bench: Workbench) -> None:
    """Only the names that an export makes are deleted."""
    bench.write(IDS)
    await bench.finish()
    (bench.state / "notes").write_bytes(b"precious\n")
    await bench.finish(restart=True)
    assert (bench.state / "notes").read_bytes() == b"precious\n"


@pytest.mark.parametrize("restart", [False, True])
async def test_a_state_that_is_a_link_is_refused(bench: Workbench, *, restart: bool) -> None:
    """Nothing is deleted or made in the folder that it leads to."""
    bench.write(IDS)
    photos = bench.folder / "photos"
    photos.mkdir()
    (photos / "ids.txt").write_bytes(b"precious\n")
    bench.state.symlink_to(photos)
    with pytest.raises(StateError, match="is a link or not a folder") as raised:
        await bench.job(restart=restart).run()
    assert raised.value.path == str(bench.state)
    assert os.listdir(photos) == ["ids.txt"]  # noqa: PTH208 - names only


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
async def test_a_state_that_others_may_write_is_refused(bench: Workbench, mode: int) -> None:
    """What they put there could make a run cut or overwrite any file of its user's."""
    bench.write(IDS)
    await bench.finish()
    bench.state.chmod(mode)
    with pytest.raises(StateError, match="is writable by other users"):
        await bench.job().run()


async def test_a_state_of_another_user_is_refused(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that many share, anyone may have made it first."""
    bench.write(IDS)
    await bench.finish()
    monkeypatch.setattr(os, "geteuid", lambda: bench.state.stat().st_uid + 1)
    with pytest.raises(StateError, match="belongs to another user") as raised:
        await bench.job().run()
    assert exit_code(raised.value) is ExitCode.ACT


async def test_an_empty_output_of_another_user_is_refused(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would read all that is written to it."""
    bench.write(IDS)
    bench.output.touch()
    status = os.fstat

    def foreign(file: int) -> os.stat_result:
        found = status(file)
        is_it = os.path.samestat(found, bench.output.stat())
        return os.stat_result((*found[:4], found.st_uid + is_it, *found[5:])) if is_it else found

    monkeypatch.setattr(os, "fstat", foreign)
    with pytest.raises(OutputError, match="belongs to another user"):
        await bench.job().run()


NAMES = ["lock", "checkpoint.db", "checkpoint.db-wal", "ids.txt", "ids.new", "received.new"]


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("name", NAMES)
async def test_no_link_in_the_state_is_followed(bench: Workbench, name: str, *, hard: bool) -> None:
    """The file that it leads to is not touched; our own names are ours to delete."""
    precious = bench.folder / "precious"
    precious.write_bytes(b"precious\n" * 100)
    bench.input.write_text("\n".join(["id,x", *(f"{i},1" for i in IDS)]))
    bench.state.mkdir(mode=0o700)
    link = bench.state / name
    link.hardlink_to(precious) if hard else link.symlink_to(precious)
    read, write = os.pipe()
    os.write(write, bench.input.read_bytes())
    os.close(write)
    if name in {"ids.new", "received.new"}:
        await bench.run(Source(read, "id"))
    elif name == "ids.txt":
        await bench.run(Source(bench.input, "id"))
    else:
        with pytest.raises(StateError, match="is a link or not a regular file") as raised:
            await bench.job(Source(read, "id")).run()
        assert raised.value.path == str(link)
    os.close(read)
    assert precious.read_bytes() == b"precious\n" * 100


async def test_dead_letters_that_are_a_link_are_refused(bench: Workbench) -> None:
    """An output that is a link was named by its user; the dead letters were not."""
    bench.write(["none", IDS[0]])
    precious = bench.folder / "precious"
    precious.touch()
    bench.dead_letters.symlink_to(precious)
    with pytest.raises(OutputError, match="is not a regular file"):
        await bench.job().run()
    assert precious.read_bytes() == b""


async def test_dead_letters_are_replaced_by_those_kept_only_where_both_are_ours(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed before it replaced them looks again at both."""
    bench.write([*IDS, "none"])
    bench.api.errors = {i: BadGatewayError("gone") for i in IDS[:10]}
    await bench.finish()

    def kill(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        with pytest.raises(KilledError):
            await bench.job(retry_failed=True).run()
    letters = bench.dead_letters.read_bytes()
    kept = (bench.state / "kept.jsonl").read_bytes()
    bench.dead_letters.write_bytes(b"notes of somebody\n")
    with pytest.raises(OutputChangedError, match="18 of the"):
        await bench.job().run()
    assert bench.dead_letters.read_bytes() == b"notes of somebody\n"
    bench.dead_letters.write_bytes(letters)
    (bench.state / "kept.jsonl").write_bytes(b"x" * len(kept))
    with pytest.raises(OutputChangedError, match="was edited or replaced"):
        await bench.job().run()
    assert bench.dead_letters.read_bytes() == letters
    (bench.state / "kept.jsonl").write_bytes(kept)
    bench.api.errors.clear()
    await bench.finish()
    bench.check([*IDS, "none"])


async def test_a_refused_resume_leaves_no_file(bench: Workbench) -> None:
    """An empty output beside changed dead letters would look like a run that had begun."""
    bench.write(["none", IDS[0]])
    bench.api.errors[IDS[0]] = missing(IDS[0])
    await bench.finish()
    assert bench.output.read_bytes() == b""
    bench.output.unlink()
    bench.dead_letters.write_bytes(b"edited")
    bench.append(IDS)
    with pytest.raises(OutputChangedError):
        await bench.job().run()
    assert not bench.output.exists()

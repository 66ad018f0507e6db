"""A folder in an object store, where there is no shared file system.

A worker exports a partition to a scratch folder on its own disk, and puts it into the store whole
when it is finished. So a partition that was interrupted goes on where it ended on the same machine,
and starts anew on another.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
from attrs import frozen

from siteassist_async.distributed.folder import Folder, Manifest, Mark, opened, read, write
from siteassist_async.errors import ConfigurationError, printable
from siteassist_async.export.disk import status_of, writing
from siteassist_async.export.errors import OutputError, StateError
from siteassist_async.export.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Generator

    from siteassist_async.export.state import State

_STATE = ".partitions.export"
_NAMES = Folder(Path())

T = TypeVar("T")


def place_of(output: Path | str, name: str) -> Folder | Store:
    """Return the folder or the store that an output names, or the folder `name` in it.

    Raises:
        ConfigurationError: Its URL cannot be used.
    """
    if isinstance(output, str) and "://" in output:
        if urlsplit(output).password is not None:
            raise ConfigurationError(
                "the URL of the output has a password, which would be sent to the scheduler; "
                "configure it on the machines, as fsspec describes"
            )
        store = Store("/".join(filter(None, (output.rstrip("/"), name))))
        store.connect()
        return store
    # The path is sent to other processes, whose current folder is another.
    return Folder(Path(os.path.abspath(output)) / name)  # noqa: PTH100 - links are the user's


@frozen
class Store:
    """The objects of a distributed export; for their names see `Folder`."""

    url: str

    def __str__(self) -> str:
        return self.url

    def output(self, number: int) -> str:
        """Return the URL of a partition's records."""
        return f"{self.url}/{_NAMES.output(number).name}"

    def letters(self, number: int) -> str:
        """Return the URL of a partition's dead letters."""
        return f"{self.url}/{_NAMES.letters(number).name}"

    @property
    def local(self) -> Folder:
        """The scratch folder of this machine, for this user and store."""
        import_module("distributed")  # it completes the configuration
        root = import_module("dask.config").get("temporary-directory") or tempfile.gettempdir()
        name = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        return Folder(Path(root, f"siteassist_async-{os.getuid()}", name))

    def mark(self, number: int) -> Mark | None:
        """As `Folder.mark`."""
        return self._read(_NAMES.done(number).name, Mark)

    def size(self, number: int) -> int:
        """As `Folder.size`."""
        found = self._info(self.output(number))
        return found["size"] if found else 0

    @contextmanager
    def opened(self) -> Generator[tuple[Folder, State]]:
        """Return a temporary folder for `split`, which knows what was split before.

        It is put into the store in the end. There are no locks: two runs at once are not refused.
        """
        with tempfile.TemporaryDirectory(prefix="siteassist_async-") as temporary:
            folder = Folder(Path(temporary))
            with opened(folder) as state:
                known = self._read("manifest.json", Manifest)
                if known is not None:
                    write(folder.manifest, known)
                yield folder, state
                if known == read(folder.manifest, Manifest):
                    return
                for path in sorted(folder.layout.folder.glob("*.ids")):
                    self._put(path, self._state(path.name))
                self._put(folder.manifest, self._state(folder.manifest.name))  # when all is there

    def fetch(self, number: int) -> Folder:
        """Return the scratch folder, with the list of a partition and what is exported of it.

        Raises:
            OutputError: It cannot be read, or the scratch folder cannot be written.
        """
        folder = self.local
        made_private(folder.path.parent)
        made_private(folder.path)
        made_private(folder.layout.folder)
        self._get(self._state(folder.ids(number).name), folder.ids(number))
        base = folder.layout.folder / f"{number:05}.base"
        with writing(base):
            known = base.read_text() if status_of(base) else None
        with self._using(self.output(number)) as (fs, path):
            key = fs.ukey(path) if fs.exists(path) else ""
        if known != key:
            # Another machine has finished it since, or nothing of it is here.
            layout = Layout(folder.output(number))
            _remove(layout, base)
            if key:
                self._get(self.output(number), layout.output)
                if self._info(self.letters(number)):
                    self._get(self.letters(number), layout.dead_letters)
            with writing(base):
                base.write_text(key)
        return folder

    def end(self, number: int, mark: Mark) -> None:
        """Put a finished partition, and remove it here; keep an unfinished one.

        Raises:
            OutputError: It cannot be put.
        """
        if not mark.finished:
            return
        layout = Layout(self.local.output(number))
        self._put(layout.output, self.output(number))
        if status_of(layout.dead_letters):
            self._put(layout.dead_letters, self.letters(number))
        elif self._info(self.letters(number)):
            with self._using(self.letters(number)) as (fs, path):
                fs.rm_file(path)
        done = self.local.done(number)
        write(done, mark)
        self._put(done, self._state(done.name))
        _remove(layout, done, self.local.ids(number), done.with_suffix(".base"))

    def connect(self) -> None:
        """Find out whether the URL can be used here.

        Raises:
            ConfigurationError: It cannot.
        """
        try:
            import_module("fsspec.core").url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"{printable(self.url, 500)}: {printable(str(error), 300)}"
            ) from error

    def _state(self, name: str) -> str:
        return f"{self.url}/{_STATE}/{name}"

    def _info(self, url: str) -> Any:  # noqa: ANN401 - fsspec is without types
        with self._using(url) as (fs, path), suppress(FileNotFoundError):
            return fs.info(path)
        return None

    def _read(self, name: str, kind: type[T]) -> T | None:
        url = self._state(name)
        with self._using(url) as (fs, path):
            try:
                return msgspec.json.decode(fs.cat_file(path), type=kind)
            except FileNotFoundError:
                return None
            except msgspec.MsgspecError as error:
                raise StateError(
                    f"cannot be read: {error}; restore it, or choose another output", path=url
                ) from error

    def _get(self, url: str, to: Path) -> None:
        new = to.with_name(f"{to.name}.{uuid4().hex}")
        with writing(to):
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with self._using(url) as (fs, path):
            fs.get_file(path, str(new))
        with writing(to):
            new.replace(to)

    def _put(self, path: Path, url: str) -> None:
        """Put a file under another name first, so that nobody ever sees a half of it."""
        with self._using(url) as (fs, to):
            folder, _, name = to.rpartition("/")
            new = f"{folder}/.{name}.{uuid4().hex}"
            fs.makedirs(folder, exist_ok=True)
            fs.put_file(str(path), new)
            fs.mv(new, to)

    @contextmanager
    def _using(self, url: str) -> Generator[tuple[Any, str]]:
        """Return the file system and a path in it; what goes wrong names the URL."""
        try:
            fs, path = import_module("fsspec.core").url_to_fs(url)
            fs.invalidate_cache()  # other machines write too
            yield fs, path
        except (OutputError, FileNotFoundError):
            raise
        except Exception as error:  # whatever its library raises
            raise OutputError(
                f"the store failed: {type(error).__name__}: {error}", path=url
            ) from error


def made_private(path: Path) -> None:
    """Create a folder that nobody else can read.

    Raises:
        OutputError: Others can, or it cannot be created.
    """
    with writing(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077 or path.is_symlink():
        raise OutputError("is a folder of other users, or open to them", path=str(path))


def _remove(layout: Layout, *others: Path) -> None:
    with writing(layout.output):
        for path in (layout.output, layout.dead_letters, *others):
            path.unlink(missing_ok=True)
        if status_of(layout.folder):
            shutil.rmtree(layout.folder)

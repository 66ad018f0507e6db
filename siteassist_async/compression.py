"""Compression of JSON lines in independent frames, which every reader of the format joins.

A frame is a Zstandard frame or a gzip member. A file of them grows by whole frames, and what was
written of it before is never read or changed again.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from siteassist_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

COMPRESSED = (".gz", ".zst")
"""The suffixes of compressed files."""

_GZIP = 31  # zlib's number for the gzip format with the largest window


class DamagedFrameError(ValueError):
    """The bytes are not a frame of the format."""


class Decompressor(Protocol):
    """What reads one frame, as in `zlib` and `compression.zstd`."""

    @property
    def eof(self) -> bool:
        """Whether the end of the frame was reached."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What follows the frame."""
        ...

    def decompress(self, data: bytes, /) -> bytes:
        """Decompress the next bytes of the frame."""
        ...


@frozen
class Compression:
    """A format.

    Attributes:
        compress: Makes one frame of some bytes, the same one each time.
        decompressor: Returns what reads one frame.
        fault: What a decompressor raises.
    """

    compress: Callable[[bytes], bytes]
    decompressor: Callable[[], Decompressor]
    fault: type[Exception]

    def decompress(self, pieces: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
        """Decompress frames that come in pieces, up to the end of the pieces.

        The last frame need not be complete.

        Yields:
            Decompressed bytes, with the size of the whole frames that were read so far.

        Raises:
            DamagedFrameError: What follows those is not a frame.
        """
        read = whole = 0
        current: Decompressor | None = None
        for piece in pieces:
            rest = piece
            while rest:
                current = current or self.decompressor()
                try:
                    plain = current.decompress(rest)
                except self.fault as error:
                    raise DamagedFrameError(str(error)) from error
                read += len(rest)
                rest = b""
                if current.eof:
                    rest = current.unused_data
                    whole = read = read - len(rest)
                    current = None
                yield plain, whole

    def lines(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Decompress frames to lines, each without its newline.

        A last line without one is not complete: it is an empty line here.

        Raises:
            DamagedFrameError: As `decompress`, after the lines before.
        """
        held: list[bytes] = []
        for plain, _ in self.decompress(pieces):
            first, *others = plain.split(b"\n")
            held.append(first)
            for other in others:
                yield b"".join(held)
                held = [other]
        if any(held):
            yield b""


def compression_of(path: Path) -> Compression | None:
    """Return the compression that a file's name asks for; None for an uncompressed file.

    Raises:
        ConfigurationError: A library for it is not installed.
    """
    match path.suffix.lower():
        case ".gz":
            # Level 3 takes less than half of the time of the default, 6, for files a fifth larger.
            # The header has no time in it.
            return Compression(
                lambda data: zlib.compress(data, 3, wbits=_GZIP),
                lambda: zlib.decompressobj(wbits=_GZIP),
                zlib.error,
            )
        case ".zst":
            try:
                zstd = zstd_module()
            except ImportError as error:
                raise ConfigurationError(
                    "a file that ends in .zst needs the extra zstd: "
                    "pip install 'siteassist_async[zstd]'"
                ) from error
            options: dict[int, int] = {
                zstd.CompressionParameter.compression_level: zstd.COMPRESSION_LEVEL_DEFAULT,
                zstd.CompressionParameter.checksum_flag: 1,
            }
            return Compression(
                lambda data: zstd.compress(data, options=options),
                zstd.ZstdDecompressor,
                zstd.ZstdError,
            )
        case _:
            return None


def without_compression(path: Path) -> Path:
    """Return the path without the suffix of its compression: conversations.jsonl of .jsonl.zst."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path


def zstd_module() -> Any:  # noqa: ANN401 - it is another before Python 3.14
    """Import the module for Zstandard: late, as it is of no use to most.

    Raises:
        ImportError: The extra is not installed, which Python before 3.14 needs.
    """
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

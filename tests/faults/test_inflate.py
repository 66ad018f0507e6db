"""Compressed bodies, undone: what went in comes out, whole or not at all."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteassist_async.transport.inflate import EncodingError, Inflater

PIECE = 2**18


def without_header(body: bytes) -> bytes:
    """Deflate as some send it, without what RFC 9110 asks for."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(body) + deflate.flush()


ENCODERS = [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", without_header)]


def undo(encoding: str, *sent: bytes) -> bytes:
    """All that comes of what was sent."""
    inflater = Inflater(encoding)
    body = b"".join(piece for data in sent for piece in inflater.feed(data))
    inflater.finish()
    return body


@given(
    body=st.binary(max_size=2000),
    times=st.sampled_from([1, 500]),
    encoder=st.sampled_from(ENCODERS),
    cut=st.floats(0, 1),
)
def test_what_goes_in_comes_out(
    body: bytes, times: int, encoder: tuple[str, type[bytes]], cut: float
) -> None:
    """However it was cut on the way, and whichever of the forms it has."""
    encoding, encode = encoder
    sent = encode(body * times)
    at = int(cut * len(sent))
    assert undo(encoding, sent[:at], sent[at:]) == body * times


@given(body=st.binary(), encoder=st.sampled_from(ENCODERS), missing=st.integers(1, 30))
def test_an_end_that_is_missing_is_missed(
    body: bytes, encoder: tuple[str, type[bytes]], missing: int
) -> None:
    """A byte of the checksum, or half of the body."""
    encoding, encode = encoder
    sent = encode(body)
    if cut := sent[: len(sent) - missing]:
        with pytest.raises(EncodingError, match="body is incomplete"):
            undo(encoding, cut)


@given(body=st.binary(min_size=1), encoding=st.sampled_from(["gzip", "deflate", "x-gzip"]))
def test_no_bytes_raise_anything_else(body: bytes, encoding: str) -> None:
    """They are undone, or an EncodingError."""
    try:
        undo(encoding, body)
    except EncodingError as error:
        assert str(error)  # noqa: PT017 - that nothing else is raised is the point


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE - 1])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_body_of_whole_pieces_is_whole(size: int, encoder: tuple[str, type[bytes]]) -> None:
    """Its end may come with the last piece, or after it."""
    encoding, encode = encoder
    body = b"x" * size
    assert undo(encoding, encode(body)) == body


def test_gzip_may_have_members_and_not_for_ever() -> None:
    """Empty ones take no memory, but time; of deflate there is one (RFC 9110, section 8.4.1)."""
    empty = gzip.compress(b"")
    assert undo("gzip", gzip.compress(b"x" * PIECE), gzip.compress(b"y") + empty * 98) == (
        b"x" * PIECE + b"y"
    )
    for encoding, sent in (("gzip", empty * 101), ("deflate", zlib.compress(b"x") * 2)):
        with pytest.raises(EncodingError, match="has data after its end"):
            undo(encoding, sent)

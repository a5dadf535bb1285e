"""Bytes become the same frames however they are split, and nothing large or broken is kept."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.feeds.framing import HEAD_KEPT, PASSED_OVER, FrameCutter, Piece

LARGEST = 70_000


def frame(payload: bytes, head: int = 0x81) -> bytes:
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", head, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", head, 126, size) + payload
    return struct.pack("!BBQ", head, 127, size) + payload


def cut(data: bytes, *, size: int = 1 << 30) -> list[tuple[Piece, bytes]]:
    cutter = FrameCutter(LARGEST)
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    return [piece for chunk in chunks for piece in cutter.cut(chunk)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, LARGEST])
def test_message_of_any_length_is_cut_out_whole(size: int) -> None:
    payload = bytes(size)
    both = frame(payload) + frame(b"next", 0x82)
    assert cut(both) == [(Piece.MESSAGE, payload), (Piece.MESSAGE, b"next")]


@given(
    st.lists(
        st.tuples(st.sampled_from([0x81, 0x82, 0x89, 0x8A, 0x88]), st.binary(max_size=300)),
        max_size=12,
    ),
    st.integers(1, 97),
)
def test_frames_do_not_depend_on_how_the_bytes_arrive(
    frames: list[tuple[int, bytes]], size: int
) -> None:
    data = b"".join(frame(payload, head) for head, payload in frames)
    expected = [
        (Piece.MESSAGE, payload) if head in (0x81, 0x82) else (Piece.RAW, frame(payload, head))
        for head, payload in frames
    ]
    assert cut(data, size=size) == expected


@given(st.binary(max_size=400), st.integers(1, 50))
def test_whatever_comes_is_cut_or_handed_on_and_never_raises(data: bytes, size: int) -> None:
    for piece, content in cut(data, size=size):
        assert piece is Piece.OVERSIZED or content in data or piece is Piece.RAW


def test_fragments_and_what_stands_between_them_are_left_to_the_library() -> None:
    parts = [frame(b"a", 0x01), frame(b"ping", 0x89), frame(b"b", 0x00), frame(b"c", 0x80)]
    odd = [frame(b"a", 0x01), frame(b"no continuation", 0x81)]
    assert cut(b"".join([*parts, frame(b"whole")])) == [
        *((Piece.RAW, part) for part in parts),
        (Piece.MESSAGE, b"whole"),
    ]
    assert cut(b"".join(odd)) == [(Piece.RAW, part) for part in odd]


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 30])
def test_message_too_large_is_passed_over_and_the_next_one_found(size: int) -> None:
    large = frame(b"x" * (LARGEST + 1))
    cutter = FrameCutter(LARGEST)
    pieces: list[tuple[Piece, bytes]] = []
    for at in range(0, len(large) + 6, size):
        pieces += cutter.cut((large + frame(b"next"))[at : at + size])
        assert len(cutter._rest) < HEAD_KEPT + 10
    assert pieces == [(Piece.OVERSIZED, large[: 10 + HEAD_KEPT]), (Piece.MESSAGE, b"next")]


@pytest.mark.parametrize(
    "broken",
    [
        b"\xf3\x05junk!",
        b"\x83\x02hi",
        b"\x81\x85mask!text.",
        struct.pack("!BBQ", 0x81, 127, PASSED_OVER + 1) + b"x",
    ],
    ids=["reserved bits", "unknown kind", "masked", "endless"],
)
def test_nothing_is_cut_after_a_header_that_is_none(broken: bytes) -> None:
    data = frame(b"fine") + broken + frame(b"after")
    assert cut(data) == [(Piece.MESSAGE, b"fine"), (Piece.RAW, broken + frame(b"after"))]

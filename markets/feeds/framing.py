"""Cuts what a server sends into websocket frames (RFC 6455, section 5.2), without reading them.

Nearly all that comes is whole, unmasked messages: those are cut out here, many from one read of the
socket, at a tenth of what a general parser costs. All else (control frames, fragments, what breaks
the rules) is handed on raw, at a frame's boundary, for the library to judge.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

HEAD_KEPT: Final = 120
"""So many bytes of what is not read are kept."""
PASSED_OVER: Final = 64 * 1024 * 1024
"""A larger frame is not waited out: its length is more likely a lie."""
_TEXT: Final = 0x81
_BINARY: Final = 0x82
_MESSAGES: Final = (_TEXT, _BINARY)
_KNOWN: Final = frozenset({0x00, 0x01, 0x02, 0x80, _TEXT, _BINARY, 0x88, 0x89, 0x8A})


class Piece(IntEnum):
    """What was cut: a message's payload, a frame as it is, or the beginning of one too large."""

    MESSAGE = 0
    RAW = 1
    OVERSIZED = 2


class FrameCutter:
    """Cuts one connection's bytes; `largest` is what a message may have, in bytes.

    A message above it is passed over without being kept. After a header that is none it `is_lost`:
    nothing is cut any more.
    """

    __slots__ = ("_is_inside", "_largest", "_rest", "_skip", "is_lost")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._rest = b""
        self._skip = 0
        self._is_inside = False
        self.is_lost = False

    def cut(self, data: bytes) -> Sequence[tuple[Piece, bytes]]:
        """Return the pieces that `data` completes, in order."""
        if self.is_lost:
            return ((Piece.RAW, data),)
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        if self._rest:
            data = self._rest + data
        pieces: list[tuple[Piece, bytes]] = []
        at, end = 0, len(data)
        while end - at >= 2:
            head, size = data[at], data[at + 1]
            start = at + 2
            if head not in _KNOWN or size > 127:
                self.is_lost = True
                pieces.append((Piece.RAW, data[at:]))
                at = end
                break
            if size > 125:
                start += 2 if size == 126 else 8
                if start > end:
                    break
                size = int.from_bytes(data[at + 2 : start])
            stop = start + size
            is_message = head in _MESSAGES and not self._is_inside
            if size > self._largest and is_message:
                if size > PASSED_OVER:
                    self.is_lost = True
                    pieces.append((Piece.RAW, data[at:]))
                    at = end
                    break
                if end - start < HEAD_KEPT:
                    break
                pieces.append((Piece.OVERSIZED, data[at : start + HEAD_KEPT]))
                at = min(stop, end)
                self._skip = stop - at
                continue
            if stop > end:
                break
            if is_message:
                pieces.append((Piece.MESSAGE, data[start:stop]))
            else:
                pieces.append((Piece.RAW, data[at:stop]))
                if head < 0x88:  # a fragment: the last one has the highest bit
                    self._is_inside = head < 0x80
            at = stop
        self._rest = data[at:]
        return pieces

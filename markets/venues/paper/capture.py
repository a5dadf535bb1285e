"""Recorded captures of venues' streams, read line by line and timed anew.

A line is `<receipt clock, ns> <raw JSON>`: Binance's and Aster's combined streams, or Pacifica's
frames. Only quotes are taken; each keeps its own text, except that its clocks are moved to now and
its update id goes on growing when a capture starts over.
"""

import gzip
import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from markets.venues.paper.model import Quote

_MARK: Final = b'@bookTicker","data":'
_BBO: Final = b'"channel":"bbo"'
_HEAD: Final = 80
_CLOCKS: Final = re.compile(rb'"([uET])":(\d+)')
_BBO_CLOCKS: Final = re.compile(rb'"(li|t)":(\d+)')
_UPDATE_IDS: Final = frozenset({b"u", b"li"})


class _Top(msgspec.Struct):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str
    E: int


class _Line(msgspec.Struct):
    stream: str
    data: _Top


class _Bbo(msgspec.Struct):
    li: int
    s: str
    b: str
    B: str
    a: str
    A: str
    t: int


class _Frame(msgspec.Struct):
    channel: str
    data: _Bbo


_DECODER: Final = msgspec.json.Decoder(_Line)
_BBO_DECODER: Final = msgspec.json.Decoder(_Frame)


@dataclass(frozen=True, slots=True)
class CapturedQuote:
    """One quote of a capture: `received_ns` paces it, `body` is what its venue publishes."""

    received_ns: int
    stream: str
    symbol: str
    event_ms: int
    update_id: int
    body: bytes
    top: _Top
    clocks: re.Pattern[bytes] = _CLOCKS

    @property
    def is_pacifica(self) -> bool:
        """True for a frame of Pacifica's, which no other dialect speaks."""
        return self.clocks is _BBO_CLOCKS

    def quote(self, *, update_id: int, at_ns: int) -> Quote:
        top = self.top
        return Quote(
            bid=Decimal(top.b),
            bid_size=Decimal(top.B),
            ask=Decimal(top.a),
            ask_size=Decimal(top.A),
            update_id=update_id,
            at_ns=at_ns,
        )

    def frame(self, *, shift_ms: int, shift_update: int) -> bytes:
        """Return the message with its clocks moved by `shift_ms` and nothing else touched."""

        def moved(match: re.Match[bytes]) -> bytes:
            by = shift_update if match[1] in _UPDATE_IDS else shift_ms
            return b'"%b":%d' % (match[1], int(match[2]) + by)

        return self.clocks.sub(moved, self.body)


def read_capture(paths: Sequence[Path]) -> Iterator[CapturedQuote]:
    """Yield the quotes of several captures, merged by receipt time."""
    yield from heapq.merge(*(_read(path) for path in paths), key=lambda item: item.received_ns)


def _read(path: Path) -> Iterator[CapturedQuote]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        for line in lines:
            head = line[:_HEAD]
            if _BBO in head:
                yield _pacifica(line)
            if _MARK not in head:
                continue
            receipt, _, text = line.rstrip().partition(b" ")
            parsed = _DECODER.decode(text)
            top = parsed.data
            body = text[text.index(b'"data":') + 7 : -1]
            yield CapturedQuote(int(receipt), parsed.stream, top.s, top.E, top.u, body, top)


def _pacifica(line: bytes) -> CapturedQuote:
    receipt, _, text = line.rstrip().partition(b" ")
    row = _BBO_DECODER.decode(text).data
    top = _Top(u=row.li, s=row.s, b=row.b, B=row.B, a=row.a, A=row.A, E=row.t)
    return CapturedQuote(int(receipt), f"bbo:{row.s}", row.s, row.t, row.li, text, top, _BBO_CLOCKS)

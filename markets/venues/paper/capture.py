"""Recorded captures of Binance's combined streams, read line by line and timed anew.

A line is `<receipt clock, ns> <raw JSON>`. Only bookTicker messages are taken; each keeps its own
text, except that E and T are moved to now and `u` goes on growing when a capture starts over.
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

_MARK: Final = b"@bookTicker"
_CLOCKS: Final = re.compile(rb'"([uET])":(\d+)')


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


_DECODER: Final = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True)
class CapturedQuote:
    """One bookTicker message of a capture: `received_ns` paces it, `body` is its own JSON."""

    received_ns: int
    stream: str
    symbol: str
    event_ms: int
    update_id: int
    body: bytes
    top: _Top

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
            by = shift_update if match[1] == b"u" else shift_ms
            return b'"%b":%d' % (match[1], int(match[2]) + by)

        return _CLOCKS.sub(moved, self.body)


def read_capture(paths: Sequence[Path]) -> Iterator[CapturedQuote]:
    """Yield the bookTicker messages of several captures, merged by receipt time."""
    yield from heapq.merge(*(_read(path) for path in paths), key=lambda item: item.received_ns)


def _read(path: Path) -> Iterator[CapturedQuote]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        for line in lines:
            if _MARK not in line[:80]:
                continue
            receipt, _, text = line.rstrip().partition(b" ")
            parsed = _DECODER.decode(text)
            top = parsed.data
            body = text[text.index(b'"data":') + 7 : -1]
            yield CapturedQuote(int(receipt), parsed.stream, top.s, top.E, top.u, body, top)

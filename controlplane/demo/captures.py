"""Recorded captures the demo replays: looked through first, so that a bad one is refused."""

import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
from django.utils.translation import gettext as _

from controlplane.benchmarks.report import percentile
from markets.venues.paper.capture import CapturedQuote, read_capture

UNREADABLE: Final = (EOFError, zlib.error, msgspec.MsgspecError, ArithmeticError, ValueError)


class CaptureRefused(Exception):
    """The file cannot be replayed; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a capture has of one market: how many quotes, from which price, over what time.

    `delay_p99` and `delay_worst` are how late messages came when they were recorded, in
    milliseconds above the fastest: a replay keeps these delays, it does not make them.
    """

    path: Path
    symbol: str
    quotes: int
    first_price: Decimal
    seconds: float
    delay_p99: int
    delay_worst: int

    @property
    def base(self) -> str:
        """Return the base asset of a symbol that is Binance's."""
        return self.symbol.removesuffix("USDT")


def recordings(paths: Sequence[Path], *, markets: Sequence[str]) -> list[Recording]:
    """Read captures to their end; raises CaptureRefused for one that cannot be replayed.

    `markets` are the venue symbols there are. Each may be recorded in one file only: update ids
    of two would not grow.
    """
    found: dict[str, Recording] = {}
    for path in paths:
        for recording in _recordings(path, markets):
            if recording.symbol in found:
                raise CaptureRefused(
                    _("%(symbol)s is recorded in both %(one)s and %(other)s.")
                    % {
                        "symbol": recording.symbol,
                        "one": found[recording.symbol].path,
                        "other": path,
                    }
                )
            found[recording.symbol] = recording
    return list(found.values())


class _Seen:
    """What has been read of one market; the quotes themselves are not kept."""

    def __init__(self, first: CapturedQuote) -> None:
        self._first = self._last = first
        self._gaps_ms = array("d")

    def add(self, item: CapturedQuote) -> None:
        self._last = item
        self._gaps_ms.append(item.received_ns / 1e6 - item.event_ms)

    def recording(self, path: Path) -> Recording:
        first, last, gaps = self._first, self._last, self._gaps_ms
        return Recording(
            path=path,
            symbol=first.symbol,
            quotes=len(gaps),
            first_price=Decimal(first.top.b),
            seconds=(last.received_ns - first.received_ns) / 1e9,
            delay_p99=round(percentile(gaps, 0.99) - min(gaps)),
            delay_worst=round(max(gaps) - min(gaps)),
        )


def _recordings(path: Path, markets: Sequence[str]) -> list[Recording]:
    seen: dict[str, _Seen] = {}
    try:
        for item in read_capture([path]):
            _check(item)
            seen.setdefault(item.symbol, _Seen(item)).add(item)
    except OSError as error:
        why = error.strerror or str(error)
        raise CaptureRefused(f"{path}: {why}") from None
    except UNREADABLE as error:
        text = _("%(path)s is cut short or no capture: %(error)s") % {"path": path, "error": error}
        raise CaptureRefused(text) from None
    if not seen:
        raise CaptureRefused(_("%(path)s holds no bookTicker message.") % {"path": path})
    known = [each.recording(path) for symbol, each in seen.items() if symbol in markets]
    if not known:
        raise CaptureRefused(
            _("%(path)s records %(symbols)s; the demo has %(markets)s.")
            % {"path": path, "symbols": ", ".join(sorted(seen)), "markets": ", ".join(markets)}
        )
    return known


def _check(item: CapturedQuote) -> None:
    quote = item.quote(update_id=item.update_id, at_ns=0)
    numbers = (quote.bid, quote.ask, quote.bid_size, quote.ask_size)
    if not all(number.is_finite() and number > 0 for number in numbers) or quote.bid >= quote.ask:
        raise ValueError(f"{item.symbol} u {item.update_id}: {item.top.b}/{item.top.a}")

"""Which books a moved price may have pushed out of their thresholds: floats, and only a hint.

Nothing here sizes an order. Who reads it looks at the named books again with exact numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from hedging.domain.delta import BTC

EDGE: Final = 1.0 - 1e-9
"""The share of its threshold from which on a delta is named: never later than exact numbers do."""


@dataclass(frozen=True, slots=True)
class BookLine:
    """A book as the table takes it: what it tolerates (BTC-equivalent) and holds (signed base)."""

    key: str
    threshold_btc: Decimal
    sizes: Mapping[str, Decimal]


class ExposureTable:
    """Net sizes of many books by symbol; a tick costs what its own symbol's books cost.

    `_strain` is |size| ÷ threshold, so that a book is out of its threshold when its strain ×
    reference(symbol) ÷ reference(BTC) is above one. The largest strain of a symbol alone tells
    most ticks that no book is. A symbol without a price is never out of anything: the sentinel
    looks at those.
    """

    def __init__(self, lines: Sequence[BookLine], prices: Mapping[str, Decimal]) -> None:
        self._keys = [line.key for line in lines]
        symbols = sorted({BTC}.union(*(line.sizes for line in lines)))
        self._rows = {symbol: row for row, symbol in enumerate(symbols)}
        self._places = {line.key: place for place, line in enumerate(lines)}
        self._sizes = np.zeros((len(symbols), len(lines)))
        for place, line in enumerate(lines):
            for symbol, size in line.sizes.items():
                self._sizes[self._rows[symbol], place] = float(size)
        self._thresholds = np.array([float(line.threshold_btc) for line in lines])
        self._strain = np.abs(self._sizes) / self._thresholds
        self._worst = self._strain.max(axis=1, initial=0.0)
        self._prices = np.full(len(symbols), np.nan)
        for symbol, price in prices.items():
            if symbol in self._rows:
                self._prices[self._rows[symbol]] = float(price)
        self._btc = self._rows[BTC]
        self._set_ratios()

    def _set_ratios(self) -> None:
        self._ratios = self._prices / self._prices[self._btc]
        self._ratios[self._btc] = 1.0  # a bitcoin is one, also while its price is not known

    def tick(self, symbol: str, price: Decimal) -> Sequence[str]:
        """Take a reference price; return the books that it leaves out of their thresholds.

        A price of BTC moves the deltas of all symbols, any other only those of its own.
        """
        row = self._rows.get(symbol)
        if row is None:
            return ()
        value = float(price)
        self._prices[row] = value
        if row == self._btc:
            self._set_ratios()
            return self.strained()
        self._ratios[row] = ratio = value / self._prices[self._btc]
        if not self._worst[row] * ratio > EDGE:
            return ()
        return self._named(np.flatnonzero(self._strain[row] * ratio > EDGE))

    def strained(self) -> Sequence[str]:
        """Return every book out of its threshold in any asset."""
        rows = np.flatnonzero(self._worst * self._ratios > EDGE)
        if not rows.size:
            return ()
        out = (self._strain[rows] * self._ratios[rows, None] > EDGE).any(axis=0)
        return self._named(np.flatnonzero(out))

    def move(self, key: str, symbol: str, size: Decimal) -> None:
        """Take a book's new net size (signed base) of a symbol that the table has."""
        row, place = self._rows[symbol], self._places[key]
        self._sizes[row, place] = float(size)
        self._strain[row, place] = abs(self._sizes[row, place]) / self._thresholds[place]
        self._worst[row] = self._strain[row].max()

    def deltas(self, symbol: str) -> np.ndarray:
        """Return each book's delta in a symbol, BTC-equivalent, in the order of the lines."""
        row = self._rows[symbol]
        return self._sizes[row] * self._ratios[row]

    def _named(self, places: Iterable[int]) -> list[str]:
        return [self._keys[place] for place in places]

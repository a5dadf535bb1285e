"""A seeded price model: for each market a random walk of its mid, always on tick, never crossed."""

import random
from collections.abc import Iterable
from decimal import ROUND_DOWN, Decimal
from typing import Final

from markets.venues.paper.config import SymbolConfig
from markets.venues.paper.model import Instrument, Quote

SIZE_NOTIONAL: Final = 200_000
"""About how much money stands at the touch on either side."""
PULL: Final = 400
"""Of each distance from the start price, one part in PULL is taken back per step."""


class RandomWalk:
    """One market's mid in whole ticks. Two walks of one seed and symbol are the same walk."""

    def __init__(self, config: SymbolConfig, *, seed: int, volatility: Decimal) -> None:
        instrument = config.instrument
        self._tick = instrument.tick
        self._lot = instrument.lot
        self._random = random.Random(f"{seed}:{instrument.symbol}")  # noqa: S311 - prices, no keys
        self._home = max(2, int(config.price / instrument.tick))
        self._bid_ticks = self._home
        self._reach = max(1, int(self._home * volatility))
        touch = Decimal(SIZE_NOTIONAL) / config.price / instrument.lot
        self._size_lots = max(1, int(touch.to_integral_value(rounding=ROUND_DOWN)))
        self._update_id = self._random.randrange(10**9, 2 * 10**9)

    def step(self, now_ns: int) -> Quote:
        """Return the next quote."""
        draw = self._random
        pull = (self._home - self._bid_ticks) // PULL
        self._bid_ticks = max(1, self._bid_ticks + draw.randint(-self._reach, self._reach) + pull)
        return self._quote(now_ns)

    def jump(self, price: Decimal, now_ns: int) -> Quote:
        """Move the walk's home and present price to `price` and return the quote there."""
        self._home = self._bid_ticks = max(1, int(price / self._tick))
        return self._quote(now_ns)

    def keep_to(self, instrument: Instrument) -> None:
        """Walk on under other rules, from the nearest price and size they allow."""
        self._home = max(1, int(self._home * self._tick / instrument.tick))
        self._bid_ticks = max(1, int(self._bid_ticks * self._tick / instrument.tick))
        self._reach = max(1, int(self._reach * self._tick / instrument.tick))
        self._size_lots = max(1, int(self._size_lots * self._lot / instrument.lot))
        self._tick, self._lot = instrument.tick, instrument.lot

    def _quote(self, now_ns: int) -> Quote:
        draw = self._random
        self._update_id += draw.randint(1, 40)
        bid = self._bid_ticks * self._tick
        return Quote(
            bid=bid,
            bid_size=draw.randint(max(1, self._size_lots // 4), self._size_lots) * self._lot,
            ask=bid + self._tick,
            ask_size=draw.randint(max(1, self._size_lots // 4), self._size_lots) * self._lot,
            update_id=self._update_id,
            at_ns=now_ns,
        )


def walks(
    configs: Iterable[SymbolConfig], *, seed: int, volatility: Decimal
) -> dict[str, RandomWalk]:
    """Return one walk per market, by symbol."""
    return {
        config.instrument.symbol: RandomWalk(config, seed=seed, volatility=volatility)
        for config in configs
    }

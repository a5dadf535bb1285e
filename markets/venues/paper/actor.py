"""Somebody else who trades on the accounts, at seeded random times: a hedge's reason to exist."""

import asyncio
import random
from decimal import Decimal

from markets.venues.paper.config import ActorConfig
from markets.venues.paper.model import floor_to
from markets.venues.paper.rules import Refused
from markets.venues.paper.venue import Venue


class Actor:
    """Moves one position of one account after another, both ways, so none drifts off."""

    def __init__(self, venue: Venue, config: ActorConfig) -> None:
        self._venue = venue
        self._config = config
        self._random = random.Random(f"{venue.config.seed}:actor")  # noqa: S311 - no secret
        self._labels = config.accounts or tuple(venue.engine.accounts)
        self._start = {
            label: {
                symbol: venue.engine.accounts[label].size(symbol) for symbol in venue.engine.markets
            }
            for label in self._labels
        }

    async def run(self) -> None:
        while True:
            share = Decimal(self._random.randint(50, 150)) / 100
            await asyncio.sleep(int(self._config.every_seconds * share * 1000) / 1000)
            if not self._venue.paused:
                self.act()

    def act(self) -> None:
        """Trade once; a refusal (no margin, say) is written down and passed over."""
        label = self._random.choice(self._labels)
        symbol = self._random.choice(sorted(self._venue.engine.markets))
        amount = self._amount(label, symbol)
        try:
            self._venue.move_position(label, symbol, amount, source="actor")
        except Refused as refused:
            self._venue.ledger.append(
                "actor-refused",
                self._venue.now_ns(),
                account=label,
                symbol=symbol,
                reason=refused.reason.value,
            )

    def _amount(self, label: str, symbol: str) -> Decimal:
        """Return a signed size worth about the configured one, back toward the start if far."""
        engine = self._venue.engine
        market = engine.markets[symbol]
        first = engine.markets[next(iter(engine.markets))]
        share = Decimal(self._random.randint(50, 150)) / 100
        worth = self._config.size * share * first.mark / market.mark
        size = max(market.instrument.min_qty, floor_to(worth, market.instrument.lot))
        drift = engine.accounts[label].size(symbol) - self._start[label][symbol]
        if abs(drift) >= 3 * size:
            return -size if drift > 0 else size
        return size if self._random.random() < 0.5 else -size

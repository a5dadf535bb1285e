"""The fast path: a book is looked at the moment something it depends on moves.

Only a hint. It may be lost, doubled or late: the sentinel looks at every book each second. It
runs in the thread of whoever saw the move, so it is short, and never raises into it.
"""

import logging
import threading
from collections.abc import Collection
from decimal import Decimal
from typing import Final

from accounts.models import Position
from accounts.observations import AccountMoved
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.clock import SYSTEM_CLOCK, Clock
from hedging.choices import TriggerReason
from hedging.facts import topology
from hedging.services import books_evaluate, executions_finish

logger = logging.getLogger(__name__)

ACTOR: Final = Actor(name="hedge-trigger", surface=Surface.FEED)
REST_SECONDS: Final = 0.5
SHARE_OF_TIME: Final = 0.1
"""Looks for moved prices take at most this share of a process's time."""


def account_moved(observation: AccountMoved) -> None:
    """Look at the books of an account whose positions or margin were written anew."""
    _look({observation.account_id})


class PriceWatch:
    """Looks at the books that hold a symbol whose reference price moved, conflated.

    Prices move all the time and rarely break a threshold, so symbols gather between looks.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._moved: set[str] = set()
        self._resting_until = 0.0
        self._lock = threading.Lock()

    def price_moved(self, symbol: str, price: Decimal) -> None:
        """Take a hint that the reference price of `symbol` is now `price`."""
        with self._lock:
            self._moved.add(symbol)
            began = self._clock.monotonic()
            if began < self._resting_until:
                return
            symbols, self._moved = self._moved, set()
            self._resting_until = float("inf")  # a look is under way
        try:
            _look_for(symbols)
        finally:
            ended = self._clock.monotonic()
            self._resting_until = ended + max(REST_SECONDS, (ended - began) / SHARE_OF_TIME)


def _look_for(symbols: Collection[str]) -> None:
    try:
        held = Position.objects.held().filter(instrument__symbol__in=symbols)
        _look(set(held.values_list("account_id", flat=True).distinct()))
    except Exception:
        logger.exception("The holders of %s could not be read.", ", ".join(symbols))


def _look(account_ids: set[str]) -> None:
    try:
        books = [book for book in topology() if not account_ids.isdisjoint(book.account_ids)]
        executions_finish(books=[book.key for book in books])
        books_evaluate(books=books, trigger_reason=TriggerReason.DELTA, actor=ACTOR)
    except Exception:
        logger.exception("A look at books broke; the sentinel's sweep will come.")

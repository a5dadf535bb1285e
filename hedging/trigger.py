"""The fast path: a book is looked at the moment something it depends on moves.

Only a hint. It may be lost, doubled or late: the sentinel looks at every book each second. It
runs in the thread of whoever saw the move, so it is short, and never raises into it.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Final

from django.utils import timezone

from accounts.models import Position
from accounts.observations import AccountMoved
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.clock import SYSTEM_CLOCK, Clock
from controlplane.kernel.units import ZERO
from hedging.choices import TriggerReason
from hedging.domain.books import Book
from hedging.domain.delta import BTC
from hedging.exposures import BookLine, ExposureTable
from hedging.facts import topology
from hedging.services import books_evaluate, executions_finish
from markets.selectors import reference_prices

logger = logging.getLogger(__name__)

ACTOR: Final = Actor(name="hedge-trigger", surface=Surface.FEED)
REST_SECONDS: Final = 0.5
READ_SECONDS: Final = 1.0
"""How old the positions may be that prices are held against."""
SHARE_OF_TIME: Final = 0.1
"""Looks for moved prices, and reads of positions, each take at most this share of a process's
time."""


def account_moved(observation: AccountMoved) -> None:
    """Look at the books of an account whose positions or margin were written anew."""
    try:
        books = topology()
    except Exception:
        logger.exception("The books of %s could not be read.", observation.account_id)
        return
    _look([book for book in books if observation.account_id in book.account_ids])


class PriceWatch:
    """Looks at the books that a moved reference price leaves out of their thresholds.

    Every price is held at once against what all books hold (see `exposures`), which costs no
    query. Books gather between looks: prices move all the time, and one that is out stays so
    until its hedge is filled.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._table: ExposureTable | None = None
        self._books: dict[str, Book] = {}
        self._read_due = float("-inf")
        self._out: set[str] = set()
        self._resting_until = float("-inf")
        self._lock = threading.Lock()

    def price_moved(self, symbol: str, price: Decimal) -> None:
        """Take a hint that the reference price of `symbol` is now `price`."""
        with self._lock:
            self._read_now_and_then()
            if self._table is None:
                return
            self._out.update(self._table.tick(symbol, price))
            began = self._clock.monotonic()
            if not self._out or began < self._resting_until:
                return
            books = [self._books[key] for key in sorted(self._out) if key in self._books]
            self._out.clear()
            self._resting_until = float("inf")  # a look is under way
        try:
            _look(books)
        finally:
            self._resting_until = self._rested(began, REST_SECONDS)

    def _read_now_and_then(self) -> None:
        began = self._clock.monotonic()
        if began < self._read_due:
            return
        try:
            books = topology()
            self._table = exposure_table(books)
            self._books = {book.key: book for book in books}
            self._out.update(self._table.strained())
        except Exception:
            logger.exception("What books hold could not be read; prices are not held against it.")
        self._read_due = self._rested(began, READ_SECONDS)

    def _rested(self, began: float, seconds: float) -> float:
        """Return when to go on after work that began then."""
        ended = self._clock.monotonic()
        return ended + max(seconds, (ended - began) / SHARE_OF_TIME)


def exposure_table(books: Sequence[Book]) -> ExposureTable:
    """Return what books hold now, at the reference prices there are now."""
    sizes: dict[tuple[str, bool], dict[str, Decimal]] = defaultdict(
        lambda: defaultdict(lambda: ZERO)
    )
    held = Position.objects.held().values_list(
        "account_id", "sandbox", "instrument__symbol", "size"
    )
    for account_id, sandbox, symbol, size in held:
        sizes[account_id, sandbox][symbol] += size
    lines = [BookLine(book.key, book.delta_threshold, _net(book, sizes)) for book in books]
    symbols = {BTC}.union(*(line.sizes for line in lines))
    return ExposureTable(lines, reference_prices(symbols, now=timezone.now()))


def _net(book: Book, sizes: dict[tuple[str, bool], dict[str, Decimal]]) -> dict[str, Decimal]:
    net: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for account_id in book.account_ids:
        if (account_id, book.sandbox) in sizes:
            for symbol, size in sizes[account_id, book.sandbox].items():
                net[symbol] += size
    return net


def _look(books: Collection[Book]) -> None:
    try:
        executions_finish(books=[book.key for book in books])
        books_evaluate(books=list(books), trigger_reason=TriggerReason.DELTA, actor=ACTOR)
    except Exception:
        logger.exception("A look at books broke; the sentinel's sweep will come.")

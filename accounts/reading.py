"""One look at an account over HTTP: all its queries at once, each allowed to fail alone."""

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from controlplane.kernel.clock import SYSTEM_CLOCK, Clock
from markets.venues.errors import VenueError, VenueUnavailable
from markets.venues.ports import ExecutionClient
from markets.venues.ratelimit.saying import routine
from markets.venues.types import (
    BalanceReport,
    FillReport,
    FundingPayment,
    OrderReport,
    PositionMode,
    PositionReport,
    Quarantined,
    Slice,
    Transfer,
)

logger = logging.getLogger(__name__)

QUERY_SECONDS: Final = 20
FUNDING: Final = "funding"
TRANSFERS: Final = "transfers"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HistoryAsked:
    """A history to read a slice of: from `since` on, or on from `cursor`.

    `begun_at` is when its first slice was asked for, None where this is it. One that is not
    `pressing` takes nothing of what is kept for recoveries: it is dear, and what a start must know
    first is orders, trades and positions.
    """

    since: datetime
    cursor: str = ""
    begun_at: datetime | None = None
    pressing: bool = False


@dataclass(frozen=True, slots=True)
class HistoryRead(Generic[T]):
    """A slice that was read; `cursor` is where the next one begins, blank at the end.

    `begun_at` is when the first slice was asked for: at the end, all until then has been read.
    """

    rows: Sequence[T]
    cursor: str
    begun_at: datetime


@dataclass(slots=True)
class AccountReading:
    """What one look told. None is a query that failed: unknown, never empty.

    `at` was taken before the first request left, so nothing a private stream said later is
    older than these answers. `fills` holds what could be read; `fills_complete` tells whether
    that is everything of the instruments asked for. `is_one_way` is false where it was asked how
    positions are kept, and the answer was not one for each contract. `unbelieved` are the lines of
    a history that were set aside.
    """

    at: datetime
    balance: BalanceReport | None = None
    positions: Sequence[PositionReport] | None = None
    open_orders: Sequence[OrderReport] | None = None
    fills: list[FillReport] = field(default_factory=list)
    fills_complete: bool = False
    funding: HistoryRead[FundingPayment] | None = None
    transfers: HistoryRead[Transfer] | None = None
    unbelieved: list[Quarantined] = field(default_factory=list)
    is_one_way: bool = True
    errors: dict[str, VenueError] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Tell whether all that orders and positions depend on was answered."""
        return self.balance is not None and self.fills_complete and self.is_one_way

    def is_whole(self, history: HistoryRead[T] | None) -> bool:
        """Tell whether this look alone has read a history to its end, so until its own time."""
        return history is not None and not history.cursor and history.begun_at == self.at


async def read_account(
    client: ExecutionClient,
    *,
    venue_symbols: Iterable[str],
    since: datetime,
    funding: HistoryAsked | None = None,
    transfers: HistoryAsked | None = None,
    asks_mode: bool = False,
    clock: Clock = SYSTEM_CLOCK,
) -> AccountReading:
    """Read balance, positions, open orders, and fills since `since`, all at the same time.

    A slice of funding payments and of transfers is read too where one is asked for, and how the
    account keeps positions when `asks_mode`.

    Fills are asked for `venue_symbols` and, in a second round, for instruments that turned up
    in the positions or open orders. Raises nothing: failures are in `errors`, by query.
    """
    reading = AccountReading(at=clock.now())
    known = sorted(set(venue_symbols))
    (
        reading.balance,
        reading.positions,
        reading.open_orders,
        known_fills_read,
        (reading.funding, reading.transfers),
        reading.is_one_way,
    ) = await asyncio.gather(
        _attempt(reading, "balance", client.balance()),
        _attempt(reading, "positions", client.positions()),
        _attempt(reading, "open_orders", client.open_orders()),
        _read_fills(reading, client, known, since),
        asyncio.gather(
            _read_funding(reading, client, funding),
            _read_transfers(reading, client, transfers),
        ),
        _read_mode(reading, client, asks=asks_mode),
    )
    seen = {report.venue_symbol for report in reading.positions or ()}
    seen |= {report.venue_symbol for report in reading.open_orders or ()}
    new_fills_read = await _read_fills(reading, client, sorted(seen.difference(known)), since)
    reading.fills_complete = (
        known_fills_read
        and new_fills_read
        and reading.positions is not None
        and reading.open_orders is not None
    )
    return reading


async def _read_mode(reading: AccountReading, client: ExecutionClient, *, asks: bool) -> bool:
    """Return whether the account may be traded by its mode; no answer is no yes."""
    if not asks:
        return True
    mode = await _attempt(reading, "position mode", client.position_mode())
    if mode is PositionMode.HEDGE:
        reading.errors["position mode"] = VenueUnavailable(
            "The account keeps long and short beside each other; only one-way ones are traded."
        )
    return mode is PositionMode.ONE_WAY


async def _read_funding(
    reading: AccountReading, client: ExecutionClient, asked: HistoryAsked | None
) -> HistoryRead[FundingPayment] | None:
    if asked is None:
        return None
    query = client.funding_payments(since=asked.since, cursor=asked.cursor)
    with routine(really=not asked.pressing):
        told = await _attempt(reading, FUNDING, query)
    return None if told is None else _read(reading, asked, told.rows, told)


async def _read_transfers(
    reading: AccountReading, client: ExecutionClient, asked: HistoryAsked | None
) -> HistoryRead[Transfer] | None:
    """Return the transfers; lines that were not believed are kept beside them."""
    if asked is None:
        return None
    query = client.transfers(since=asked.since, cursor=asked.cursor)
    with routine(really=not asked.pressing):
        told = await _attempt(reading, TRANSFERS, query)
    if told is None:
        return None
    reading.unbelieved += [line for line in told.rows if isinstance(line, Quarantined)]
    rows = [line for line in told.rows if isinstance(line, Transfer)]
    return _read(reading, asked, rows, told)


def _read(
    reading: AccountReading, asked: HistoryAsked, rows: Sequence[T], told: Slice[Any]
) -> HistoryRead[T]:
    return HistoryRead(rows, told.cursor, asked.begun_at or reading.at)


async def _read_fills(
    reading: AccountReading, client: ExecutionClient, venue_symbols: Sequence[str], since: datetime
) -> bool:
    """Return whether all were read."""
    answers = await asyncio.gather(
        *(
            _attempt(reading, f"fills {', '.join(symbols)}", client.fills(symbols, since=since))
            for symbols in fills_asked(client, venue_symbols)
        )
    )
    for answer in answers:
        reading.fills.extend(answer or ())
    return None not in answers


def fills_asked(client: ExecutionClient, venue_symbols: Sequence[str]) -> Sequence[Sequence[str]]:
    """Return the contracts of each call for fills: all of one request, else one hides no other."""
    if client.fills_at_once:
        return [venue_symbols] if venue_symbols else []
    return [[symbol] for symbol in venue_symbols]


async def _attempt(reading: AccountReading, name: str, query: Awaitable[T]) -> T | None:
    try:
        async with asyncio.timeout(QUERY_SECONDS):
            return await query
    except VenueError as error:
        reading.errors[name] = error
    except TimeoutError:
        reading.errors[name] = VenueUnavailable(f"No answer within {QUERY_SECONDS} s.")
    except Exception as error:
        # The text of an unforeseen exception may hold anything, so only its kind is kept.
        logger.error("The query %s broke with %s.", name, type(error).__name__)
        reading.errors[name] = VenueUnavailable(f"The query broke: {type(error).__name__}.")
    return None

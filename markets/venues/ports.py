"""What every venue adapter offers. Simulation is a venue too: it implements the same port."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from markets.venues.sockets import Channels
from markets.venues.types import (
    BalanceReport,
    BookTop,
    CancelOrder,
    FillReport,
    FundingPayment,
    FundingQuote,
    FundingSettlement,
    InstrumentReport,
    MarginMode,
    MarginTerms,
    MarketEvent,
    OrderReport,
    PositionMode,
    PositionReport,
    PrivateEvent,
    Quarantined,
    Slice,
    StreamAddress,
    SubmitOrder,
    Transfer,
)


class MarketClient(Protocol):
    """Public data over HTTP. Every method raises VenueUnavailable or RateLimited on failure."""

    async def instruments(self) -> Sequence[InstrumentReport]: ...

    async def book_tops(self, venue_symbols: Sequence[str]) -> Sequence[BookTop]: ...

    async def funding_quotes(self) -> Sequence[FundingQuote]: ...

    async def funding_settlements(
        self, venue_symbol: str, *, since: datetime
    ) -> Sequence[FundingSettlement]:
        """Return the settlements at or after `since`, oldest first, each once."""
        ...

    async def server_time(self) -> datetime: ...

    async def close(self) -> None: ...


class ExecutionClient(Protocol):
    """One account at one venue.

    Reads raise VenueUnavailable, RateLimited or AuthenticationFailed: a failed query is unknown,
    never empty. `submit` returns only on the venue's own echo of our id with sane numbers;
    it raises VenueRejected, RateLimited, AuthenticationFailed or NotSent where that is proven,
    and OutcomeUnknown in every other case. Nothing is ever re-sent.
    """

    fills_at_once: bool
    """Whether the fills of several contracts come of one request; else of one for each."""

    async def balance(self) -> BalanceReport: ...

    async def positions(self) -> Sequence[PositionReport]: ...

    async def open_orders(self) -> Sequence[OrderReport]: ...

    async def order(self, venue_symbol: str, client_order_id: str) -> OrderReport:
        """Return the order, or raise OrderNotFound."""
        ...

    async def fills(self, venue_symbols: Sequence[str], *, since: datetime) -> Sequence[FillReport]:
        """Return all fills in these contracts at or after `since`; of each, oldest first."""
        ...

    async def funding_payments(self, *, since: datetime, cursor: str = "") -> Slice[FundingPayment]:
        """Return the funding booked at or after `since`, each once; in slices, where it is long.

        The next slice is had with the cursor of the one before and the same `since`. Rows of one
        slice come oldest first; two slices may share some, and either may be the older.
        """
        ...

    async def transfers(
        self, *, since: datetime, cursor: str = ""
    ) -> Slice[Transfer | Quarantined]:
        """Return what moved the wallet at or after `since` beside trades, fees and funding.

        In slices as funding. A line that is not believed comes as Quarantined and hides no other;
        a history that does not go on from where it should raises VenueUnavailable.
        """
        ...

    async def submit(self, command: SubmitOrder) -> OrderReport: ...

    async def cancel(self, command: CancelOrder) -> OrderReport: ...

    async def cancel_all(self, venue_symbol: str) -> None: ...

    async def set_leverage(self, venue_symbol: str, leverage: Decimal) -> None:
        """Set a contract's leverage, a whole number from 1; raises NotSent for any other."""
        ...

    async def margin_terms(self, venue_symbol: str) -> MarginTerms:
        """Read leverage and margin mode back, as far as the venue tells them."""
        ...

    async def set_margin_mode(self, venue_symbol: str, mode: MarginMode) -> None:
        """Set a contract's margin mode; that it is so already is a success.

        Some venues keep one mode for the whole account. Raises NotOffered where it cannot be set,
        VenueRejected while the contract has a position or orders.
        """
        ...

    async def position_mode(self) -> PositionMode:
        """Return how the account keeps positions; only one-way ones are traded."""
        ...

    async def set_one_way(self) -> None:
        """Have the account keep one position a contract; that it does already is a success."""
        ...

    async def set_dead_man_timer(self, venue_symbol: str, after: timedelta) -> None:
        """Have the venue cancel open orders `after` so long, unless this is called again before.

        Zero disarms it. Whole milliseconds; each venue has bounds of its own and rejects what is
        outside. It covers the contract, or all contracts of the account where the capability
        `dead_man_timer_per_symbol` is false. Raises NotOffered where the venue has none.
        """
        ...

    async def open_private_stream(self) -> StreamAddress:
        """Return where this account's private stream is (a listen key made where needed)."""
        ...

    async def keep_private_stream(self) -> None:
        """Prolong the private stream; raises VenueRejected when the venue has dropped it."""
        ...

    async def confirm_private_stream(self, address: StreamAddress) -> None:
        """Find out, once its socket is open, whether the stream hangs on what lives at the venue.

        Does nothing where its channels prove that themselves. Raises VenueRejected when it does
        not, any other VenueError when that could not be found out.
        """
        ...

    async def close(self) -> None: ...


class MarketSession(Protocol):
    """A public stream without sockets: frames in, events out. Never raises on a bad frame.

    `channels` are those it asks for; `receive` notes in it which have spoken. Symbols may be
    added and taken away while the connection stands; what still comes of one that was taken away
    is passed over.
    """

    @property
    def channels(self) -> Channels: ...

    def url(self) -> str: ...

    def opening_frames(self) -> Sequence[str]: ...

    def channel(self, venue_symbol: str) -> str:
        """Return the name, among `channels`, of what tells of a symbol."""
        ...

    def subscribe(self, venue_symbols: Collection[str]) -> Sequence[str]:
        """Return what to say to get these symbols too."""
        ...

    def unsubscribe(self, venue_symbols: Collection[str]) -> Sequence[str]:
        """Return what to say to get these symbols no more."""
        ...

    def heartbeat(self) -> str | None:
        """Return what must be said now and then to keep the connection, if anything."""
        ...

    def receive(self, frame: str | bytes) -> Sequence[MarketEvent]: ...


class PrivateSession(Protocol):
    """A private stream without sockets. Never raises on a bad frame.

    `channels` as of a MarketSession.
    """

    @property
    def channels(self) -> Channels: ...

    def receive(self, frame: str | bytes) -> Sequence[PrivateEvent]: ...

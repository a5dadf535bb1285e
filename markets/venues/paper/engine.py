"""The matching and account engine of the paper venue: no I/O, no clock, exact decimals.

Orders trade against the house's quote, never against each other, and do not use it up: the next
quote comes from the price source. Every change is told to one listener, in order, as it happens.
"""

from decimal import Decimal
from typing import Final

from markets.venues.paper.matching import Matching
from markets.venues.paper.model import (
    Account,
    Market,
    Order,
    OrderKind,
    Position,
    Quote,
    Settlement,
    TimeInForce,
    floor_to,
)
from markets.venues.paper.rules import (
    AccountChanged,
    Execution,
    NewOrder,
    Reason,
    Refused,
    check_builder,
    check_filters,
    crossing_amount,
)
from markets.venues.types import OrderStatus, Side

# Client ids of what the venue itself closes, as Binance names them.
LIQUIDATION_PREFIX: Final = "autoclose-"
ADL_PREFIX: Final = "adl_autoclose-"


class Engine(Matching):
    """All accounts and markets of one venue."""

    # Reading

    @property
    def last_id(self) -> int:
        """The newest id given out; whatever happens later has a larger one."""
        return self._next_id

    def market(self, symbol: str) -> Market:
        market = self.markets.get(symbol)
        if market is None or not market.known:
            raise Refused(Reason.UNKNOWN_SYMBOL, symbol)
        return market

    def find_order(
        self, account: Account, symbol: str, *, order_id: int | None, client_id: str | None
    ) -> Order:
        """Return an order by the venue's id, else the newest with that client id."""
        self.market(symbol)
        if order_id is not None:
            order = account.orders.get(order_id)
            if order is not None and order.symbol == symbol:
                return order
        elif client_id is not None:
            order = account.newest_by_client_id.get(client_id)
            if order is not None and order.symbol == symbol:
                return order
        raise Refused(Reason.UNKNOWN_ORDER)

    # Orders

    def place(self, account: Account, new: NewOrder, *, now_ns: int) -> Order:
        """Accept an order and match what crosses; raises Refused with nothing changed."""
        market = self.market(new.symbol)
        if not market.listed and not new.reduce_only:
            raise Refused(Reason.SYMBOL_CLOSED)
        twin = account.newest_by_client_id.get(new.client_id)
        if twin is not None and not twin.status.is_final:
            raise Refused(Reason.DUPLICATE_CLIENT_ID)
        check_builder(account, new.builder)
        check_filters(market, new)
        if len(account.open_orders) >= market.instrument.max_open_orders:
            raise Refused(Reason.TOO_MANY_ORDERS)
        if new.reduce_only:
            if account.size(new.symbol) * new.side.sign >= 0:
                raise Refused(Reason.REDUCE_ONLY)
        else:
            self._check_margin(account, market, new)
        crossing = crossing_amount(market, new)
        if new.tif is TimeInForce.GTX and crossing:
            raise Refused(Reason.POST_ONLY_CROSSES)
        if new.tif is TimeInForce.FOK and crossing < new.amount:
            raise Refused(Reason.FOK_UNFILLED)
        order = self._open(account, new, now_ns)
        self._take(account, market, order, now_ns)
        if not order.status.is_final:
            if order.kind is OrderKind.LIMIT and order.tif in (TimeInForce.GTC, TimeInForce.GTX):
                self._resting[order.symbol][order.order_id] = order
            else:
                self._close(account, order, OrderStatus.EXPIRED, Execution.EXPIRED, now_ns)
        if order.filled:
            self._drop_spent_reduce_only(account, order.symbol, now_ns)
        return order

    def turn_away(self, account: Account, new: NewOrder, *, now_ns: int) -> Order:
        """Accept an order and reject it at once, as venues do that judge after the answer."""
        self.market(new.symbol)
        order = self._open(account, new, now_ns)
        self._close(account, order, OrderStatus.REJECTED, Execution.REJECTED, now_ns)
        return order

    def cancel(self, account: Account, order: Order, *, now_ns: int) -> None:
        if order.status.is_final:
            raise Refused(Reason.UNKNOWN_ORDER)
        self._close(account, order, OrderStatus.CANCELLED, Execution.CANCELED, now_ns)

    def cancel_all(self, account: Account, symbol: str, *, now_ns: int) -> list[Order]:
        self.market(symbol)
        orders = [order for order in account.open_orders.values() if order.symbol == symbol]
        for order in orders:
            self.cancel(account, order, now_ns=now_ns)
        return orders

    def set_leverage(self, account: Account, symbol: str, leverage: int) -> None:
        """Change a symbol's leverage; refused when the account could not carry its positions."""
        market = self.market(symbol)
        if not 1 <= leverage <= market.instrument.max_leverage:
            raise Refused(Reason.LEVERAGE_OUT_OF_RANGE)
        before = account.leverage_of(symbol)
        account.leverage[symbol] = leverage
        state = self.margin(account)
        if leverage < before and state.initial_margin > state.equity:
            account.leverage[symbol] = before
            raise Refused(Reason.INSUFFICIENT_MARGIN)

    def set_margin_mode(self, account: Account, symbol: str, *, isolated: bool) -> None:
        """Change a symbol's margin mode; refused while it has a position or open orders."""
        self.market(symbol)
        if isolated == (symbol in account.isolated):
            return
        if account.size(symbol):
            raise Refused(Reason.MARGIN_MODE_WITH_POSITION)
        if symbol in account.touched():
            raise Refused(Reason.MARGIN_MODE_WITH_ORDERS)
        account.isolated ^= {symbol}

    def seed_position(self, account: Account, symbol: str, size: Decimal, *, now_ns: int) -> None:
        """Give an account a position at the mark without a trade (its state at the start)."""
        market = self.market(symbol)
        account.positions[symbol] = Position(size=size, entry=market.mark, updated_ns=now_ns)

    # Prices and time

    def set_quote(self, symbol: str, quote: Quote) -> None:
        """Take a new top of book and fill resting orders it crosses, at their own price."""
        market = self.markets[symbol]
        market.quote = quote
        resting = self._resting[symbol]
        if not resting:
            return
        for order in list(resting.values()):
            if order.side is Side.BUY:
                crossed, size = quote.ask <= order.price, quote.ask_size
            else:
                crossed, size = quote.bid >= order.price, quote.bid_size
            if crossed and not order.status.is_final:
                account = self.accounts[order.account]
                amount = self._allowed(account, order, min(order.remaining, size))
                self._fill(account, market, order, amount, order.price, quote.at_ns, maker=True)
                self._drop_spent_reduce_only(account, order.symbol, quote.at_ns)

    def settle_funding(self, symbol: str, *, now_ns: int, next_ns: int) -> None:
        """Book funding on every position: longs pay shorts when the rate is positive."""
        for account, amount in self.funding_due(symbol):
            self.book_funding(account, symbol, amount, now_ns=now_ns)
        self.end_settlement(symbol, now_ns=now_ns, next_ns=next_ns)

    def end_settlement(self, symbol: str, *, now_ns: int, next_ns: int) -> None:
        """Keep a settlement in the market's history and look forward to the next one."""
        market = self.markets[symbol]
        at_ns = min(now_ns, market.next_funding_ns)
        market.settlements.append(Settlement(at_ns, market.funding_rate, market.mark))
        market.next_funding_ns = next_ns

    def funding_due(self, symbol: str) -> list[tuple[Account, Decimal]]:
        """Return what each account with a position would now be paid (pays when negative)."""
        market = self.markets[symbol]
        return [
            (account, -size * market.mark * market.funding_rate)
            for account in self.accounts.values()
            if (size := account.size(symbol))
        ]

    def book_funding(self, account: Account, symbol: str, amount: Decimal, *, now_ns: int) -> None:
        account.wallet += amount
        self._book(account, symbol, "FUNDING_FEE", amount, None, now_ns)
        self._tell(AccountChanged(account, (), "FUNDING_FEE", amount, now_ns))

    def transfer(self, account: Account, amount: Decimal, *, now_ns: int) -> None:
        """Move `amount` into the account from outside (out of it when negative)."""
        account.wallet += amount
        self._book(account, "", "TRANSFER", amount, None, now_ns)
        reason = "DEPOSIT" if amount > 0 else "WITHDRAW"
        self._tell(AccountChanged(account, (), reason, amount, now_ns))

    def liquidate(self, *, now_ns: int) -> None:
        """Close every position of each account whose equity is below its maintenance margin."""
        for account in self.accounts.values():
            held = [symbol for symbol, position in account.positions.items() if position.size]
            if not held:
                continue
            state = self.margin(account)
            if state.equity > state.maintenance_margin:
                continue
            for order in list(account.open_orders.values()):
                self._close(account, order, OrderStatus.CANCELLED, Execution.CANCELED, now_ns)
            for symbol in held:
                self.close_position(account, symbol, now_ns=now_ns)

    def close_position(
        self,
        account: Account,
        symbol: str,
        *,
        now_ns: int,
        share: Decimal = Decimal(1),
        prefix: str = LIQUIDATION_PREFIX,
    ) -> None:
        """Close `share` of a position (down to the lot) as the venue does it by itself."""
        market = self.markets[symbol]
        held = account.size(symbol)
        size = held if share == 1 else floor_to(abs(held) * share, market.instrument.lot)
        size = abs(size) if held > 0 else -abs(size)
        new = NewOrder(
            symbol=symbol,
            side=Side.SELL if size > 0 else Side.BUY,
            kind=OrderKind.LIQUIDATION,
            tif=TimeInForce.IOC,
            amount=abs(size),
            price=market.mark,
            client_id=f"{prefix}{self._next_id}",
            reduce_only=True,
            external=True,
        )
        order = self._open(account, new, now_ns)
        touch = market.quote.bid if size > 0 else market.quote.ask
        self._fill(account, market, order, order.amount, touch, now_ns, maker=False)
        self._drop_spent_reduce_only(account, symbol, now_ns)

    def fill_anyway(
        self, account: Account, order: Order, *, now_ns: int, share: Decimal = Decimal(1)
    ) -> None:
        """Fill `share` of what remains of an order at its own price, even one cancelled since."""
        market = self.markets[order.symbol]
        quote = market.quote
        price = order.price or (quote.ask if order.side is Side.BUY else quote.bid)
        amount = order.remaining * share
        if share != 1:
            amount = floor_to(amount, market.instrument.lot)
        amount = self._allowed(account, order, amount)
        self._fill(account, market, order, amount, price, now_ns, maker=True)
        self._drop_spent_reduce_only(account, order.symbol, now_ns)

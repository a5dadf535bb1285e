"""The matching and account engine of the paper venue: no I/O, no clock, exact decimals.

Orders trade against the house's quote, never against each other, and do not use it up: the next
quote comes from the price source. Every change is told to one listener, in order, as it happens.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

from markets.venues.paper.model import (
    ZERO,
    Account,
    Income,
    MarginState,
    Market,
    Order,
    OrderKind,
    Position,
    Quote,
    Settlement,
    TimeInForce,
    Trade,
    margin_state,
)
from markets.venues.paper.rules import (
    AccountChanged,
    EngineEvent,
    Execution,
    IncomeBooked,
    NewOrder,
    OrderChanged,
    Reason,
    Refused,
    check_filters,
    crosses,
    crossing_amount,
)
from markets.venues.types import OrderStatus, Side

LIQUIDATION_PREFIX: Final = "autoclose-"


class Engine:
    """All accounts and markets of one venue."""

    def __init__(
        self,
        markets: Iterable[Market],
        accounts: Iterable[Account],
        *,
        first_id: int,
        listener: Callable[[EngineEvent], None],
    ) -> None:
        self.markets = {market.instrument.symbol: market for market in markets}
        self.accounts = {account.label: account for account in accounts}
        self._tell = listener
        self._next_id = first_id
        self._resting: dict[str, dict[int, Order]] = {symbol: {} for symbol in self.markets}

    # Reading

    @property
    def last_id(self) -> int:
        """The newest id given out; whatever happens later has a larger one."""
        return self._next_id

    def market(self, symbol: str) -> Market:
        market = self.markets.get(symbol)
        if market is None:
            raise Refused(Reason.UNKNOWN_SYMBOL, symbol)
        return market

    def margin(self, account: Account) -> MarginState:
        return margin_state(account, self.markets)

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
        twin = account.newest_by_client_id.get(new.client_id)
        if twin is not None and not twin.status.is_final:
            raise Refused(Reason.DUPLICATE_CLIENT_ID)
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
        market = self.markets[symbol]
        for account in self.accounts.values():
            size = account.size(symbol)
            if size:
                amount = -size * market.mark * market.funding_rate
                account.wallet += amount
                self._book(account, symbol, "FUNDING_FEE", amount, None, now_ns)
                self._tell(AccountChanged(account, (), "FUNDING_FEE", amount, now_ns))
        at_ns = min(now_ns, market.next_funding_ns)
        market.settlements.append(Settlement(at_ns, market.funding_rate, market.mark))
        market.next_funding_ns = next_ns

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
                self._liquidate_position(account, symbol, now_ns)

    def _liquidate_position(self, account: Account, symbol: str, now_ns: int) -> None:
        size = account.size(symbol)
        market = self.markets[symbol]
        new = NewOrder(
            symbol=symbol,
            side=Side.SELL if size > 0 else Side.BUY,
            kind=OrderKind.LIQUIDATION,
            tif=TimeInForce.IOC,
            amount=abs(size),
            price=market.mark,
            client_id=f"{LIQUIDATION_PREFIX}{self._next_id}",
            reduce_only=True,
            external=True,
        )
        order = self._open(account, new, now_ns)
        touch = market.quote.bid if size > 0 else market.quote.ask
        self._fill(account, market, order, order.amount, touch, now_ns, maker=False)

    # Matching

    def _open(self, account: Account, new: NewOrder, now_ns: int) -> Order:
        order = Order(
            order_id=self._take_id(),
            account=account.label,
            symbol=new.symbol,
            client_id=new.client_id,
            side=new.side,
            kind=new.kind,
            tif=new.tif,
            price=new.price,
            amount=new.amount,
            reduce_only=new.reduce_only,
            external=new.external,
            created_ns=now_ns,
            updated_ns=now_ns,
        )
        account.orders[order.order_id] = order
        account.open_orders[order.order_id] = order
        account.newest_by_client_id[order.client_id] = order
        self._tell(OrderChanged(order, Execution.NEW, None, now_ns))
        return order

    def _take(self, account: Account, market: Market, order: Order, now_ns: int) -> None:
        for price, size in market.quote.levels(order.side, market.instrument.tick):
            if not crosses(order.kind, order.side, order.price, price):
                return
            amount = self._allowed(account, order, min(order.remaining, size))
            if amount <= 0:
                return
            self._fill(account, market, order, amount, price, now_ns, maker=False)
            if order.status.is_final:
                return

    def _allowed(self, account: Account, order: Order, amount: Decimal) -> Decimal:
        """Return how much of `amount` may fill: a reduce-only order never passes flat."""
        if not order.reduce_only:
            return amount
        reducible = -account.size(order.symbol) * order.side.sign
        return max(ZERO, min(amount, reducible))

    def _fill(
        self,
        account: Account,
        market: Market,
        order: Order,
        amount: Decimal,
        price: Decimal,
        now_ns: int,
        *,
        maker: bool,
    ) -> None:
        if amount <= 0:
            return
        instrument = market.instrument
        order.filled += amount
        order.cost += amount * price
        order.updated_ns = now_ns
        done = order.remaining == 0
        order.status = OrderStatus.FILLED if done else OrderStatus.PARTIALLY_FILLED
        if done:
            self._forget_open(account, order)
        position = account.positions.setdefault(order.symbol, Position())
        realized = position.add(amount * order.side.sign, price)
        position.updated_ns = now_ns
        fee = amount * price * (instrument.maker_fee if maker else instrument.taker_fee)
        account.wallet += realized - fee
        trade = Trade(
            trade_id=self._take_id(),
            order_id=order.order_id,
            account=account.label,
            symbol=order.symbol,
            client_id=order.client_id,
            side=order.side,
            amount=amount,
            price=price,
            fee=fee,
            fee_asset=account.asset,
            realized=realized,
            is_maker=maker,
            external=order.external,
            at_ns=now_ns,
        )
        account.trades.append(trade)
        self._book(account, order.symbol, "COMMISSION", -fee, trade.trade_id, now_ns)
        if realized:
            self._book(account, order.symbol, "REALIZED_PNL", realized, trade.trade_id, now_ns)
        self._tell(AccountChanged(account, (order.symbol,), "ORDER", realized - fee, now_ns))
        self._tell(OrderChanged(order, Execution.TRADE, trade, now_ns))

    def _drop_spent_reduce_only(self, account: Account, symbol: str, now_ns: int) -> None:
        """Expire reduce-only orders that have nothing left to reduce."""
        size = account.size(symbol)
        for order in list(account.open_orders.values()):
            if order.symbol == symbol and order.reduce_only and size * order.side.sign >= 0:
                self._close(account, order, OrderStatus.EXPIRED, Execution.EXPIRED, now_ns)

    def _close(
        self,
        account: Account,
        order: Order,
        status: OrderStatus,
        execution: Execution,
        now_ns: int,
    ) -> None:
        order.status = status
        order.updated_ns = now_ns
        self._forget_open(account, order)
        self._tell(OrderChanged(order, execution, None, now_ns))

    def _forget_open(self, account: Account, order: Order) -> None:
        account.open_orders.pop(order.order_id, None)
        self._resting[order.symbol].pop(order.order_id, None)

    def _check_margin(self, account: Account, market: Market, new: NewOrder) -> None:
        """Refuse what would need more initial margin than there is equity, if it needs more."""
        price = market.mark if new.kind is OrderKind.MARKET else max(new.price, market.mark)
        buys, sells = (new.amount, ZERO) if new.side is Side.BUY else (ZERO, new.amount)
        before = account.symbol_margin(new.symbol, market.mark)
        after = account.symbol_margin(new.symbol, market.mark, buys=buys, sells=sells)
        increase = (after - before) * price / market.mark
        if increase > 0 and increase > self.margin(account).available:
            raise Refused(Reason.INSUFFICIENT_MARGIN)

    def _book(
        self,
        account: Account,
        symbol: str,
        kind: str,
        amount: Decimal,
        trade_id: int | None,
        now_ns: int,
    ) -> None:
        income = Income(
            self._take_id(), account.label, symbol, kind, amount, account.asset, trade_id, now_ns
        )
        account.income.append(income)
        account.updated_ns = now_ns
        self._tell(IncomeBooked(income))

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id

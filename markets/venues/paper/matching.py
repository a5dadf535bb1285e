"""How the paper venue's orders trade and what a fill changes: the inside of its engine."""

from collections.abc import Callable, Iterable
from decimal import Decimal

from markets.venues.paper.model import (
    ZERO,
    Account,
    Income,
    MarginState,
    Market,
    Order,
    OrderKind,
    Position,
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
    crosses,
)
from markets.venues.types import OrderStatus, Side


class Matching:
    """Books fills, closes orders and tells one listener of each change as it happens."""

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

    def margin(self, account: Account) -> MarginState:
        return margin_state(account, self.markets)

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
            builder=new.builder,
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
        if done:
            order.status = OrderStatus.FILLED
            self._forget_open(account, order)
        elif not order.status.is_final:
            order.status = OrderStatus.PARTIALLY_FILLED
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

"""Reports that every venue's words become by the same checks."""

from typing import Final

from controlplane.kernel.units import BaseAmount, Price
from markets.venues import checks
from markets.venues.checks import BadAnswer
from markets.venues.types import BookTop, OrderReport, OrderStatus, Side


def top_of_book(
    symbol: str,
    bid: str,
    bid_size: str,
    ask: str,
    ask_size: str,
    *,
    at_ms: int,
    sequence: int,
) -> BookTop:
    """Return a top of book from the venue's texts; raises BadAnswer when it is unsound."""
    bid_price, ask_price = checks.positive(bid, "bid"), checks.positive(ask, "ask")
    if bid_price >= ask_price:
        raise BadAnswer("crossed", f"{symbol} {bid}/{ask}")
    return BookTop(
        venue_symbol=symbol,
        bid=Price(bid_price),
        bid_size=checks.positive(bid_size, "bid size"),
        ask=Price(ask_price),
        ask_size=checks.positive(ask_size, "ask size"),
        venue_ms=checks.clock_ms(at_ms, "time"),
        sequence=sequence,
    )


def order_report(
    *,
    symbol: str,
    order_id: int,
    client_id: str,
    side: Side,
    status: OrderStatus,
    amount: str,
    filled: str,
    price: str,
    average: str | None,
    reduce_only: bool,
    at_ms: int,
) -> OrderReport:
    """Return an order's report; raises BadAnswer when its numbers do not go together.

    `average` is None where the venue does not tell it.
    """
    if order_id <= 0:
        raise BadAnswer("bad-id", str(order_id))
    whole, done = checks.positive(amount, "amount"), checks.unsigned(filled, "filled")
    checks.check_filled(status, whole, done)
    mean = None if average is None else checks.unsigned(average, "average price")
    if done and mean == 0:
        raise BadAnswer("not-positive", "average price of a filled order")
    limit = checks.unsigned(price, "price")
    return OrderReport(
        venue_symbol=symbol,
        venue_order_id=str(order_id),
        client_order_id=client_id,
        side=side,
        status=status,
        amount=BaseAmount(whole),
        filled=BaseAmount(done),
        price=Price(limit) if limit else None,
        average_price=Price(mean) if done and mean is not None else None,
        reduce_only=reduce_only,
        at=checks.moment(at_ms, "time"),
    )


class GrowingSequence:
    """The order of quotes on one connection: each symbol's numbers only grow.

    One number far above all that follow is a lie, not an order: after `RETURN_AFTER` lower ones in
    a row that grow among themselves and are newer than what came before the lie, theirs is the
    order again. Old quotes that are sent anew are not newer.
    """

    RETURN_AFTER: Final = 20

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int, int]] = {}
        self._lower: dict[str, tuple[int, int]] = {}

    def take(self, symbol: str, number: int, at_ms: int) -> None:
        """Note a quote's number and time; raises BadAnswer when it is not above the last one."""
        last, last_ms, before_ms = self._last.get(symbol, (0, 0, 0))
        if number <= last:
            if not (at_ms > before_ms and self._returns(symbol, number)):
                reason = "duplicate" if number == last else "out-of-order"
                raise BadAnswer(reason, f"{symbol} {number} after {last}")
            last_ms = before_ms
        self._last[symbol] = (number, at_ms, last_ms)
        if self._lower:
            self._lower.pop(symbol, None)

    def _returns(self, symbol: str, number: int) -> bool:
        newest, count = self._lower.get(symbol, (0, 0))
        count = count + 1 if number > newest else 1
        self._lower[symbol] = (number, count)
        return count >= self.RETURN_AFTER

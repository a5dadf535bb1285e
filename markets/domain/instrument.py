"""An instrument's trading rules: the only place that rounds sizes and prices."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import Final

from controlplane.kernel.errors import Denied
from controlplane.kernel.units import CONTEXT, BaseAmount, Price, QuoteAmount
from markets.venues.types import Side

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class InstrumentSpec:
    """One linear perpetual. Sizes are base units, `min_notional` is quote.

    `tick` and `lot` may be any positive step (0.5, 25), not only powers of ten. A limit of None
    means the venue states none.
    """

    venue_symbol: str
    base: str
    quote: str
    contract_size: Decimal
    tick: Decimal
    lot: Decimal
    min_qty: Decimal = ZERO
    min_notional: Decimal = ZERO
    max_qty: Decimal | None = None
    max_market_qty: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("contract_size", "tick", "lot"):
            value = getattr(self, name)
            if not value.is_finite() or value <= 0:
                raise ValueError(f"{self.venue_symbol}: {name} must be above zero, not {value}.")

    def floor_size(self, amount: Decimal) -> BaseAmount:
        """Return the largest multiple of the lot not above |amount|, with the amount's sign."""
        return BaseAmount(to_step(amount, self.lot, ROUND_DOWN))

    def price_toward_passive(self, side: Side, price: Decimal) -> Price:
        """Return the nearest price on tick that is no more eager to trade: a buy rounds down.

        May be zero for a buy below one tick: check before use.
        """
        return Price(to_step(price, self.tick, ROUND_FLOOR if side is Side.BUY else ROUND_CEILING))

    def price_toward_aggressive(self, side: Side, price: Decimal) -> Price:
        """Return the nearest price on tick that is no less eager to trade: a buy rounds up."""
        return Price(to_step(price, self.tick, ROUND_CEILING if side is Side.BUY else ROUND_FLOOR))

    def notional(self, amount: Decimal, price: Decimal) -> QuoteAmount:
        """Return |amount| x price in quote; an amount is base, so contract size has no part."""
        return QuoteAmount(CONTEXT.multiply(abs(amount), price))

    def contracts(self, amount: Decimal) -> Decimal:
        """Return base units as the venue's contracts, signed like the amount."""
        return CONTEXT.divide(amount, self.contract_size)

    def check_order(
        self,
        amount: Decimal,
        price: Decimal,
        *,
        reduce_only: bool = False,
        is_market: bool = False,
    ) -> None:
        """Raise Denied unless an order of this size and price keeps the venue's filters.

        `amount` is unsigned base. `price` is the limit, or for a market order the price expected.
        The smallest notional does not bind reduce-only orders.
        """
        if not amount.is_finite() or amount <= 0 or amount != self.floor_size(amount):
            raise Denied(
                "AMOUNT_NOT_ON_LOT",
                "The size is no multiple of the lot.",
                amount=amount,
                lot=self.lot,
            )
        if not price.is_finite() or price <= 0:
            raise Denied("PRICE_NOT_POSITIVE", "The price must be above zero.", price=price)
        if not is_market and price != to_step(price, self.tick, ROUND_FLOOR):
            raise Denied(
                "PRICE_NOT_ON_TICK",
                "The price is no multiple of the tick.",
                price=price,
                tick=self.tick,
            )
        self._check_limits(amount, price, reduce_only=reduce_only, is_market=is_market)

    def _check_limits(
        self, amount: Decimal, price: Decimal, *, reduce_only: bool, is_market: bool
    ) -> None:
        if amount < self.min_qty:
            raise Denied(
                "AMOUNT_BELOW_MINIMUM",
                "The size is below the venue's smallest.",
                amount=amount,
                minimum=self.min_qty,
            )
        limits = [self.max_qty, self.max_market_qty if is_market else None]
        maximum = min((limit for limit in limits if limit is not None), default=None)
        if maximum is not None and amount > maximum:
            raise Denied(
                "AMOUNT_ABOVE_MAXIMUM",
                "The size is above the venue's largest.",
                amount=amount,
                maximum=maximum,
            )
        notional = self.notional(amount, price)
        if not reduce_only and notional < self.min_notional:
            raise Denied(
                "NOTIONAL_BELOW_MINIMUM",
                "The value is below the venue's smallest.",
                notional=notional,
                minimum=self.min_notional,
            )

    def is_tradable(
        self,
        amount: Decimal,
        price: Decimal,
        *,
        reduce_only: bool = False,
        is_market: bool = False,
    ) -> bool:
        """Tell whether `check_order` would let the order pass."""
        try:
            self.check_order(amount, price, reduce_only=reduce_only, is_market=is_market)
        except Denied:
            return False
        return True


def nearest_step(value: Decimal, step: Decimal) -> Decimal:
    """Return the multiple of `step` next to `value`, the lower one of two as near."""
    below = to_step(value, step, ROUND_FLOOR)
    above = to_step(value, step, ROUND_CEILING)
    return below if value - below <= above - value else above


def to_step(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """Return the multiple of `step` next to `value` in the direction of `rounding`.

    Exact: the whole quotient and its rest are taken apart before anything is rounded, so a
    quotient with endless digits cannot slip up to the next multiple.
    """
    whole = CONTEXT.divide_int(value, step)
    rest = CONTEXT.subtract(value, CONTEXT.multiply(whole, step))
    if rest < 0 and rounding == ROUND_FLOOR:
        whole = CONTEXT.subtract(whole, 1)
    elif rest > 0 and rounding == ROUND_CEILING:
        whole = CONTEXT.add(whole, 1)
    return CONTEXT.add(CONTEXT.multiply(whole, step), ZERO)  # no minus zero

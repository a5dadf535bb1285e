"""Units in the type: arithmetic gives back a bare Decimal, so a change of unit is written out."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Final, NewType

from controlplane.kernel.errors import InvalidNumber

BaseAmount = NewType("BaseAmount", Decimal)
"""Size in the base asset (BTC of BTCUSDT). Signed where it is a delta: long is positive."""
QuoteAmount = NewType("QuoteAmount", Decimal)
"""Value in the quote asset, read as USD."""
BtcEquivalent = NewType("BtcEquivalent", Decimal)
"""Delta x reference(asset) / reference(BTC). Long is positive."""
Price = NewType("Price", Decimal)
"""Quote per one base. Always positive."""
Ratio = NewType("Ratio", Decimal)
"""A share, 0.5 is one half."""

MAX_DIGITS: Final = 36
DECIMAL_PLACES: Final = 18
LIMIT: Final = Decimal(10) ** (MAX_DIGITS - DECIMAL_PLACES)
"""Every amount we hold is below this in absolute value; a database column holds no more."""

CONTEXT: Final = Context(
    prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow]
)

ZERO: Final = Decimal(0)
_ALLOWED: Final = frozenset("0123456789+-.eE")


def finite_decimal(value: object, *, name: str = "value") -> Decimal:
    """Return `value` as a finite Decimal inside the range we store.

    Accepts str, int and Decimal. Raises InvalidNumber for anything else: float, NaN, infinity,
    blanks, thousands separators, non-ASCII digits, and values too large to store.
    """
    if isinstance(value, str):  # first, and four times for each quote
        if not value or len(value) > 64 or not _ALLOWED.issuperset(value):
            raise InvalidNumber(name, value)
    elif isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise InvalidNumber(name, value)
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise InvalidNumber(name, value) from error
    if not number.is_finite() or not -LIMIT < number < LIMIT:
        raise InvalidNumber(name, value)
    return number


def positive_decimal(value: object, *, name: str = "value") -> Decimal:
    """Return `value` as a finite Decimal above zero; raises InvalidNumber otherwise."""
    number = finite_decimal(value, name=name)
    if number <= 0:
        raise InvalidNumber(name, value)
    return number


def plain(number: Decimal) -> str:
    """Return a finite number in digits: no exponent, no padding (`0.0005`, `1000`, `0`)."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def median(values: Iterable[Decimal]) -> Decimal | None:
    """Return the median of `values`; the mean of the middle two when even, None when empty."""
    ordered = sorted(values)
    if not ordered:
        return None
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2

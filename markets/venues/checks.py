"""The checks that everything a venue says must pass before it becomes a report.

Numbers stay the venue's own strings until `finite_decimal` has seen them. What does not fit raises
BadAnswer, with a short text fit to log.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from controlplane.kernel.errors import InvalidNumber
from controlplane.kernel.units import Price, finite_decimal
from markets.venues.types import OrderStatus

EPOCH: Final = datetime.fromtimestamp(0, tz=UTC)
MIN_MS: Final = 1_000_000_000_000
MAX_MS: Final = 4_102_444_800_000
"""2001 to 2100: what lies outside is seconds, microseconds or no clock at all."""
TEXTS_KEPT: Final = 4096
UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)

Shape = TypeVar("Shape")


class BadAnswer(Exception):
    """Something the venue said that we do not believe. `reason` is a short stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}"[:300])
        self.reason = reason
        self.detail = detail[:200]


def decode(body: bytes, shape: type[Shape]) -> Shape:
    """Return `body` as `shape`; raises BadAnswer (NaN and Infinity are no JSON).

    Whole numbers may come as texts: venues are of two minds about large ids.
    """
    try:
        return msgspec.json.decode(body, type=shape, strict=False)
    except UNREADABLE as error:
        raise BadAnswer("malformed", str(error)) from None


def number(text: str, name: str) -> Decimal:
    """Return a finite decimal in the range we store; raises BadAnswer."""
    try:
        return finite_decimal(text, name=name)
    except InvalidNumber as error:
        raise BadAnswer("bad-number", error.message) from None


def positive(text: str, name: str) -> Decimal:
    """Return a number above zero; most texts of a quote are those of the quote before it."""
    value = number(text, name) if (known := _sound(text)) is None else known
    if value <= 0:
        raise BadAnswer("not-positive", f"{name} is {text}")
    return value


@lru_cache(maxsize=TEXTS_KEPT)
def _sound(text: str) -> Decimal | None:
    try:
        return finite_decimal(text)
    except InvalidNumber:
        return None


def unsigned(text: str, name: str) -> Decimal:
    value = number(text, name)
    if value < 0:
        raise BadAnswer("negative", f"{name} is {text}")
    return value


def price_or_none(text: str, name: str) -> Price | None:
    """Return a price, or None for a venue's zero (none) and below (never reached)."""
    value = number(text, name)
    return Price(value) if value > 0 else None


def clock_ms(value: int, name: str) -> int:
    if not MIN_MS <= value < MAX_MS:
        raise BadAnswer("bad-time", f"{name} is {value}")
    return value


def moment(value: int, name: str) -> datetime:
    """Return milliseconds since the epoch as a UTC time; raises BadAnswer."""
    seconds, milliseconds = divmod(clock_ms(value, name), 1000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=milliseconds * 1000)


def ms_text(at: datetime) -> str:
    """Return a time as whole milliseconds since the epoch."""
    return str((at - EPOCH) // timedelta(milliseconds=1))


def check_filled(state: OrderStatus, amount: Decimal, filled: Decimal) -> None:
    """Raise BadAnswer unless the filled amount can go with the status."""
    fits = {
        OrderStatus.OPEN: filled == 0,
        OrderStatus.PARTIALLY_FILLED: 0 < filled < amount,
        OrderStatus.FILLED: filled == amount,
    }
    if not fits.get(state, filled <= amount):
        raise BadAnswer("bad-filled", f"{state}: {filled} of {amount}")


def same(name: str, given: object, asked: object) -> None:
    """Raise BadAnswer unless the venue speaks of what it was asked about."""
    if given != asked:
        raise BadAnswer("not-ours", f"{name} is {given}, asked was {asked}")

"""Error codes, texts and HTTP statuses of Pacifica as the paper venue gives them.

Codes: the vendor's "Error codes" page; bodies: what its test network answered.
"""

from collections.abc import Mapping
from typing import Final

from markets.venues.paper.rules import Reason


class PacificaError(Exception):
    """A refusal in the venue's own words."""

    def __init__(
        self, code: int, message: str, *, status: int = 422, error_id: str = "unspecified"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.error_id = error_id


REASONS: Final[Mapping[Reason, tuple[int, str]]] = {
    Reason.UNKNOWN_SYMBOL: (3, "Book not found"),
    Reason.DUPLICATE_CLIENT_ID: (36, "Duplicate client order id"),
    Reason.PRICE_NOT_ON_TICK: (52, "Invalid tick size"),
    Reason.PRICE_TOO_HIGH: (30, "Price too far from mark"),
    Reason.PRICE_TOO_LOW: (30, "Price too far from mark"),
    Reason.AMOUNT_NOT_ON_LOT: (59, "Invalid amount"),
    Reason.AMOUNT_TOO_SMALL: (7, "Order amount too low"),
    Reason.AMOUNT_TOO_LARGE: (8, "Order amount too high"),
    Reason.NOTIONAL_TOO_SMALL: (0, "Order amount too low"),
    Reason.TOO_MANY_ORDERS: (10, "Open order limit reached"),
    Reason.REDUCE_ONLY: (22, "Invalid reduce only order amount"),
    Reason.INSUFFICIENT_MARGIN: (5, "Insufficient balance"),
    Reason.UNKNOWN_ORDER: (37, "Unused client order id"),
    Reason.UNKNOWN_CANCEL: (37, "Unused client order id"),
    Reason.LEVERAGE_OUT_OF_RANGE: (11, "Invalid leverage"),
    Reason.MARGIN_MODE_WITH_ORDERS: (12, "Invalid margin mode"),
    Reason.MARGIN_MODE_WITH_POSITION: (12, "Invalid margin mode"),
    Reason.BUILDER_NOT_APPROVED: (50, "Invalid builder code"),
    Reason.SYMBOL_CLOSED: (3, "Book not found"),
    Reason.NO_PERMISSION: (403, "Access denied"),
    Reason.MAINTENANCE: (503, "Service unavailable"),
    Reason.TOO_MANY_REQUESTS: (429, "Rate limit exceeded"),
    Reason.BANNED: (429, "Rate limit exceeded"),
}
# The codes that are the HTTP status itself; all others are refusals of the engine, 422.
_HTTP_CODES: Final = frozenset({403, 429, 503})


def refusal(reason: Reason) -> PacificaError:
    code, message = REASONS[reason]
    error_id = "invalid_amount" if reason is Reason.NOTIONAL_TOO_SMALL else "unspecified"
    status = code if code in _HTTP_CODES else 422
    return PacificaError(code, message, status=status, error_id=error_id)


def malformed(message: str) -> PacificaError:
    return PacificaError(400, message, status=400)

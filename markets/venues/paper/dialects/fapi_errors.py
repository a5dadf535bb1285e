"""Error codes, texts and HTTP statuses of Binance USDⓈ-M as the paper venue gives them.

Source: the vendor's "Error Code" page for USDⓈ-M futures.
"""

from collections.abc import Mapping
from typing import Final

from markets.venues.paper.rules import Reason


class FapiError(Exception):
    """A refusal in the venue's own words."""

    def __init__(self, code: int, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


REASONS: Final[Mapping[Reason, tuple[int, str]]] = {
    Reason.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    Reason.DUPLICATE_CLIENT_ID: (-4116, "ClientOrderId is duplicated."),
    Reason.PRICE_NOT_ON_TICK: (-4014, "Price not increased by tick size."),
    Reason.PRICE_TOO_HIGH: (-4016, "Limit price can't be higher than the market price cap."),
    Reason.PRICE_TOO_LOW: (-4024, "Limit price can't be lower than the market price floor."),
    Reason.AMOUNT_NOT_ON_LOT: (
        -1111,
        "Precision is over the maximum defined for this asset.",
    ),
    Reason.AMOUNT_TOO_SMALL: (-4004, "Quantity less than min quantity."),
    Reason.AMOUNT_TOO_LARGE: (-4005, "Quantity greater than max quantity."),
    Reason.NOTIONAL_TOO_SMALL: (
        -4164,
        "Order's notional must be no smaller than the minimum (unless you choose reduce only)",
    ),
    Reason.TOO_MANY_ORDERS: (-2025, "Reach max open order limit."),
    Reason.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    Reason.INSUFFICIENT_MARGIN: (-2019, "Margin is insufficient."),
    Reason.POST_ONLY_CROSSES: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
    Reason.FOK_UNFILLED: (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected.",
    ),
    Reason.UNKNOWN_ORDER: (-2013, "Order does not exist."),
    Reason.UNKNOWN_CANCEL: (-2011, "Unknown order sent."),
    Reason.LEVERAGE_OUT_OF_RANGE: (-4028, "Leverage is not valid."),
    Reason.MARGIN_MODE_WITH_ORDERS: (
        -4047,
        "Margin type cannot be changed if there exists open orders.",
    ),
    Reason.MARGIN_MODE_WITH_POSITION: (
        -4048,
        "Margin type cannot be changed if there exists position.",
    ),
    Reason.SYMBOL_CLOSED: (-4140, "Invalid symbol status for opening position."),
    Reason.WRONG_POSITION_SIDE: (
        -4061,
        "Order's position side does not match user's setting.",
    ),
    # Aster names no code for it; this one is of a parameter that cannot be meant.
    Reason.BUILDER_NOT_APPROVED: (-1130, "Data sent for parameter 'builder' is not valid."),
    Reason.NO_PERMISSION: (-2015, "Invalid API-key, IP, or permissions for action."),
    Reason.LISTEN_KEY_GONE: (-1125, "This listenKey does not exist."),
    Reason.MAINTENANCE: (-1016, "This service is no longer available."),
    Reason.TOO_MANY_REQUESTS: (-1003, "Too many requests; current limit is exceeded."),
    Reason.BANNED: (-1003, "Way too many requests; IP banned until {until}."),
}
_STATUSES: Final[Mapping[Reason, int]] = {
    Reason.NO_PERMISSION: 401,
    Reason.MAINTENANCE: 503,
    Reason.TOO_MANY_REQUESTS: 429,
    Reason.BANNED: 418,
}


def refusal(reason: Reason) -> FapiError:
    code, message = REASONS[reason]
    return FapiError(code, message, status=_STATUSES.get(reason, 400))


def mandatory(name: str) -> FapiError:
    return FapiError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def malformed(name: str) -> FapiError:
    return FapiError(-1130, f"Data sent for parameter '{name}' is not valid.")

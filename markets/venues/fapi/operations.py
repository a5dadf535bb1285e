"""What we ask of a /fapi venue; each venue has its own name and version for it."""

from enum import Enum, auto
from typing import Final


class Operation(Enum):
    TIME = auto()
    INSTRUMENTS = auto()
    BOOK_TOP = auto()
    FUNDING_INFO = auto()
    PREMIUM = auto()
    FUNDING_RATES = auto()
    ACCOUNT = auto()
    POSITIONS = auto()
    OPEN_ORDERS = auto()
    ORDER = auto()
    PLACE = auto()
    CANCEL = auto()
    CANCEL_ALL = auto()
    TRADES = auto()
    INCOME = auto()
    LEVERAGE = auto()
    MARGIN_TERMS = auto()
    SET_MARGIN_MODE = auto()
    POSITION_MODE = auto()
    SET_POSITION_MODE = auto()
    DEAD_MAN_TIMER = auto()
    OPEN_STREAM = auto()
    KEEP_STREAM = auto()


PUBLIC: Final = frozenset(
    {
        Operation.TIME,
        Operation.INSTRUMENTS,
        Operation.BOOK_TOP,
        Operation.FUNDING_INFO,
        Operation.PREMIUM,
        Operation.FUNDING_RATES,
    }
)

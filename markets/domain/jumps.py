"""Prices that leap: believed only when something else confirms them.

A feed has two views of one price: its top of book and its mark. A price near the last believed one
of its own kind passes. One far off is held back until the other view goes there too or, where the
other view is silent, until it has been said again and again.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from controlplane.kernel.units import LIMIT, ZERO

FAR: Final = Decimal("0.1")
"""The share by which one message may move a price. No contract we trade has moved a tenth between
two messages outside of a fault; a real move of that size is confirmed within a second or two."""
NEAR: Final = Decimal("0.02")
"""Doubtful prices this close to each other speak for the same level."""
REPEATS: Final = 5
REPEAT_SECONDS: Final = 2.0
"""What nobody confirms is believed after so many messages in a row over so long a time: longer than
the mark's second, so that a mark that lives has had its say."""

Band = tuple[Decimal, Decimal]
NO_BAND: Final[Band] = (LIMIT, ZERO)
"""Holds no price at all: whatever comes is looked at closely."""


@dataclass(slots=True)
class _View:
    """One kind of price: the level believed, and the level in doubt."""

    level: Decimal | None = None
    doubt: Decimal | None = None
    doubt_since: float = 0.0
    doubts: int = 0

    def believe(self, price: Decimal) -> None:
        self.level, self.doubt, self.doubts = price, None, 0

    def hold_back(self, price: Decimal, now: float) -> bool:
        """Note a doubtful price; True when it has been said long and often enough."""
        if self.doubt is None or not _within(price, self.doubt, NEAR):
            self.doubt, self.doubt_since, self.doubts = price, now, 0
        self.doubts += 1
        return self.doubts >= REPEATS and now - self.doubt_since >= REPEAT_SECONDS


@dataclass(slots=True)
class JumpGuard:
    """Both views of one feed. Times are monotonic seconds."""

    _top: _View = field(default_factory=_View)
    _mark: _View = field(default_factory=_View)

    def believes_top(self, mid: Decimal, now: float, *, mark_is_fresh: bool) -> bool:
        """Tell whether the middle of a new top of book may be believed."""
        return _believes(self._top, self._mark, mid, now, other_is_fresh=mark_is_fresh)

    def believes_mark(self, mark: Decimal, now: float, *, top_is_fresh: bool) -> bool:
        """Tell whether a new mark price may be believed."""
        return _believes(self._mark, self._top, mark, now, other_is_fresh=top_is_fresh)

    def band(self) -> Band:
        """Return between which bid and ask a top needs no closer look."""
        level = self._top.level
        return NO_BAND if level is None else (level * (1 - FAR / 2), level * (1 + FAR / 2))


def _believes(
    view: _View, other: _View, price: Decimal, now: float, *, other_is_fresh: bool
) -> bool:
    if view.level is None and (other.level is None or not other_is_fresh):
        is_believed = True  # nothing to hold it against
    elif view.level is not None and _within(price, view.level, FAR):
        is_believed = True
    elif other.doubt is not None and _within(price, other.doubt, NEAR):
        other.believe(other.doubt)  # both views went there: each confirms the other
        is_believed = True
    elif other.level is not None and other_is_fresh:
        is_believed = _within(price, other.level, FAR)
        if not is_believed:
            view.hold_back(price, now)
    else:
        is_believed = view.hold_back(price, now)
    if is_believed:
        view.believe(price)
    return is_believed


def _within(price: Decimal, level: Decimal, share: Decimal) -> bool:
    return abs(price - level) <= level * share

"""When a hedge waits in the book before it takes: cheaper, while nothing presses. Pure."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from hedging.choices import TriggerReason
from hedging.domain.decision import Decision, Reason

LONGEST_SECONDS: Final = 30


class HedgeStyle(StrEnum):
    """How a hedge trades: `maker` has still to take what its resting orders leave."""

    TAKER = "taker"
    MAKER = "maker"
    MAKER_THEN_TAKER = "maker-then-taker"


@dataclass(frozen=True, slots=True)
class MakerTerms:
    """How long a hedge may rest, zero for not at all, and up to how many thresholds of delta."""

    seconds: int
    within: Decimal


def maker_seconds(config: dict[str, Any], usual: int) -> int:
    """Return how long a module's hedges rest: its own `makerSeconds`, else the usual."""
    own = config.get("makerSeconds", usual)
    is_number = isinstance(own, int) and not isinstance(own, bool)
    return min(LONGEST_SECONDS, max(0, own)) if is_number else usual


def style_of(decision: Decision, trigger: TriggerReason, terms: MakerTerms) -> HedgeStyle:
    """Return how a decided hedge begins: resting only where nothing presses.

    Whoever asks by hand, a failing venue, an order of unknown fate and a delta beyond `within`
    thresholds do not wait.
    """
    delta = decision.exposure.delta_btc
    is_small = delta is not None and abs(delta) <= terms.within * decision.threshold_btc
    is_calm = trigger is TriggerReason.DELTA and decision.reason is Reason.BREACH
    return HedgeStyle.MAKER if terms.seconds and is_small and is_calm else HedgeStyle.TAKER

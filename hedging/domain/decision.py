"""Whether a book's exposure to one asset is to be hedged now, and by how much."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from controlplane.kernel.units import ZERO, BaseAmount, BtcEquivalent, plain
from hedging.domain.delta import Exposure

NOTHING: Final = BaseAmount(ZERO)


class Verdict(StrEnum):
    """`REDUCE` may only shrink positions; `HALT` may do nothing."""

    HOLD = "HOLD"
    HEDGE = "HEDGE"
    REDUCE = "REDUCE"
    HALT = "HALT"


class Reason(StrEnum):
    WITHIN_THRESHOLD = "WITHIN_THRESHOLD"
    BREACH = "BREACH"
    IN_FLIGHT = "IN_FLIGHT"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    OUTCOME_LOST = "OUTCOME_LOST"
    QUOTE_STALE = "QUOTE_STALE"
    ACCOUNT_UNKNOWN = "ACCOUNT_UNKNOWN"
    BACKING_OFF = "BACKING_OFF"
    STOPPED = "STOPPED"
    UNALLOCATED = "UNALLOCATED"
    NO_HEDGE_ACCOUNT = "NO_HEDGE_ACCOUNT"
    DUST = "DUST"
    THROTTLED = "THROTTLED"


@dataclass(frozen=True, slots=True)
class HedgeTerms:
    """What the book tolerates: |delta| up to `threshold_btc` (BTC-equivalent)."""

    threshold_btc: BtcEquivalent


@dataclass(frozen=True, slots=True)
class TradingState:
    """What the book may do.

    `retry_at`: no new attempt before, after attempts that failed. `is_wanted`: somebody gave the
    book to a module, or asks for the hedge by hand. `is_throttled`: it was hedged or failed too
    often, and nobody has released it yet.
    """

    may_increase: bool
    may_reduce: bool
    retry_at: datetime | None = None
    is_wanted: bool = True
    is_throttled: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one asset; `trade_base` is signed, positive buys, zero unless trading."""

    verdict: Verdict
    reason: Reason
    exposure: Exposure
    threshold_btc: BtcEquivalent
    trade_base: BaseAmount = NOTHING

    @property
    def is_trading(self) -> bool:
        return self.verdict in (Verdict.HEDGE, Verdict.REDUCE)

    def numbers(self) -> dict[str, str | None]:
        """Return the numbers behind the decision, for records and people."""
        seen = self.exposure
        values = {
            "deltaBase": seen.delta_base,
            "deltaBtc": seen.delta_btc,
            "lowBase": seen.low_base,
            "highBase": seen.high_base,
            "worstLowBase": seen.worst_low_base,
            "worstHighBase": seen.worst_high_base,
            "thresholdBtc": self.threshold_btc,
            "reference": seen.reference,
            "btcReference": seen.btc_reference,
            "tradeBase": self.trade_base,
        }
        return {name: None if value is None else plain(value) for name, value in values.items()}


def decide(
    exposure: Exposure, terms: HedgeTerms, state: TradingState, *, now: datetime
) -> Decision:
    """Decide on one asset of one book.

    Only what is certain is hedged: the part of the delta that stays out of the threshold however
    the orders in flight end. So a hedge is never sent twice and never turns the sign. Beside an
    order whose fate stays unknown for longer than the policy waits, what is held is reduced.
    """

    def hold(reason: Reason) -> Decision:
        return Decision(Verdict.HOLD, reason, exposure, terms.threshold_btc)

    if exposure.unknown:
        return hold(Reason.ACCOUNT_UNKNOWN)
    delta, certain = exposure.delta_btc, exposure.in_btc(_certain(exposure))
    if delta is None or certain is None:
        return hold(Reason.QUOTE_STALE)
    is_protecting = exposure.has_only_lost and abs(certain) <= terms.threshold_btc
    if abs(certain) <= terms.threshold_btc:
        if abs(delta) <= terms.threshold_btc:
            return hold(Reason.WITHIN_THRESHOLD)
        if not is_protecting:
            return hold(Reason.OUTCOME_UNKNOWN if exposure.has_unknown_intent else Reason.IN_FLIGHT)
    if exposure.reference is None:
        return hold(Reason.QUOTE_STALE)
    if not state.is_wanted:
        return hold(Reason.UNALLOCATED)
    if state.is_throttled:
        return Decision(Verdict.HALT, Reason.THROTTLED, exposure, terms.threshold_btc)
    if not (state.may_increase or state.may_reduce):
        return Decision(Verdict.HALT, Reason.STOPPED, exposure, terms.threshold_btc)
    if state.retry_at is not None and now < state.retry_at:
        return hold(Reason.BACKING_OFF)
    may_increase = state.may_increase and not is_protecting
    return Decision(
        verdict=Verdict.HEDGE if may_increase else Verdict.REDUCE,
        reason=Reason.OUTCOME_LOST if is_protecting else Reason.BREACH,
        exposure=exposure,
        threshold_btc=terms.threshold_btc,
        trade_base=BaseAmount(-(exposure.delta_base if is_protecting else _certain(exposure))),
    )


def _certain(exposure: Exposure) -> Decimal:
    """Return the part of the delta that no order in flight can take away; zero when none."""
    if exposure.low_base > 0:
        return exposure.low_base
    return exposure.high_base if exposure.high_base < 0 else ZERO

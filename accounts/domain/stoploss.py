"""When an account has lost enough: what counts as a breach, and when it is believed.

Pure. A breach must be seen in several readings in a row, each newer than the last, so that one
bad tick trips nothing; after it has tripped nothing trips again until the cool-down is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from accounts.choices import StopLossAction
from accounts.domain.risk.standing import drawdown_percent
from controlplane.kernel.units import ZERO


class LossRule(StrEnum):
    DAILY_DRAWDOWN = "daily-drawdown"
    PEAK_DRAWDOWN = "peak-drawdown"
    POSITION_LOSS = "position-loss"
    ENVELOPE_DRAWDOWN = "envelope-drawdown"


@dataclass(frozen=True, slots=True)
class LossReading:
    """An account as last read. Money in USD.

    `day_peak` and `peak` are the highest equities of the day (UTC) and ever, moved with what came
    in and went out since; `worst_position` is the largest unrealized loss of one position, zero or
    positive. `unexplained` is what neither trades, fees and funding nor known transfers explain of
    the wallet, negative when it fell; with `is_compared` false that is not known yet.
    """

    at: datetime
    equity: Decimal
    day_peak: Decimal
    peak: Decimal
    worst_position: Decimal
    unexplained: Decimal = ZERO
    is_compared: bool = True


@dataclass(frozen=True, slots=True)
class LossLimit:
    """One limit: more than `most` of what the rule measures (per cent, or USD) is a breach."""

    rule: LossRule
    most: Decimal
    action: StopLossAction
    confirmations: int
    cool_down: timedelta


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that a reading is beyond, and by what."""

    limit: LossLimit
    value: Decimal


@dataclass(frozen=True, slots=True)
class Doubt:
    """How often in a row a limit's breach has been seen, last in the reading of `at`."""

    count: int
    at: datetime


def breaches(limits: Sequence[LossLimit], reading: LossReading) -> Sequence[Breach]:
    """Return the limits that the reading is beyond, the gravest action first."""
    found = [Breach(limit, measured(limit.rule, reading)) for limit in limits]
    beyond = [breach for breach in found if breach.value > breach.limit.most]
    return sorted(beyond, key=lambda breach: -gravity(breach.limit.action))


def measured(rule: LossRule, reading: LossReading) -> Decimal:
    """Return what a rule measures: a drawdown in per cent of its peak, or a loss in USD."""
    match rule:
        case LossRule.POSITION_LOSS:
            return reading.worst_position
        case LossRule.PEAK_DRAWDOWN:
            return drawdown_percent(equity=reading.equity, peak=max(reading.peak, reading.equity))
        case LossRule.DAILY_DRAWDOWN | LossRule.ENVELOPE_DRAWDOWN:
            return drawdown_percent(
                equity=reading.equity, peak=max(reading.day_peak, reading.equity)
            )


def may_be_transfer(breach: Breach, reading: LossReading) -> bool:
    """Tell whether a breach may be money taken out that has not been read as a transfer yet.

    It may when without what nothing explains of the wallet there would be none. What positions have
    lost, trades and fees have cost or funding took is explained and never a transfer.
    """
    rule = breach.limit.rule
    if rule is LossRule.POSITION_LOSS:
        return False
    if not reading.is_compared:
        return True
    whole = replace(reading, equity=reading.equity - reading.unexplained)
    return reading.unexplained < 0 and measured(rule, whole) <= breach.limit.most


def seen_again(doubt: Doubt | None, *, at: datetime) -> Doubt:
    """Count a breach seen in the reading of `at`; a reading seen before counts no second time."""
    if doubt is None:
        return Doubt(1, at)
    return doubt if at <= doubt.at else Doubt(doubt.count + 1, at)


@dataclass(frozen=True, slots=True)
class Tripped:
    """What was done last, and when."""

    at: datetime
    action: StopLossAction | None


def trips(breach: Breach, doubt: Doubt, *, last: Tripped | None, now: datetime) -> bool:
    """Tell whether a breach is to be acted on: confirmed, and not within the cool-down.

    A lesser action before keeps a graver one from nothing: a pause at 5 % is no reason not to
    close at 10 %.
    """
    if doubt.count < breach.limit.confirmations:
        return False
    if last is None or now - last.at >= breach.limit.cool_down:
        return True
    return last.action is not None and gravity(breach.limit.action) > gravity(last.action)


def gravity(action: StopLossAction) -> int:
    """Return an action's rank; a graver one is higher."""
    return list(StopLossAction).index(action)

"""Hedges and what holds them up, fills, differences with venues, and emergency stops."""

from hedging.models.emergency import EmergencyStop, StoppedAccount
from hedging.models.hedges import Fill, HedgeExecution, ReconciliationBreak, ResolutionStep
from hedging.models.holding import HedgeDust, HedgeThrottle
from hedging.models.rules import StopRule

__all__ = [
    "EmergencyStop",
    "Fill",
    "HedgeDust",
    "HedgeExecution",
    "HedgeThrottle",
    "ReconciliationBreak",
    "ResolutionStep",
    "StopRule",
    "StoppedAccount",
]

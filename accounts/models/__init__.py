"""Accounts at venues, their limits, their egress and the last truth known of them."""

from accounts.models.account import AccountState, ExchangeAccount, RiskEnvelope, StopLossConfig
from accounts.models.egress import ProxyProfile, ProxySession
from accounts.models.observed import AccountSyncJob, EquitySample, Position

__all__ = [
    "AccountState",
    "AccountSyncJob",
    "EquitySample",
    "ExchangeAccount",
    "Position",
    "ProxyProfile",
    "ProxySession",
    "RiskEnvelope",
    "StopLossConfig",
]

"""Writes of accounts."""

from accounts.services.observing import (
    balance_observe,
    positions_observe,
    stream_heard,
    stream_observe,
)
from accounts.services.syncing import account_sync

__all__ = [
    "account_sync",
    "balance_observe",
    "positions_observe",
    "stream_heard",
    "stream_observe",
]

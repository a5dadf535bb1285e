"""Writes of accounts."""

from accounts.services.arming import reconciled, recovery_begin
from accounts.services.funding import funding_record
from accounts.services.observing import (
    balance_observe,
    positions_observe,
    stream_disbelieve,
    stream_heard,
    stream_observe,
    stream_tell,
)
from accounts.services.syncing import account_sync

__all__ = [
    "account_sync",
    "balance_observe",
    "funding_record",
    "positions_observe",
    "reconciled",
    "recovery_begin",
    "stream_disbelieve",
    "stream_heard",
    "stream_observe",
    "stream_tell",
]

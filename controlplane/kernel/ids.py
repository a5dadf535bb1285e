"""Identifiers: time-ordered UUIDs and the ids derived from them."""

import os
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from controlplane.kernel.clock import AGREED_CLOCK

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CLIENT_ORDER_ID_LENGTH: Final = 26
_MILLISECOND: Final = 1_000_000
"""In nanoseconds."""


def uuid7() -> UUID:
    """Return a new UUIDv7 (RFC 9562): Unix milliseconds and their fraction, then random bits.

    The fraction (12 bits, its method 3) keeps those made in one millisecond in their order.
    """
    milliseconds, rest = divmod(AGREED_CLOCK.now_ns(), _MILLISECOND)
    fraction = (rest << 12) // _MILLISECOND
    return _assemble(milliseconds, fraction << 62 | int.from_bytes(os.urandom(8)) >> 2)


def uuid7_floor(moment: datetime) -> UUID:
    """Return the smallest UUIDv7 that can carry `moment`; bounds a range of ids by time."""
    return _assemble(int(moment.timestamp() * 1000), 0)


def uuid7_time(value: UUID) -> datetime:
    """Return the moment (UTC, to the millisecond) a UUIDv7 carries."""
    return datetime.fromtimestamp((value.int >> 80) / 1000, tz=UTC)


def client_order_id(intent_id: UUID) -> str:
    """Return the order id a venue gets for an intent: 26 characters [0-9A-Z], one to one.

    Crockford base32 of the 128 bits; fits every venue's pattern (Binance allows 36 characters).
    """
    number = intent_id.int
    digits = []
    for _ in range(CLIENT_ORDER_ID_LENGTH):
        number, index = divmod(number, 32)
        digits.append(_CROCKFORD[index])
    return "".join(reversed(digits))


def intent_id_of(client_id: str) -> UUID | None:
    """Return the intent behind a client order id, or None when it is not one of ours."""
    if len(client_id) != CLIENT_ORDER_ID_LENGTH or any(c not in _CROCKFORD for c in client_id):
        return None
    number = 0
    for character in client_id:
        number = number * 32 + _CROCKFORD.index(character)
    return UUID(int=number) if number < 1 << 128 else None


def _assemble(milliseconds: int, random_bits: int) -> UUID:
    upper = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (random_bits >> 62 & 0xFFF) << 64
    return UUID(int=upper | 0b10 << 62 | random_bits & ((1 << 62) - 1))

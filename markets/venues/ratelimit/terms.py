"""What a request costs, what a venue allows, and what its answers tell of use."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SECOND_NS: Final = 1_000_000_000


class Kind(StrEnum):
    """What a request is for. URGENT ones lower risk: cancels and reduce-only orders. RECOVERY
    ones are reads that find out what became of orders and trades while nobody watched.
    """

    READ = "read"
    RECOVERY = "recovery"
    ORDER = "order"
    URGENT = "urgent"


class Scope(StrEnum):
    """What a venue counts together: weights of all behind one address, weights of one account
    wherever it is, or one account's orders.
    """

    EXIT = "exit"
    ACCOUNT = "account"
    ORDERS = "orders"


SHARES: Final[Mapping[Kind, int]] = {
    Kind.READ: 60,
    Kind.ORDER: 70,
    Kind.RECOVERY: 80,
    Kind.URGENT: 100,
}
"""Percent of a limit that requests of a kind may fill; what is above is kept for the next: orders
that open leave room to find out what became of them."""
BLIND_SHARE: Final = 20
"""Percent of a limit that all processes together may have sent without an answer yet: what the
reads and orders leave, so that even then the limit itself is not reached."""
PATIENCE_NS: Final[Mapping[Kind, int]] = {
    Kind.READ: 8 * SECOND_NS,
    Kind.RECOVERY: 8 * SECOND_NS,
    Kind.ORDER: SECOND_NS // 2,
    Kind.URGENT: 2 * SECOND_NS,
}
"""How long a request of a kind waits for room. An order's price ages, so it fails rather soon."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` within any `seconds`."""

    scope: Scope
    amount: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request takes: a weight, and how many orders it counts as."""

    kind: Kind
    weight: int
    orders: int = 0

    def of(self, scope: Scope) -> int:
        return self.orders if scope is Scope.ORDERS else self.weight


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer tells of one limit: used by everybody it counts, for `seconds_left` more.

    `limit` is the venue's own figure of it, where it is told.
    """

    scope: Scope
    seconds: int
    used: int
    seconds_left: int
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How a venue limits. `is_told` says that its answers tell of the use."""

    limits: tuple[Limit, ...]
    is_told: bool = True


@dataclass(frozen=True, slots=True)
class Use:
    """How full one limit is, as far as a process knows; `reserved` is kept for urgent requests."""

    key: str
    scope: Scope
    seconds: int
    used: int
    limit: int
    reserved: int
    ban_seconds: int

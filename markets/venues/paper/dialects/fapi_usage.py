"""How much of its limits a /fapi client has used: weights by address, orders by account."""

from collections import defaultdict
from typing import Final

WEIGHT_PER_MINUTE: Final = 2_400


class Usage:
    """Weights and orders used per window, and the headers that tell of them."""

    def __init__(self) -> None:
        self._minute = 0
        self._weight = 0
        self._orders: dict[tuple[str, int, int], int] = defaultdict(int)

    def add_weight(self, weight: int, now_ms: int) -> int:
        minute = now_ms // 60_000
        if minute != self._minute:
            self._minute, self._weight = minute, 0
            self._orders = defaultdict(
                int, {key: n for key, n in self._orders.items() if key[2] == now_ms // key[1]}
            )
        self._weight += weight
        return self._weight

    def add_order(self, account: str, now_ms: int) -> dict[str, str]:
        """Count an order of an account and return its two count headers."""
        counts = {}
        for name, span in (("10S", 10_000), ("1M", 60_000)):
            key = (account, span, now_ms // span)
            self._orders[key] += 1
            counts[f"X-MBX-ORDER-COUNT-{name}"] = str(self._orders[key])
        return counts

    @property
    def weight(self) -> int:
        return self._weight

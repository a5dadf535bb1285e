"""How much of its limits a /fapi client has used: weights by address, orders by account."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

WEIGHT_PER_MINUTE: Final = 2_400
ORDERS: Final = {10_000: 300, 60_000: 1_200}
"""Orders of an account by span, ms."""
PATIENCE: Final = 10
"""How many requests above the limit are refused before their address is banned."""
BAN_MS: Final = 120_000
"""The shortest ban (vendor: "IP Limits", 2 minutes to 3 days)."""
_NAMES: Final = {10_000: "10S", 60_000: "1M"}


@dataclass(slots=True)
class _Client:
    """One address: what it has used this minute, and its ban."""

    weight: int = 0
    refused: int = 0
    banned_until_ms: int = 0


class Usage:
    """Weights used per address, orders per account and window; the headers that tell of them."""

    def __init__(self) -> None:
        self._minute = 0
        self._clients: dict[str, _Client] = defaultdict(_Client)
        self._orders: dict[tuple[str, int, int], int] = defaultdict(int)

    def add_weight(self, address: str, weight: int, now_ms: int) -> int:
        """Count a request of an address and return what that has used within the minute."""
        minute = now_ms // 60_000
        if minute != self._minute:
            self._minute = minute
            for client in self._clients.values():
                client.weight = client.refused = 0
            self._orders = defaultdict(
                int, {key: n for key, n in self._orders.items() if key[2] == now_ms // key[1]}
            )
        self._clients[address].weight += weight
        return self._clients[address].weight

    def add_order(self, account: str, now_ms: int) -> dict[str, str]:
        """Count an order of an account and return its two count headers."""
        counts = {}
        for span, name in _NAMES.items():
            key = (account, span, now_ms // span)
            self._orders[key] += 1
            counts[f"X-MBX-ORDER-COUNT-{name}"] = str(self._orders[key])
        return counts

    def has_too_many_orders(self, account: str, now_ms: int) -> bool:
        return any(
            self._orders[account, span, now_ms // span] >= most for span, most in ORDERS.items()
        )

    def banned_until_ms(self, address: str, now_ms: int) -> int:
        """Return the end of the ban of a client that goes on above the limit; 0 while there is
        none. Each request within a ban is refused with it.
        """
        client = self._clients[address]
        if client.weight > WEIGHT_PER_MINUTE and now_ms >= client.banned_until_ms:
            client.refused += 1
            if client.refused > PATIENCE:
                client.banned_until_ms = now_ms + BAN_MS
        return client.banned_until_ms if now_ms < client.banned_until_ms else 0

    def weight(self, address: str) -> int:
        return self._clients[address].weight

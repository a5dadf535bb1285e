"""Who calls, and how often: API keys, HMAC signatures, receive windows and weight counters."""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from markets.venues.paper.dialects.binance_errors import BinanceError, mandatory
from markets.venues.paper.venue import Request, Venue

DEFAULT_RECV_WINDOW_MS: Final = 5_000
MAX_RECV_WINDOW_MS: Final = 60_000
MAX_AHEAD_MS: Final = 1_000
WEIGHT_PER_MINUTE: Final = 2_400
ORDERS_PER_10_SECONDS: Final = 300
ORDERS_PER_MINUTE: Final = 1_200
_SIGNATURE: Final = b"signature="


def parameters(request: Request) -> dict[str, str]:
    """Return query and body parameters; one sent in both counts as the body has it."""
    pairs = parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
    pairs += parse_qsl(request.body.decode("latin-1"), keep_blank_values=True)
    return dict(pairs)


def account_of_key(venue: Venue, headers: Mapping[str, str]) -> tuple[str, str]:
    """Return (label, secret) of the API key sent; raises -2014 or -2015."""
    key = headers.get("X-MBX-APIKEY", "")
    if not key:
        raise BinanceError(-2014, "API-key format invalid.", status=401)
    found = venue.credentials.get(key)
    if found is None:
        raise BinanceError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
    return found


def check_signature(request: Request, params: Mapping[str, str], secret: str) -> None:
    """Check the HMAC-SHA256 of the exact bytes sent, the signature itself left out."""
    given = params.get("signature")
    if not given:
        raise mandatory("signature")
    signed = _without_signature(request.query) + _without_signature(request.body)
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise BinanceError(-1022, "Signature for this request is not valid.")


def check_time(params: Mapping[str, str], now_ms: int) -> None:
    """Accept when timestamp < now + 1000 and now - timestamp <= recvWindow."""
    timestamp = params.get("timestamp", "")
    if not timestamp.isascii() or not timestamp.isdigit():
        raise mandatory("timestamp")
    window = params.get("recvWindow", str(DEFAULT_RECV_WINDOW_MS))
    if not window.isascii() or not window.isdigit() or int(window) > MAX_RECV_WINDOW_MS:
        raise BinanceError(-1131, "recvWindow must be less than 60000")
    sent = int(timestamp)
    if sent >= now_ms + MAX_AHEAD_MS:
        raise BinanceError(
            -1021, "Timestamp for this request was 1000ms ahead of the server's time."
        )
    if now_ms - sent > int(window):
        raise BinanceError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _without_signature(part: bytes) -> bytes:
    """Drop the last parameter when it is the signature."""
    at = part.rfind(_SIGNATURE)
    if at < 0 or (at > 0 and part[at - 1 : at] != b"&"):
        return part
    return part[: max(0, at - 1)]


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

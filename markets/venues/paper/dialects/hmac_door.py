"""Binance's door: API keys, HMAC-SHA256 over the exact bytes sent, receive windows."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from markets.venues.paper.dialects.fapi_errors import FapiError, mandatory
from markets.venues.paper.dialects.fapi_rest import Security, signed_part
from markets.venues.paper.venue import Request, Venue

DEFAULT_RECV_WINDOW_MS: Final = 5_000
MAX_RECV_WINDOW_MS: Final = 60_000
MAX_AHEAD_MS: Final = 1_000


class HmacDoor:
    """Lets in who sends a known key, and for signed routes a true and timely signature."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def enter(
        self, request: Request, params: Mapping[str, str], security: Security, now_ns: int
    ) -> str:
        label, secret = account_of_key(self._venue, request.headers)
        if security is Security.SIGNED:
            check_signature(request, params, secret)
            check_time(params, now_ns // 1_000_000)
        return label

    def claimed(self, request: Request, params: Mapping[str, str]) -> str | None:
        found = self._venue.credentials.get(request.headers.get("X-MBX-APIKEY", ""))
        return found[0] if found else None


def account_of_key(venue: Venue, headers: Mapping[str, str]) -> tuple[str, str]:
    """Return (label, secret) of the API key sent; raises -2014 or -2015."""
    key = headers.get("X-MBX-APIKEY", "")
    if not key:
        raise FapiError(-2014, "API-key format invalid.", status=401)
    found = venue.credentials.get(key)
    if found is None:
        raise FapiError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
    return found


def check_signature(request: Request, params: Mapping[str, str], secret: str) -> None:
    """Check the HMAC-SHA256 of the exact bytes sent, the signature itself left out."""
    given = params.get("signature")
    if not given:
        raise mandatory("signature")
    signed = signed_part(request.query) + signed_part(request.body)
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise FapiError(-1022, "Signature for this request is not valid.")


def check_time(params: Mapping[str, str], now_ms: int) -> None:
    """Accept when timestamp < now + 1000 and now - timestamp <= recvWindow."""
    timestamp = params.get("timestamp", "")
    if not timestamp.isascii() or not timestamp.isdigit():
        raise mandatory("timestamp")
    window = params.get("recvWindow", str(DEFAULT_RECV_WINDOW_MS))
    if not window.isascii() or not window.isdigit() or int(window) > MAX_RECV_WINDOW_MS:
        raise FapiError(-1131, "recvWindow must be less than 60000")
    sent = int(timestamp)
    if sent >= now_ms + MAX_AHEAD_MS:
        raise FapiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - sent > int(window):
        raise FapiError(-1021, "Timestamp for this request is outside of the recvWindow.")

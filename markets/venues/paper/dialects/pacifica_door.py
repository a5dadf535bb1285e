"""Pacifica's door: Ed25519 over compact sorted JSON, and an expiry that each request names.

The paper venue knows no private key: an account's `api_key` is its address and its `api_secret`
the address of the agent that may sign for it. Signatures are checked by OpenSSL, which no adapter
signs with.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from markets.venues import base58
from markets.venues.paper.dialects.pacifica_errors import PacificaError, malformed
from markets.venues.paper.venue import Venue

DEFAULT_WINDOW_MS: Final = 30_000
MAX_AHEAD_MS: Final = 5_000
# What belongs to the signed payload; anything else in a body is not read, and so not signed.
_PAYLOAD: Final = frozenset(
    {
        "symbol",
        "side",
        "price",
        "amount",
        "tif",
        "reduce_only",
        "slippage_percent",
        "client_order_id",
        "order_id",
        "all_symbols",
        "exclude_reduce_only",
        "leverage",
        "is_isolated",
        "builder_code",
        "max_fee_rate",
    }
)


def enter(venue: Venue, kind: str, body: Mapping[str, Any], now_ms: int) -> str:
    """Return the label of the account that is proven to ask for `kind`; raises PacificaError."""
    account = _text(body, "account")
    found = venue.credentials.get(account)
    if found is None:
        raise PacificaError(1, "Account not found", status=404)
    label, agent = found
    signer = body.get("agent_wallet") or account
    if signer not in (account, agent):
        raise malformed("Agent not authorized for account")
    if not is_signed_by(str(signer), signed_message(kind, body), _text(body, "signature")):
        raise PacificaError(
            400,
            "Verification failed: signature does not match signer and canonical payload.",
            status=400,
            error_id="signature_verification_failed",
        )
    sent, window = _whole(body, "timestamp"), _whole(body, "expiry_window", DEFAULT_WINDOW_MS)
    if not now_ms - window <= sent <= now_ms + MAX_AHEAD_MS:
        raise malformed("Invalid message: expired")
    return label


def signed_message(kind: str, body: Mapping[str, Any]) -> bytes:
    """Return what must have been signed: the payload set apart again, keys sorted, no spaces."""
    parts = {
        "type": kind,
        "timestamp": body.get("timestamp"),
        "expiry_window": body.get("expiry_window", DEFAULT_WINDOW_MS),
        "data": {name: value for name, value in body.items() if name in _PAYLOAD},
    }
    return json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def is_signed_by(address: str, message: bytes, signature: str) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(base58.decode(address))
        key.verify(base58.decode(signature), message)
    except (ValueError, InvalidSignature):
        return False
    return True


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise malformed(f"Invalid request: {name}")
    return value


def _whole(body: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise malformed(f"Invalid request: {name}")
    return value

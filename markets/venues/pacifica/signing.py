"""Pacifica's signatures: Ed25519 over compact JSON with sorted keys, in base58.

The message and the flat body: the vendor's "Signing" pages; a vector is in the tests' payloads.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from nacl.signing import SigningKey

from controlplane.kernel.secrets import Secret
from markets.venues import base58
from markets.venues.errors import MissingCredential

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_SEED: Final = 32
_ADDRESS: Final = 32


class Signer:
    """One key, the account's own or an agent's. `address` is its public key in base58."""

    def __init__(self, key: Secret) -> None:
        try:
            raw = base58.decode(key.reveal())
        except ValueError:
            raw = b""
        if len(raw) != 2 * _SEED:
            raise _malformed("agent_key", "the secret key: 64 bytes in base58")
        self._key = SigningKey(raw[:_SEED])
        if bytes(self._key.verify_key) != raw[_SEED:]:
            raise _malformed("agent_key", "a seed followed by its own public key")
        self.address = base58.encode(raw[_SEED:])

    def sign(self, kind: str, payload: Mapping[str, Any], *, at_ms: int, window_ms: int) -> str:
        """Return the signature of an operation in base58."""
        return base58.encode(self._key.sign(message(kind, payload, at_ms, window_ms)).signature)


def message(kind: str, payload: Mapping[str, Any], at_ms: int, window_ms: int) -> bytes:
    """Return what is signed for an operation."""
    return _ENCODER.encode(
        {"type": kind, "timestamp": at_ms, "expiry_window": window_ms, "data": payload}
    )


def checked_address(text: str) -> str:
    """Return an account's address as given; raises MissingCredential when it is none."""
    try:
        raw = base58.decode(text)
    except ValueError:
        raw = b""
    if len(raw) != _ADDRESS:
        raise _malformed("public_key", "the account's address: 32 bytes in base58")
    return text


def _malformed(field: str, wanted: str) -> MissingCredential:
    return MissingCredential(f"Pacifica's {field} is {wanted}.", details={"field": field})

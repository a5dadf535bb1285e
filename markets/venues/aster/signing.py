"""Aster's signatures: EIP-712 typed data over the exact string sent, by native code.

Domain and type: the vendor's "Example of POST /fapi/v3/order" (AsterSignTransaction, Message).
ccxt does the same in pure Python, at some 10 ms of CPU for each order.
"""

import re
from typing import Final

from coincurve import PrivateKey
from Crypto.Hash import keccak

from controlplane.kernel.secrets import Secret
from markets.venues.errors import MissingCredential

_KEY: Final = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_RECOVERY_OFFSET: Final = 27


def keccak256(data: bytes) -> bytes:
    """Return Ethereum's hash (Keccak's own padding, not SHA-3's)."""
    return keccak.Keccak_Hash(data, 32, update_after_digest=False).digest()


_DOMAIN_TYPE: Final = keccak256(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_MESSAGE_TYPE: Final = keccak256(b"Message(string msg)")
_NAME: Final = keccak256(b"AsterSignTransaction")
_VERSION: Final = keccak256(b"1")
_NO_CONTRACT: Final = bytes(32)


class Signer:
    """One agent's key. `address` is what the venue knows it by, lower case."""

    def __init__(self, key: Secret, *, chain_id: int) -> None:
        text = key.reveal()
        if not _KEY.fullmatch(text):
            raise MissingCredential(
                "Aster's agent key is 32 bytes in hexadecimal.", details={"field": "agent_key"}
            )
        try:
            self._key = PrivateKey(bytes.fromhex(text.removeprefix("0x")))
        except ValueError:
            raise MissingCredential(
                "Aster's agent key is no secp256k1 key.", details={"field": "agent_key"}
            ) from None
        point = self._key.public_key.format(compressed=False)[1:]
        self.address = "0x" + keccak256(point)[-20:].hex()
        domain = keccak256(_DOMAIN_TYPE + _NAME + _VERSION + chain_id.to_bytes(32) + _NO_CONTRACT)
        self._prefix = b"\x19\x01" + domain

    def sign(self, message: str) -> str:
        """Return the signature of a parameter string: 0x, then r, s and v in hexadecimal."""
        struct = keccak256(_MESSAGE_TYPE + keccak256(message.encode()))
        raw = self._key.sign_recoverable(keccak256(self._prefix + struct), hasher=None)
        return f"0x{raw[:64].hex()}{raw[64] + _RECOVERY_OFFSET:02x}"


def checked_address(text: str) -> str:
    """Return a wallet address as it was given; raises MissingCredential when it is none."""
    if not _ADDRESS.fullmatch(text):
        raise MissingCredential(
            "Aster's public key is the login wallet's address, 0x and 40 hexadecimal digits.",
            details={"field": "public_key"},
        )
    return text

"""Aster's door: EIP-712 signatures by an agent's key, and nonces that are each used once.

The paper venue knows no private key: an account's `api_key` is its login wallet's address and its
`api_secret` the address of the agent that may sign for it. Signatures are checked by OpenSSL,
which no adapter signs with; the key they are checked by is found without coincurve, which does.
"""

import re
from collections.abc import Mapping
from typing import Final

from Crypto.Hash import keccak
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from markets.venues.paper.dialects.fapi_errors import FapiError, mandatory
from markets.venues.paper.dialects.fapi_rest import Security, signed_part
from markets.venues.paper.dialects.secp256k1 import recovered
from markets.venues.paper.venue import Request, Venue

CHAIN_ID: Final = 1666
MAX_AWAY_US: Final = 10_000_000
NONCES_KEPT: Final = 100
_SIGNATURE: Final = re.compile(r"0x([0-9a-f]{64})([0-9a-f]{64})(1b|1c)", re.IGNORECASE)
# OpenSSL signs and checks any 32-byte digest; only its length matters here.
_ANY_DIGEST: Final = ec.ECDSA(Prehashed(SHA256()))
# Public keys by address, each proven by its hash: recovering one takes milliseconds.
_KEYS: Final[dict[str, ec.EllipticCurvePublicKey]] = {}


class WalletDoor:
    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._nonces: dict[str, list[int]] = {}

    def enter(
        self, request: Request, params: Mapping[str, str], security: Security, now_ns: int
    ) -> str:
        label, agent = self._account(params)
        owner, nonce = _given(params, "user").lower(), _nonce(params)
        if security is Security.CONSENT:
            signer, digest = owner, consent_digest(params, nonce)
        else:
            signer = _given(params, "signer").lower()
            digest = typed_digest(signed_part(request.query) or signed_part(request.body))
        if signer not in (agent, owner):
            raise _no_permission()
        if not has_signed(signer, digest, _given(params, "signature")):
            raise FapiError(-1022, "Signature for this request is not valid.")
        self._use_nonce(label, nonce, now_ns // 1_000)
        return label

    def claimed(self, request: Request, params: Mapping[str, str]) -> str | None:
        user = params.get("user", "").lower()
        return next((item[0] for item in self._accounts() if item[1] == user), None)

    def _account(self, params: Mapping[str, str]) -> tuple[str, str]:
        """Return (label, agent's address) of the login wallet named."""
        user = _given(params, "user").lower()
        for label, wallet, agent in self._accounts():
            if wallet == user:
                return label, agent
        raise _no_permission()

    def _accounts(self) -> list[tuple[str, str, str]]:
        return [
            (label, wallet.lower(), agent.lower())
            for wallet, (label, agent) in self._venue.credentials.items()
        ]

    def _use_nonce(self, label: str, nonce: int, now_us: int) -> None:
        """Refuse a nonce far from our clock, used before, or older than all that are kept.

        The vendor's rules ("V3 Nonce Mechanism"); it names no code for them, so the one of
        timestamps stands in.
        """
        kept = self._nonces.setdefault(label, [])
        if abs(nonce - now_us) > MAX_AWAY_US:
            raise FapiError(-1021, "Nonce is more than 10 s away from the server's time.")
        if nonce in kept:
            raise FapiError(-1021, "Duplicate nonce.")
        if len(kept) == NONCES_KEPT:
            if nonce < min(kept):
                raise FapiError(-1021, "Nonce has expired.")
            kept.remove(min(kept))
        kept.append(nonce)


def is_signed_by(address: str, message: bytes, signature: str) -> bool:
    """Tell whether `address` signed `message` as an AsterSignTransaction."""
    return has_signed(address, typed_digest(message), signature)


def has_signed(address: str, digest: bytes, signature: str) -> bool:
    """Tell whether a signature over a 32-byte digest is of the key behind `address`."""
    found = _SIGNATURE.fullmatch(signature)
    if found is None:
        return False
    r, s, parity = int(found[1], 16), int(found[2], 16), int(found[3], 16) - 27
    try:
        key = _key_of(address, digest, r, s, parity)
        key.verify(encode_dss_signature(r, s), digest, _ANY_DIGEST)
    except (ValueError, InvalidSignature):
        return False
    return _address(key) == address


def _key_of(address: str, digest: bytes, r: int, s: int, parity: int) -> ec.EllipticCurvePublicKey:
    """Return the public key behind an address: the one seen before, or what the signature says.

    Whether it signed is for OpenSSL to say, and whose it is for its hash.
    """
    known = _KEYS.get(address)
    if known is not None:
        return known
    x, y = recovered(int.from_bytes(digest), r, s, parity)
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256K1()).public_key()
    if _address(key) == address:
        _KEYS[address] = key
    return key


def _address(key: ec.EllipticCurvePublicKey) -> str:
    numbers = key.public_numbers()
    return "0x" + _hash(numbers.x.to_bytes(32) + numbers.y.to_bytes(32))[-20:].hex()


def typed_digest(message: bytes) -> bytes:
    """Return what is signed for a message: EIP-712's hash of the domain and of Message{msg}."""
    return _hash(b"\x19\x01" + _DOMAIN + _hash(_hash(b"Message(string msg)") + _hash(message)))


def consent_digest(params: Mapping[str, str], nonce: int) -> bytes:
    """Return what an owner's wallet signs to approve a builder: EIP-712 over the fields themselves.

    Source: the vendor's "Aster Code" pages; the same domain as all else.
    """
    names = ("builder", "maxFeeRate", "builderName", "asterChain", "user")
    fields = b"".join(_hash(_given(params, name).encode()) for name in names)
    return _hash(b"\x19\x01" + _DOMAIN + _hash(_APPROVE_BUILDER + fields + nonce.to_bytes(32)))


def _hash(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


_DOMAIN: Final = _hash(
    b"".join(
        (
            _hash(
                b"EIP712Domain(string name,string version,"
                b"uint256 chainId,address verifyingContract)"
            ),
            _hash(b"AsterSignTransaction"),
            _hash(b"1"),
            CHAIN_ID.to_bytes(32),
            bytes(32),
        )
    )
)


_APPROVE_BUILDER: Final = _hash(
    b"ApproveBuilder(string Builder,string MaxFeeRate,string BuilderName,"
    b"string AsterChain,string User,uint256 Nonce)"
)


def _nonce(params: Mapping[str, str]) -> int:
    text = _given(params, "nonce")
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise mandatory("nonce")
    return int(text)


def _given(params: Mapping[str, str], name: str) -> str:
    value = params.get(name, "")
    if not value:
        raise mandatory(name)
    return value


def _no_permission() -> FapiError:
    return FapiError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)

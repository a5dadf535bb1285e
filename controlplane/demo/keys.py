"""Throw-away keys of the demo's accounts, in each dialect's own form."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from nacl.signing import SigningKey

from controlplane.kernel.secrets import Secret
from markets.venues import base58
from markets.venues.aster.facts import MAIN_CHAIN
from markets.venues.aster.signing import Signer as AsterSigner


@dataclass(frozen=True, slots=True)
class DemoKeys:
    """An account's keys on both sides.

    `account` are the credentials by their field's name, for the console. `name` and `proof` are
    what the paper venue knows it by; wallets' private keys it never gets.
    """

    account: Mapping[str, str]
    name: str
    proof: str


def new_keys(dialect: str) -> DemoKeys:
    """Make the keys of one account."""
    if dialect == "aster":
        return _wallet()
    if dialect == "pacifica":
        return _pacifica()
    key, secret = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    return DemoKeys({"api_key": key, "api_secret": secret}, key, secret)


def _wallet() -> DemoKeys:
    wallet, agent = "0x" + secrets.token_hex(20), "0x" + secrets.token_hex(32)
    address = AsterSigner(Secret(agent), chain_id=MAIN_CHAIN).address
    return DemoKeys({"public_key": wallet, "agent_key": agent}, wallet, address)


def _pacifica() -> DemoKeys:
    account = base58.encode(bytes(SigningKey.generate().verify_key))
    agent = SigningKey.generate()
    address = bytes(agent.verify_key)
    secret = base58.encode(bytes(agent) + address)
    return DemoKeys({"public_key": account, "agent_key": secret}, account, base58.encode(address))

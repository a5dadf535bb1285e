"""Aster's signatures: the same bytes as ccxt's, a hundredth of its CPU, and no nonce twice."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl

import ccxt
import pytest
from Crypto.Hash import keccak

from controlplane.kernel.secrets import Secret
from markets.venues.aster.api import AsterApi, identity
from markets.venues.aster.facts import MAIN_CHAIN, chain_id
from markets.venues.aster.nonces import NonceSource, nonce_source
from markets.venues.aster.signing import Signer
from markets.venues.errors import MissingCredential, NotSent
from markets.venues.paper.dialects.wallet_door import is_signed_by
from markets.venues.shared import ServerClock
from markets.venues.types import Credentials, Endpoint

AGENT = "0x4fd0a42218f3eae43a6ce26d22544e986139a01e5b34a62db53757ffca81bae1"
AGENT_ADDRESS = "0x21cF8Ae13Bb72632562c6Fff438652Ba1a151bb0"
"""The vendor's own demonstration key ("Example of POST /fapi/v3/order")."""
WALLET = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"
ENDPOINT = Endpoint("http://127.0.0.1:1", "ws://127.0.0.1:1")
ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "quantity": "0.01",
    "price": "60500",
    "timeInForce": "GTX",
    "newClientOrderId": "06G3Q1N8Y4ZV5T7R9K2M0C1XWA",
    "newOrderRespType": "RESULT",
}


def known_clock() -> ServerClock:
    clock, now = ServerClock(), time.monotonic_ns()
    clock.learn(time.time_ns() // 1_000_000, sent_ns=now, received_ns=now)
    return clock


def theirs() -> Any:
    made = ccxt.aster({"privateKey": AGENT})
    made.options["cachedWalletAddress"] = WALLET
    made.options["privateKeyHashForCachedWalletAddress"] = made.hash(
        made.encode(AGENT), "keccak", "hex"
    )
    made.options["signerAddress"] = AGENT_ADDRESS
    return made


def ours() -> AsterApi:
    keys = Credentials(public_key=Secret(WALLET), agent_key=Secret(AGENT))
    api = AsterApi(ENDPOINT, None, 1, identity(ENDPOINT, keys))
    api.clock = known_clock()
    return api


def test_the_agents_address_follows_from_its_key() -> None:
    assert Signer(Secret(AGENT), chain_id=1666).address == AGENT_ADDRESS.lower()
    assert Signer(Secret(AGENT[2:]), chain_id=1666).address == AGENT_ADDRESS.lower()


def test_keccak_is_ethereums_and_not_sha3() -> None:
    digest = keccak.new(digest_bits=256, data=b"").hexdigest()
    assert digest == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@pytest.mark.parametrize("chain", [1666, 714])
def test_signatures_are_byte_for_byte_what_ccxt_makes(chain: int) -> None:
    exchange = theirs()
    exchange.options["v3ChainId"] = chain
    signer = Signer(Secret(AGENT), chain_id=chain)
    for number in range(3):
        signed = exchange.sign(
            "fapi/v3/order", ["fapiPrivate"], "POST", {**ORDER, "quantity": f"0.0{number + 1}"}
        )
        message, _, signature = signed["body"].rpartition("&signature=")
        assert signer.sign(message) == signature.lower()  # ccxt writes the last byte large


def test_another_library_believes_our_signature_and_no_other_text_or_signer() -> None:
    message, _, signature = ours().signed(ORDER).rpartition("&signature=")
    signer = AGENT_ADDRESS.lower()
    assert is_signed_by(signer, message.encode(), signature)
    assert not is_signed_by(signer, message.encode() + b"0", signature)
    assert not is_signed_by(WALLET.lower(), message.encode(), signature)
    assert not is_signed_by(signer, message.encode(), "0x" + "00" * 64 + "1b")
    assert not is_signed_by(signer, message.encode(), signature[:-1])


def test_what_is_signed_is_ours_and_carries_no_builder() -> None:
    sent = dict(parse_qsl(ours().signed(ORDER)))
    assert {name: sent[name] for name in ORDER} == ORDER
    assert set(sent) - set(ORDER) == {"nonce", "user", "signer", "signature"}
    assert (sent["user"], sent["signer"]) == (WALLET, AGENT_ADDRESS.lower())


def test_signing_takes_a_tenth_of_ccxts_cpu_at_most() -> None:
    api, exchange = ours(), theirs()
    exchange.sign("fapi/v3/order", ["fapiPrivate"], "POST", ORDER)

    def cost(work: Any, rounds: int) -> float:
        started = time.process_time()
        for _ in range(rounds):
            work()
        return (time.process_time() - started) / rounds

    own = cost(lambda: api.signed(ORDER), 300)
    their = cost(lambda: exchange.sign("fapi/v3/order", ["fapiPrivate"], "POST", dict(ORDER)), 10)
    assert own <= their / 10, f"{own * 1e6:.0f} µs against {their * 1e6:.0f} µs"


def test_test_hosts_sign_for_the_test_chain() -> None:
    assert chain_id("https://fapi.asterdex-testnet.com") == 714
    assert chain_id("https://fapi.asterdex.com") == MAIN_CHAIN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("public_key", ""),
        ("public_key", WALLET[:-1]),
        ("public_key", AGENT),
        ("agent_key", ""),
        ("agent_key", AGENT[:-2]),
        ("agent_key", "0x" + "g" * 64),
        ("agent_key", "0x" + "00" * 32),
    ],
)
def test_what_is_no_address_or_key_is_said_without_showing_it(field: str, value: str) -> None:
    keys = {"public_key": Secret(WALLET), "agent_key": Secret(AGENT), field: Secret(value)}
    with pytest.raises(MissingCredential) as refused:
        identity(ENDPOINT, Credentials(**keys))
    assert refused.value.details == {"field": field}
    assert not value or value not in refused.value.message


def test_nonces_of_one_user_are_one_growing_row() -> None:
    source, clock = NonceSource(), known_clock()
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: source.take(clock), range(2000)))
    assert len(set(taken)) == 2000
    assert {number % 1000 for number in taken} == {os.getpid() % 1000}
    assert max(taken) - time.time_ns() // 1000 < 10_000_000
    later = source.take(clock)
    assert later > max(taken)


def test_processes_differ_though_they_sign_in_the_same_millisecond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, taken = known_clock(), []
    monkeypatch.setattr(ServerClock, "now_ms", lambda self: 1_795_000_000_000)
    for process in (4001, 4002):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        taken += [NonceSource().take(clock)]
    assert taken == [1_795_000_000_000_001, 1_795_000_000_000_002]


def test_two_addresses_of_one_venue_differ_in_the_same_millisecond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = known_clock()
    monkeypatch.setattr(ServerClock, "now_ms", lambda self: 1_795_000_000_000)
    first, second = (nonce_source(f"https://{host}.test", WALLET) for host in ("one", "two"))
    assert second.take(clock) - first.take(clock) == 1


def test_clients_of_one_user_share_the_source_whatever_the_case() -> None:
    one = ours()
    two = AsterApi(
        ENDPOINT,
        None,
        1,
        identity(
            ENDPOINT,
            Credentials(public_key=Secret(WALLET.lower()), agent_key=Secret(AGENT)),
        ),
    )
    assert one._nonces is two._nonces is nonce_source(ENDPOINT.rest, WALLET.lower())


def test_without_the_venues_clock_nothing_is_signed() -> None:
    api = ours()
    api.clock = ServerClock()
    with pytest.raises(NotSent):
        api.signed(ORDER)

"""Pacifica's signatures and ids: none malformed, checked by another library, one to one."""

import time
from typing import Any
from uuid import UUID

import ccxt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from controlplane.kernel.ids import client_order_id, uuid7
from controlplane.kernel.secrets import Secret
from markets.venues import base58
from markets.venues.errors import MissingCredential, NotSent
from markets.venues.pacifica import ids
from markets.venues.pacifica.api import Operation, PacificaApi, identity
from markets.venues.pacifica.signing import Signer, message
from markets.venues.shared import ServerClock
from markets.venues.types import Credentials, Endpoint
from tests.contracts.kits import KITS
from tests.payloads import payload

VECTOR = payload("pacifica", "signing_vector")
ENDPOINT = Endpoint("http://127.0.0.1:1", "ws://127.0.0.1:1")
ORDER = {
    "symbol": "BTC",
    "side": "bid",
    "reduce_only": True,
    "tif": "ALO",
    "price": "87186",
    "amount": "0.0015",
    "client_order_id": "57a5efb1-bb96-49a5-8bfd-f25d5f22bc7e",
}
AT, WINDOW = 1795337673937, 5000


def secret(seed: bytes) -> Secret:
    key = SigningKey(seed)
    return Secret(base58.encode(bytes(key) + bytes(key.verify_key)))


def test_the_signing_vector() -> None:
    signer = Signer(secret(bytes(range(1, 33))))
    assert signer.address == VECTOR["public_key"]
    assert message("create_order", ORDER, AT, WINDOW).decode() == VECTOR["message"]
    assert signer.sign("create_order", ORDER, at_ms=AT, window_ms=WINDOW) == VECTOR["signature"]


@pytest.mark.parametrize("seed", [bytes(range(1, 33)), b"\0" + bytes(range(1, 32))])
def test_three_thousand_signatures_and_none_malformed(seed: bytes) -> None:
    """About twelve of these begin with a zero byte, which must become a leading 1."""
    signer = Signer(secret(seed))
    key = Ed25519PublicKey.from_public_bytes(base58.decode(signer.address))
    zeros = 0
    for number in range(3_000):
        text = signer.sign("create_order", ORDER, at_ms=AT + number, window_ms=WINDOW)
        raw = base58.decode(text)
        assert len(raw) == 64
        zeros += raw[0] == 0
        key.verify(raw, message("create_order", ORDER, AT + number, WINDOW))
    assert zeros > 0


@given(st.binary(max_size=70))
def test_base58_gives_back_what_it_took(data: bytes) -> None:
    assert base58.decode(base58.encode(data)) == data


def test_base58_against_known_texts() -> None:
    known = {
        b"": "",
        b"\0": "1",
        b"\0\0\x01": "112",
        b"Hello World!": "2NEpo7TZRRrLZSi2U",
        bytes.fromhex("0000287fb4cd"): "11233QC4",
    }
    for raw, text in known.items():
        assert (base58.encode(raw), base58.decode(text)) == (text, raw)
    for junk in ("0", "O", "I", "l", "é", " "):
        with pytest.raises(ValueError, match="base58"):
            base58.decode(junk)


def test_signatures_are_ccxts_where_ccxts_are_right() -> None:
    exchange = ccxt.pacifica({"privateKey": secret(bytes(range(1, 33))).reveal()})
    header = {"type": "create_order", "timestamp": AT, "expiry_window": WINDOW}
    theirs = exchange.sign_message(header, dict(ORDER), exchange.privateKey)
    assert theirs == VECTOR["signature"]


def known_clock() -> ServerClock:
    clock, now = ServerClock(), time.monotonic_ns()
    clock.learn(time.time_ns() // 1_000_000, sent_ns=now, received_ns=now)
    return clock


def api(credentials: Credentials) -> PacificaApi:
    made = PacificaApi(ENDPOINT, None, 1, identity(credentials))
    made.clock = known_clock()
    return made


def test_the_body_is_flat_and_carries_no_builder_code() -> None:
    kit = KITS["pacifica"]()
    body = api(kit.credentials).signed(Operation.CREATE, ORDER)
    assert {name: body[name] for name in ORDER} == ORDER
    around = {"account", "agent_wallet", "signature", "timestamp", "expiry_window"}
    assert set(body) - set(ORDER) == around
    assert body["account"] == kit.known_as[0]
    assert body["agent_wallet"] == kit.known_as[1]
    assert body["expiry_window"] == 5000
    assert "builder" not in msgspec.json.encode(body).decode()


def test_an_account_that_signs_for_itself_names_no_agent() -> None:
    own = secret(bytes(range(1, 33)))
    keys = Credentials(public_key=Secret(VECTOR["public_key"]), agent_key=own)
    assert "agent_wallet" not in api(keys).signed(Operation.CREATE, ORDER)


def test_signing_costs_less_than_ccxts() -> None:
    made = api(KITS["pacifica"]().credentials)
    exchange = ccxt.pacifica({"privateKey": secret(bytes(range(1, 33))).reveal()})
    header = {"type": "create_order", "timestamp": AT, "expiry_window": WINDOW}

    def cost(work: Any) -> float:
        started = time.process_time()
        for _ in range(100):
            work()
        return time.process_time() - started

    own = cost(lambda: made.signed(Operation.CREATE, ORDER))
    theirs = cost(lambda: exchange.sign_message(header, dict(ORDER), exchange.privateKey))
    assert own < theirs


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("public_key", ""),
        ("public_key", "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"),
        ("public_key", base58.encode(bytes(31))),
        ("agent_key", ""),
        ("agent_key", base58.encode(bytes(range(32)))),
        ("agent_key", base58.encode(bytes(range(64)))),
        ("agent_key", "not base58!"),
    ],
)
def test_what_is_no_address_or_key_is_said_without_showing_it(field: str, value: str) -> None:
    good = KITS["pacifica"]().credentials
    keys = {"public_key": good.public_key, "agent_key": good.agent_key, field: Secret(value)}
    with pytest.raises(MissingCredential) as refused:
        identity(Credentials(**keys))
    assert refused.value.details == {"field": field}
    assert not value or value not in refused.value.message


def test_ids_map_one_to_one_both_ways() -> None:
    for _ in range(200):
        intent_id = uuid7()
        ours = client_order_id(intent_id)
        assert ids.to_venue(ours) == str(intent_id)
        assert ids.from_venue(str(intent_id)) == ours
    with pytest.raises(NotSent):
        ids.to_venue("c1")


def test_what_others_call_their_orders_is_kept_apart() -> None:
    assert ids.from_venue(None) == ""
    assert ids.from_venue("ade") == "ade"
    text = "57a5efb1-bb96-49a5-8bfd-f25d5f22bc7e"
    assert ids.to_venue(ids.from_venue(text)) == text
    assert ids.from_venue(text.upper()) == text.upper()
    assert ids.from_venue(UUID(text).hex) == UUID(text).hex

"""What reads each kind of recorded payload: a function a kind, giving the reports it makes."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import pytest

from markets.venues.binance.facts import FEES
from markets.venues.checks import MAX_MS, BadAnswer, decode
from markets.venues.errors import OutcomeUnknown, VenueError
from markets.venues.fapi import parsing as fapi
from markets.venues.fapi import wire as fapi_wire
from markets.venues.fapi.errors import failure as fapi_failure
from markets.venues.fapi.streams import FapiMarketSession
from markets.venues.fapi.user_streams import FapiPrivateSession
from markets.venues.pacifica import parsing as pacifica
from markets.venues.pacifica import wire as pacifica_wire
from markets.venues.pacifica.errors import failure as pacifica_failure
from markets.venues.pacifica.streams import PacificaMarketSession, PacificaPrivateSession
from markets.venues.shared import HttpAnswer
from markets.venues.types import Endpoint, Quarantined

Reader = Callable[[Any], Sequence[Any]]
AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
NOWHERE: Final = Endpoint("http://127.0.0.1:1", "ws://127.0.0.1:1")
HOURLY: Final = b"[]"


def body(sample: Any) -> bytes:
    return json.dumps(sample).encode()


def rows(sample: Any) -> list[Any]:
    return sample if isinstance(sample, list) else [sample]


def symbol_of(sample: Any) -> str:
    return str(rows(sample)[0]["symbol"])


def enveloped(sample: Any) -> Any:
    """Pacifica's answers; a sample without its envelope is one row, or some, of them."""
    if isinstance(sample, dict) and "data" in sample:
        return {"success": True, **sample}
    return {"success": True, "data": rows(sample)}


# The /fapi venues


def orders(sample: Any) -> Sequence[Any]:
    return fapi.orders(body(rows(sample)))


def fills(sample: Any) -> Sequence[Any]:
    return fapi.fills(body(rows(sample)), venue_symbol=symbol_of(sample))


def income(sample: Any) -> Sequence[Any]:
    return fapi.funding_payments(body(rows(sample)))


def positions(sample: Any) -> Sequence[Any]:
    return fapi.positions(body(rows(sample)), at=AT)


def hedged(sample: Any) -> Sequence[Any]:
    """Rows of an account in hedge mode are refused; on the long side alone they would be read."""
    with pytest.raises(BadAnswer, match="hedge-mode"):
        fapi.positions(body(rows(sample)), at=AT)
    return fapi.positions(body([{**row, "positionSide": "BOTH"} for row in rows(sample)]), at=AT)


def terms(sample: Any) -> Sequence[Any]:
    return [fapi.margin_terms(body(rows(sample)), venue_symbol=symbol_of(sample))]


def account(sample: Any) -> Sequence[Any]:
    return [fapi.balance(body(sample), asset="USDT", at=AT)]


def instruments(sample: Any) -> Sequence[Any]:
    found = fapi.instruments(body(sample), fees=FEES)
    if not found:
        raise BadAnswer("missing-symbol", "no perpetual in it")
    return found


def tops(sample: Any) -> Sequence[Any]:
    return fapi.book_tops(body(rows(sample)), wanted=[symbol_of(sample)])


def one_sided(sample: Any) -> Sequence[Any]:
    with pytest.raises(BadAnswer, match="not-positive"):
        tops(sample)
    return ()


def premium(sample: Any) -> Sequence[Any]:
    return fapi.funding_quotes(body(rows(sample)), HOURLY)


def intervals(sample: Any) -> Sequence[Any]:
    decode(body(rows(sample)), list[fapi_wire.FundingInfoRow])
    return ()


def clock(sample: Any) -> Sequence[Any]:
    assert fapi.server_ms(body(sample)) == sample["serverTime"]
    return ()


def done(sample: Any) -> Sequence[Any]:
    fapi.done(body(sample))
    return ()


def leverage_set(sample: Any) -> Sequence[Any]:
    fapi.leverage_set(body(sample), venue_symbol=sample["symbol"], leverage=sample["leverage"])
    return ()


def timer_set(sample: Any) -> Sequence[Any]:
    milliseconds = int(sample["countdownTime"])
    fapi.timer_set(body(sample), venue_symbol=sample["symbol"], milliseconds=milliseconds)
    return ()


def position_mode(sample: Any) -> Sequence[Any]:
    return [fapi.position_mode(body(sample))]


def listen_key(sample: Any) -> Sequence[Any]:
    assert decode(body(sample), fapi_wire.ListenKey).listenKey == sample["listenKey"]
    return ()


def refused(sample: Any) -> Sequence[Any]:
    """An error: never a success, and its number decides."""
    told = sample.get("body", sample)
    error = fapi_failure(HttpAnswer(sample.get("http", 400), {}, body(told)), now_ms=0)
    assert isinstance(error, VenueError)
    return ()


def unreadable_list(sample: Any) -> Sequence[Any]:
    assert isinstance(fapi_failure(HttpAnswer(400, {}, body(sample)), now_ms=0), OutcomeUnknown)
    return ()


def market_frame(sample: Any) -> Sequence[Any]:
    symbol, is_mark = sample["s"], sample["e"] == "markPriceUpdate"
    return _believed(FapiMarketSession("ws://x", [symbol], marks=is_mark).receive(body(sample)))


def private_frame(sample: Any) -> Sequence[Any]:
    return _believed(FapiPrivateSession(asset="USDT").receive(body(sample)))


def order_body(sample: Any) -> Sequence[Any]:
    return private_frame({"e": "ORDER_TRADE_UPDATE", "E": sample["T"], "o": sample})


def position_body(sample: Any) -> Sequence[Any]:
    at = 1_768_551_627_708
    account = {"m": "ORDER", "B": [], "P": [sample]}
    return private_frame({"e": "ACCOUNT_UPDATE", "E": at, "T": at, "a": account})


def hedge_frame(sample: Any) -> Sequence[Any]:
    [event] = FapiPrivateSession(asset="USDT").receive(body(sample))
    assert isinstance(event, Quarantined)
    assert event.reason == "hedge-mode"
    return ()


def passed_over(sample: Any) -> Sequence[Any]:
    """Frames that carry nothing for us: answers to subscriptions and events we did not ask for."""
    market = FapiMarketSession("ws://x", ["BTCUSDT"]).receive(body(sample))
    assert (market, FapiPrivateSession(asset="USDT").receive(body(sample))) == ((), ())
    return ()


def refused_request(sample: Any) -> Sequence[Any]:
    """An error that answers the request of ours with this number; accounts make none."""
    [event] = FapiMarketSession("ws://x", ["BTCUSDT"]).receive(body(sample))
    assert isinstance(event, Quarantined)
    assert event.reason == "refused-subscription"
    assert FapiPrivateSession(asset="USDT").receive(body(sample)) == ()
    return ()


def _believed(events: Sequence[Any]) -> Sequence[Any]:
    for event in events:
        if isinstance(event, Quarantined):
            raise BadAnswer(event.reason, event.detail)
    if not events:
        raise BadAnswer("silent", "it says nothing")
    return events


# Pacifica


def p_markets(sample: Any) -> Sequence[Any]:
    return pacifica.instruments(body(enveloped(sample)))


def p_book(sample: Any) -> Sequence[Any]:
    return [pacifica.book_top(body(sample), symbol=sample["data"]["s"])]


def p_prices(sample: Any) -> Sequence[Any]:
    return pacifica.funding_quotes(body(enveloped(sample)))


def p_balance(sample: Any) -> Sequence[Any]:
    told = sample if "data" in sample else {"success": True, "data": sample}
    return [pacifica.balance(body(told), at=AT)]


def p_positions(sample: Any) -> Sequence[Any]:
    return pacifica.positions(body(enveloped(sample)), at=AT)


def p_terms(sample: Any) -> Sequence[Any]:
    told = enveloped(sample)
    found = pacifica.margin_terms(body(told), venue_symbol=told["data"][0]["symbol"])
    assert found is not None
    return [found]


def p_open_orders(sample: Any) -> Sequence[Any]:
    return pacifica.open_orders(body(enveloped(sample)))


def p_past_orders(sample: Any) -> Sequence[Any]:
    return [pacifica.past_order(row) for row in pacifica.past_orders(body(enveloped(sample))).rows]


def p_fills(sample: Any) -> Sequence[Any]:
    told = enveloped(sample)
    return pacifica.fills(body(told), venue_symbol=told["data"][0]["symbol"]).rows


def p_payments(sample: Any) -> Sequence[Any]:
    return pacifica.payments(body(enveloped(sample))).rows


def p_ledger(sample: Any) -> Sequence[Any]:
    lines = pacifica.balance_events(body(enveloped(sample)), now_ms=MAX_MS).rows
    return [line.said for line in lines if line.said is not None]


def p_accepted(sample: Any) -> Sequence[Any]:
    assert pacifica.accepted(body(sample)) == str(sample["data"]["order_id"])
    return ()


def p_cancelled(sample: Any) -> Sequence[Any]:
    decode(body(sample), pacifica_wire.Envelope[pacifica_wire.Cancelled])
    return ()


def p_confirmed(sample: Any) -> Sequence[Any]:
    decode(body(sample), pacifica_wire.Envelope[Any])
    return ()


def p_refused(sample: Any) -> Sequence[Any]:
    told = sample.get("body", sample)
    error = pacifica_failure(HttpAnswer(sample.get("http", 422), {}, body(told)))
    assert isinstance(error, VenueError)
    return ()


def p_market_frame(sample: Any) -> Sequence[Any]:
    data, is_mark = sample["data"], sample["channel"] == "prices"
    symbol = data[0]["symbol"] if is_mark else data["s"]
    session = PacificaMarketSession(NOWHERE, [symbol], marks=is_mark)
    return _believed(session.receive(body(sample)))


def p_private_frame(sample: Any) -> Sequence[Any]:
    return _believed(PacificaPrivateSession().receive(body(sample)))


def p_trade_body(sample: Any) -> Sequence[Any]:
    return p_private_frame({"channel": "account_trades", "data": rows(sample)})


def p_passed_over(sample: Any) -> Sequence[Any]:
    market = PacificaMarketSession(NOWHERE, ["BTC"]).receive(body(sample))
    assert (list(market), list(PacificaPrivateSession().receive(body(sample)))) == ([], [])
    return ()


def p_error_frame(sample: Any) -> Sequence[Any]:
    [event] = PacificaPrivateSession().receive(body(sample))
    assert isinstance(event, Quarantined)
    assert event.reason == "error-answer"
    return ()


# Exactness


def decimals(said: Any) -> set[Decimal]:
    """Return every number that a report holds."""
    if isinstance(said, Decimal):
        return {said}
    if is_dataclass(said):
        return set().union(*(decimals(getattr(said, field.name)) for field in fields(said)))
    if isinstance(said, list | tuple):
        return set().union(*map(decimals, said))
    return set()


def told_numbers(sample: Any) -> set[Decimal]:
    """Return every number in a sample as the venue wrote it, and its negative."""
    if isinstance(sample, Mapping):
        return set().union(*map(told_numbers, sample.values()))
    if isinstance(sample, list):
        return set().union(*map(told_numbers, sample))
    if isinstance(sample, str | int) and not isinstance(sample, bool):
        try:
            number = Decimal(sample)
        except InvalidOperation:
            return set()
        return {number, -number} if number.is_finite() else set()
    return set()

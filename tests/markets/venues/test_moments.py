"""Times from the future, and the order of quotes after a lie."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from controlplane.kernel.units import BaseAmount, Price, QuoteAmount
from markets.venues.checks import EPOCH, BadAnswer
from markets.venues.moments import MAX_AHEAD_MS, check_time, timely
from markets.venues.reports import GrowingSequence
from markets.venues.types import (
    AccountUpdate,
    BookTop,
    FundingPayment,
    MarketEvent,
    PositionReport,
    PrivateEvent,
    Quarantined,
    StreamEnded,
)

NOW = 1_764_000_000_000
ONE = Decimal(1)


def top(at_ms: int) -> BookTop:
    return BookTop("BTCUSDT", Price(ONE), ONE, Price(Decimal(2)), ONE, at_ms, 1)


def position(at_ms: int) -> PositionReport:
    at = EPOCH + timedelta(milliseconds=at_ms)
    return PositionReport("BTCUSDT", BaseAmount(ONE), None, None, None, None, None, at)


@pytest.mark.parametrize("ahead", [0, MAX_AHEAD_MS, -(10**9)])
def test_clocks_may_differ_by_a_minute_and_the_past_is_no_lie(ahead: int) -> None:
    events = [top(NOW + ahead)]
    assert timely(events, now_ms=NOW) is events
    assert check_time([position(NOW + ahead)], now_ms=NOW)


def test_only_the_events_from_the_future_are_quarantined() -> None:
    events: list[MarketEvent] = [top(NOW), top(NOW + MAX_AHEAD_MS + 1)]
    first, second = timely(events, now_ms=NOW)
    assert first is events[0]
    assert second == Quarantined("future", f"{MAX_AHEAD_MS + 1} ms ahead", "BTCUSDT")


def test_a_position_from_the_future_spoils_its_account_update() -> None:
    late = position(NOW + 3_600_000)
    update = AccountUpdate((position(NOW), late), QuoteAmount(ONE), "ORDER", NOW)
    private: list[PrivateEvent] = [update, StreamEnded("gone")]
    judged = timely(private, now_ms=NOW)
    assert [type(event) for event in judged] == [Quarantined, StreamEnded]


def test_one_row_from_the_future_spoils_a_list() -> None:
    rows = [
        FundingPayment("BTCUSDT", str(days), QuoteAmount(ONE), "USDT", at)
        for days in range(3)
        for at in [datetime.fromtimestamp(NOW // 1000, tz=UTC) + timedelta(days=days - 1)]
    ]
    with pytest.raises(BadAnswer, match="future"):
        check_time(rows, now_ms=NOW)


def test_what_is_not_dated_passes() -> None:
    undated: list[object] = [None, b"body", "text", (), []]
    for said in undated:
        assert check_time(said, now_ms=NOW) is said


def taken(order: GrowingSequence, number: int, at_ms: int) -> str:
    try:
        order.take("BTC", number, at_ms)
    except BadAnswer as error:
        return error.reason
    return "taken"


def test_a_lying_number_holds_up_what_follows_for_twenty_quotes_only() -> None:
    order = GrowingSequence()
    assert [taken(order, number, number) for number in (1, 2, 10**18)] == ["taken"] * 3
    said = [taken(order, number, number) for number in range(3, 30)]
    assert said == ["out-of-order"] * 19 + ["taken"] * 8


def test_old_quotes_sent_anew_never_become_the_order() -> None:
    order = GrowingSequence()
    for number in range(1, 101):
        assert taken(order, number, number) == "taken"
    assert {taken(order, number, number) for number in range(1, 99)} == {"out-of-order"}
    assert taken(order, 101, 101) == "taken"


def test_a_quote_told_twice_is_a_duplicate_however_often() -> None:
    order = GrowingSequence()
    assert taken(order, 5, 5) == "taken"
    assert {taken(order, 5, 5) for _ in range(50)} == {"duplicate"}

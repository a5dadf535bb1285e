"""Private streams of every dialect: what they miss is read again, and keys are kept in time."""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from django.db import connection

from accounts.models import ExchangeAccount
from accounts.streams import StreamTerms
from hedging.models import Fill
from markets.venues.paper.faults import Channel, Fault, FaultKind
from markets.venues.paper.server import PaperVenue
from monitoring.models import MonitoringEvent
from tests.accounts.paper import Paper, kit_venue
from tests.accounts.test_streams import LISTEN_KEY, settle, streams, sync, wait_for
from tests.contracts.kits import KITS

QUICK_KEYS = StreamTerms(keep_seconds=0.1, keep_retry_seconds=0.1, renew_seconds=0.15)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("markets.feeds.runner.FIRST_DELAY", 0.05)


@pytest.fixture(params=KITS)
def each_paper(
    request: pytest.FixtureRequest, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Paper]:
    """A venue of each dialect; threads of pools keep no connection between two tasks."""
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    with kit_venue(KITS[request.param]()) as venue:
        yield venue


def symbols(paper: Paper) -> list[str]:
    return list(paper.server.engine.markets)


def trades(paper: Paper) -> dict[str, Decimal]:
    kept = paper.server.engine.accounts["alpha"].trades
    return {str(trade.trade_id): trade.amount for trade in kept}


def recorded() -> dict[str, Decimal]:
    return dict(Fill.objects.values_list("trade_id", "amount"))


def are_recorded(number: int) -> bool:
    return len(recorded()) == number


def frames_told() -> int:
    return MonitoringEvent.objects.filter(payload__code="frame_quarantined").count()


def stands(paper: Paper) -> bool:
    return paper.do(
        lambda: [bool(client.streams) for client in paper.server.core.hub.clients.values()]
    ) == [True]


def wait_standing(paper: Paper, account: ExchangeAccount) -> None:
    wait_for(lambda: stands(paper))
    wait_for(lambda: account.sync_jobs.filter(status="success").exists())


def test_twenty_fills_in_a_gap_are_each_recorded_once(each_paper: Paper) -> None:
    """B04: from the last seen fill, with overlap, told apart by trade id."""
    account, core = each_paper.account("alpha"), each_paper.server.core
    btc = symbols(each_paper)[0]

    def gap() -> None:
        for client in list(core.hub.clients.values()):
            core.hub.unsubscribe(client, list(client.streams))
        for number in range(20):
            amount = Decimal("0.01") if number % 3 else Decimal("-0.02")
            core.move_position("alpha", btc, amount, source="web")
        for client in list(core.hub.clients.values()):
            client.cut_off()

    with streams():
        wait_standing(each_paper, account)
        each_paper.move("alpha", btc, "0.1")
        wait_for(lambda: recorded() == trades(each_paper))
        each_paper.do(gap)
        assert len(trades(each_paper)) == 21
        assert wait_for(lambda: recorded() == trades(each_paper)) < 10
        wait_for(lambda: stands(each_paper))
        each_paper.move("alpha", btc, "0.1")
        wait_for(lambda: recorded() == trades(each_paper))
    assert Fill.objects.count() == 22


def test_huge_frame_is_told_of_once_and_what_it_said_is_read(each_paper: Paper) -> None:
    """A17 on a private socket: quarantined, an alert, and the gap filled after reconnecting."""
    account, core = each_paper.account("alpha"), each_paper.server.core
    btc = symbols(each_paper)[0]
    secret = account.agent_key.reveal() or account.api_secret.reveal()
    body = b'{"e":"x","apiKey":"abc","k":"' + secret.encode() + b'"}'
    fault = Fault(
        FaultKind.WS_POISON, channel=Channel.PRIVATE, body=body, repeat=2_000_000 // len(body),
        times=1000,
    )  # fmt: skip
    with streams():
        wait_standing(each_paper, account)
        for told in (1, 2):
            each_paper.do(lambda: core.faults.add(fault))
            each_paper.move("alpha", btc, "0.1")
            wait_for(partial(are_recorded, told))  # by looking: every frame is unreadable
            wait_for(lambda: frames_told() == 1)
            each_paper.do(core.faults.clear)
            wait_for(lambda: stands(each_paper))
        assert recorded() == trades(each_paper)
        [event] = MonitoringEvent.objects.filter(payload__code="frame_quarantined")
    assert (event.account_id, event.severity) == ("alpha", "WARN")
    assert event.payload["reason"] == "oversized"
    assert "[secret]" in event.payload["detail"]
    assert secret not in event.payload["detail"]
    assert len(event.payload["detail"]) <= 200


def test_fill_that_the_stream_withheld_is_found_by_the_periodic_sync(each_paper: Paper) -> None:
    """B07: the stream stands and speaks, only not of the last trade."""
    account, core = each_paper.account("alpha"), each_paper.server.core
    dialect: Any = core.dialect
    btc = symbols(each_paper)[0]
    assert account.sync_interval_seconds <= 15
    with streams():
        wait_standing(each_paper, account)
        each_paper.move("alpha", btc, "0.1")
        wait_for(lambda: recorded() == trades(each_paper))

        def withhold() -> None:
            dialect.engine_event, tell = lambda event: None, dialect.engine_event
            core.move_position("alpha", btc, Decimal("0.2"), source="web")
            dialect.engine_event = tell

        each_paper.do(withhold)
        each_paper.move("alpha", btc, "0.1")
        wait_for(lambda: Fill.objects.count() == 2)
        assert len(trades(each_paper)) == 3
        sync(account)
        assert recorded() == trades(each_paper)


def test_look_begins_only_when_the_channels_have_spoken(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look before that would miss what happens between it and the subscription."""
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    monkeypatch.setattr("accounts.streams.HEARD_SECONDS", 0.1)
    with kit_venue(KITS["pacifica"]()) as paper:
        account = paper.account("alpha")
        dialect: Any = paper.server.dialect
        known = dialect._stream
        dialect._stream = lambda params: (
            None if params.get("source") == "account_trades" else known(params)
        )
        with streams(StreamTerms(trouble_seconds=2.0)):
            told = MonitoringEvent.objects.filter(payload__code="private_stream")
            wait_for(lambda: told.count() == 1)
            assert not account.sync_jobs.exists()
            dialect._stream = known
            wait_for(lambda: account.sync_jobs.filter(status="success").exists())
            wait_for(lambda: told.count() == 2)
    assert list(told.order_by("event_id").values_list("severity", "message")) == [
        ("WARN", "The private stream of alpha does not stand: not connected."),
        ("INFO", "The private stream of alpha stands again."),
    ]


def test_key_that_cannot_be_prolonged_is_asked_for_again_before_half_its_life(
    live_paper: Paper, seen: list[Any]
) -> None:
    """B05: prolonging fails again and again; the venue still gives the same key, so no gap."""
    assert StreamTerms().renew_seconds + StreamTerms().keep_retry_seconds < 1800
    live_paper.account("alpha")
    requests = live_paper.gateway.requests

    async def broken(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    with streams(QUICK_KEYS):
        settle(live_paper, seen)
        opened = live_paper.do(lambda: live_paper.server.core.hub._last_id)
        live_paper.gateway.faults["PUT", LISTEN_KEY] = broken
        asked, failed = (requests.count((method, LISTEN_KEY)) for method in ("POST", "PUT"))
        wait_for(lambda: requests.count(("POST", LISTEN_KEY)) >= asked + 2)
        assert requests.count(("PUT", LISTEN_KEY)) >= failed + 2
        assert live_paper.do(lambda: live_paper.server.core.hub._last_id) == opened
        live_paper.gateway.faults.clear()
        puts = requests.count(("PUT", LISTEN_KEY))
        wait_for(lambda: requests.count(("PUT", LISTEN_KEY)) >= puts + 2)


def test_key_deleted_by_somebody_else_is_replaced_and_the_gap_read(
    live_paper: Paper, seen: list[Any]
) -> None:
    """The venue says nothing of it: the old stream is just silent from then on."""
    live_paper.account("alpha")
    server: PaperVenue = live_paper.server
    dialect: Any = server.dialect
    with streams(QUICK_KEYS):
        settle(live_paper, seen)

        def delete() -> None:
            del dialect._listen_keys["alpha"]
            for client in server.core.hub.clients.values():
                server.core.hub.unsubscribe(client, list(client.streams))
            server.core.move_position("alpha", "BTCUSDT", Decimal("0.2"), source="web")

        live_paper.do(delete)
        missed = str(server.engine.accounts["alpha"].trades[-1].trade_id)
        took = wait_for(
            lambda: any(
                fill.trade_id == missed for item in seen for fill in getattr(item, "fills", ())
            )
        )
        assert took < 10
        wait_for(lambda: stands(live_paper))

"""A recorded market through the demo's parts: what is refused, and that no quote is lost."""

import asyncio
import gzip
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command

from accounts.models import ExchangeAccount
from controlplane.demo import check, replay
from controlplane.demo.captures import recordings
from controlplane.demo.layout import DemoVenue, demo_layout
from controlplane.demo.replay import FeedCount
from hedging.models import Fill
from markets.venues.paper.config import config_from_mapping
from markets.venues.paper.server import PaperVenue
from tests import factories
from tests.markets.feeds.running import row_until, running_feeds
from tests.markets.venues.conftest import paper_config
from tests.markets.venues.test_paper_replay import START_NS, line

MARKETS = ("BTCUSDT", "ETHUSDT")
QUIET, BURST = 100, 5_500
BURST_GAP_NS = 90_909  # 11,000 a second


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Half a second of a quiet market around half a second of 11,000 messages a second."""
    path = tmp_path / "btc.txt.gz"
    begins = START_NS + QUIET * 5_000_000
    with gzip.open(path, "wb") as file:
        file.writelines(line(n, START_NS + n * 5_000_000) for n in range(QUIET))
        file.writelines(line(QUIET + n, begins + n * BURST_GAP_NS) for n in range(BURST))
    return path


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.txt", None, "gone.txt: No such file"),
        ("empty.txt", b"", "holds no bookTicker"),
        ("empty.txt.gz", b"", "holds no bookTicker"),
        ("plain.txt.gz", b"not packed", "Not a gzipped file"),
        ("cut.txt.gz", gzip.compress(line(1, START_NS) * 50)[:-12], "cut short or no capture"),
        ("broken.txt", line(1, START_NS)[:90] + b"\n", "cut short or no capture"),
        ("readme.txt", b"# Control plane\n", "holds no bookTicker"),
        ("nan.txt", line(1, START_NS).replace(b"61800.20", b"NaN"), "u 5123107839023: NaN"),
        ("crossed.txt", line(1, START_NS).replace(b"61800.20", b"61800.40"), "61800.40/61800.30"),
        ("sol.txt", line(1, START_NS, "SOLUSDT"), "records SOLUSDT; the demo has BTCUSDT"),
    ],
)
@pytest.mark.django_db
def test_file_that_is_no_capture_is_refused_before_anything_starts(
    tmp_path: Path, settings: Any, name: str, content: bytes | None, says: str
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError, match=says) as refused:
        call_command("demo", "--check", "--replay", str(path))
    assert refused.value.returncode == 2
    assert name in str(refused.value)
    assert not settings.VAR_DIR.exists()
    assert not ExchangeAccount.objects.exists()


def test_directory_is_refused_and_so_is_one_market_twice(capture: Path) -> None:
    for paths, says in (([capture.parent], "Is a directory"), ([capture, capture], "both")):
        with pytest.raises(CommandError, match=says) as refused:
            call_command("demo", *(f"--replay={path}" for path in paths))
        assert refused.value.returncode == 2


def test_recording_tells_its_length_and_how_late_it_was_itself(capture: Path) -> None:
    (seen,) = recordings([capture], markets=MARKETS)
    assert (seen.symbol, seen.quotes, seen.first_price) == (
        "BTCUSDT",
        QUIET + BURST,
        Decimal("61800.20"),
    )
    assert seen.seconds == pytest.approx(1.0, abs=0.01)
    assert (seen.delay_p99, seen.delay_worst) == (1, 1)  # events are stamped in whole ms


def test_venues_of_a_replay_agree_on_prices_and_wait_for_their_feeds(capture: Path) -> None:
    for venue in demo_layout(lambda _host: 41001).venues:
        venue = venue.replaying([capture], first_prices={"BTC": Decimal(70_000)}, loops=True)
        config = config_from_mapping(venue.configuration(ledger=str(capture) + ".ledger"))
        assert (config.replay, config.replay_loop, config.start_paused) == ((capture,), True, True)
        prices = {item.instrument.base: item.price for item in config.symbols}
        assert prices["BTC"] == 70_000
        assert 2_000 < prices["ETH"] < 3_000


@pytest.mark.django_db(transaction=True)
async def test_bursts_at_their_own_speed_arrive_whole(capture: Path) -> None:
    recorded = recordings([capture], markets=MARKETS)
    async with PaperVenue.start(paper_config(replay=(capture,))) as server:
        demo, venues = await sync_to_async(listening_venue)(server)
        async with running_feeds(), asyncio.timeout(30):
            await row_until(lambda: replay.waiting(venues), "")
            began = asyncio.get_running_loop().time()
            await sync_to_async(replay.begin)(venues)
            await row_until(lambda: replay.unplayed(venues, recorded), 0, seconds=25)
            assert asyncio.get_running_loop().time() - began >= 0.99  # the capture's own speed
            server.core.running.clear()
            await row_until(lambda: replay.lost(replay.counts(venues, recorded)), "")
            table = await sync_to_async(replay.counts)(venues, recorded)
    counts = {item.feed: item for item in table}
    btc = counts[f"{demo.venue_id}-btc"]
    assert (btc.recorded, btc.sent, btc.read, btc.dropped, btc.connections) == (
        *(QUIET + BURST,) * 3,
        0,
        1,
    )
    assert btc.delay_worst is not None
    assert btc.delay_p99 is not None
    assert btc.delay_p99 <= btc.delay_worst
    eth = counts[f"{demo.venue_id}-eth"]
    assert eth.recorded is None
    assert eth.sent == eth.read > 0


def listening_venue(server: PaperVenue) -> tuple[DemoVenue, list[DemoVenue]]:
    """Make a running paper venue known as one of the demo's, with a feed for each market."""
    row = factories.venue(
        venue_id="paper-binance", rest_endpoint=server.rest_url, ws_endpoint=server.ws_url
    )
    for symbol in ("BTC", "ETH"):
        factories.instrument(venue=row, symbol=symbol, venue_symbol=f"{symbol}USDT")
        factories.feed(exchange=row, symbol=symbol, feed_id=f"{row.pk}-{symbol.lower()}")
    demo = demo_layout(lambda _host: server.port).venues[0]
    assert demo.venue_id == row.pk
    return demo, [demo]


@pytest.mark.parametrize(
    ("recorded", "sent", "read", "dropped"),
    [(5, 4, 4, 0), (5, 5, 4, 0), (5, 5, 5, 1), (None, 5, 4, 0), (5, 5, 6, 0)],
)
def test_count_that_does_not_add_up_is_a_loss(
    recorded: int | None, sent: int, read: int, dropped: int
) -> None:
    count = FeedCount("east-btc", recorded, sent, read, dropped, 1, 3, 9, None, None)
    assert replay.lost([count]).startswith("east-btc: ")
    whole = replace(count, recorded=recorded and 5, sent=5, read=5, dropped=0)
    assert replay.lost([whole]) == ""


@pytest.mark.django_db
def test_differences_are_counted_by_order_and_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = demo_layout(lambda _host: 1).venues[0]
    account = factories.account(exchange=factories.venue(venue_id=venue.venue_id))
    Fill.objects.create(
        account=account,
        instrument=factories.instrument(venue=account.exchange),
        trade_id="7",
        side="buy",
        amount=Decimal(1),
        price=Decimal(100),
        venue_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    common = {"kind": "fill", "atNs": 1, "account": account.pk, "symbol": "BTCUSDT"}
    common |= {"clientOrderId": "somebody"}
    entries: list[dict[str, Any]] = [
        {**common, "seq": 1, "tradeId": "7", "side": "buy", "amount": "1", "price": "101"},
        {**common, "seq": 2, "tradeId": "8", "side": "sell", "amount": "2", "price": "100"},
    ]

    def ledger(_venue: DemoVenue, kind: str, *, since: int) -> list[dict[str, Any]]:
        return [it for it in entries if kind == "fill" and it["seq"] > since]

    monkeypatch.setattr(check, "ledger", ledger)
    ledgers = check.Ledgers([venue])
    changed, missing = ledgers.differences()
    assert changed.startswith("I4 at paper-binance #1: trade ")
    assert missing.startswith("I2 at paper-binance #2: trade ")
    assert ledgers.disagreement().startswith("2 differ: ")

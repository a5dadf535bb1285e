"""The demo's data is valid, balanced, and never lands in somebody's database."""

import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import egress
from accounts.models import ExchangeAccount
from controlplane.demo import check, data
from controlplane.demo.layout import PROFILE, demo_layout
from controlplane.management.commands.demo import only_one
from hedging.selectors import books
from markets.models import Instrument, MarketDataFeed, Venue
from markets.venues.paper.config import config_from_mapping
from strategies.models import AccountAllocation
from tests import factories

LAYOUT = demo_layout(lambda _host: 41001)
VENUES = LAYOUT.venues


def test_positions_of_each_book_sum_to_zero() -> None:
    books: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for venue in VENUES:
        for account in venue.accounts:
            for symbol, size in account.positions.items():
                books[account.book, symbol] += size
    assert {key[0] for key in books} == {"alpha", "beta"}
    assert set(books.values()) == {Decimal(0)}


def test_paper_venues_accept_their_configuration(tmp_path: Path) -> None:
    for venue in VENUES:
        config = config_from_mapping(venue.configuration(ledger=str(tmp_path / "ledger")))
        assert config.control
        labels = [account.label for account in config.accounts]
        known = [account.account_id for account in venue.accounts]
        assert labels == known + ([venue.spare.account_id] if venue.spare else [])
        assert config.actor is not None
        assert list(config.actor.accounts) == known  # nobody moves what nobody watches


@pytest.mark.django_db
def test_loaded_rows_are_valid_and_form_two_books() -> None:
    data.demo_load(layout=LAYOUT, password="a-long-demo-password")
    for model in (Venue, Instrument, MarketDataFeed, ExchangeAccount, AccountAllocation):
        for row in model.objects.all():
            row.full_clean()
    assert (ExchangeAccount.objects.count(), MarketDataFeed.objects.count()) == (5, 6)
    assert set(Venue.objects.filter(is_enabled=True).values_list("pk", flat=True)) == {
        "paper-aster",
        "paper-binance",
        "paper-pacifica",
    }
    live = [set(book.account_ids) for book in books(now=timezone.now()) if not book.sandbox]
    assert sorted(live, key=len) == [
        {"binance-beta", "pacifica-beta"},
        {"aster-alpha-1", "aster-alpha-2", "pacifica-alpha"},
    ]


@pytest.mark.django_db
def test_every_account_goes_out_by_a_proxy_with_keys_its_venue_takes() -> None:
    data.demo_load(layout=LAYOUT, password="a-long-demo-password")
    exits = {f"socks5h://{quote(one.auth, safe=':')}@{one.ip}:{one.port}" for one in LAYOUT.exits}
    used = set()
    for account in ExchangeAccount.objects.for_sync():
        route = egress.route_of(account)
        assert route.proxy_url is not None
        used.add(route.proxy_url.reveal())
        assert account.proxy_profile_id == PROFILE
        egress.run(closed(account))
    assert used == exits


async def closed(account: ExchangeAccount) -> None:
    await egress.new_client(account).close()


@pytest.mark.django_db
def test_contracts_are_as_the_venue_lists_them() -> None:
    data.demo_load(layout=LAYOUT, password="a-long-demo-password")
    names = set(Instrument.objects.filter(symbol="BTC").values_list("venue_id", "venue_symbol"))
    assert names == {
        ("paper-aster", "BTCUSDT"),
        ("paper-binance", "BTCUSDT"),
        ("paper-pacifica", "BTC"),
    }


@pytest.mark.django_db
def test_demo_refuses_a_database_that_is_not_its_own(settings: Any, tmp_path: Path) -> None:
    settings.EMBEDDED_POSTGRES = False
    settings.VAR_DIR = tmp_path
    account = factories.account()
    with pytest.raises(CommandError, match="DATABASE_URL is set") as refused:
        call_command("demo", port=0)
    assert refused.value.returncode == 2
    with pytest.raises(CommandError, match="has accounts"):
        call_command("demo", port=0, use_database_url=True)
    assert list(ExchangeAccount.objects.all()) == [account]


def test_second_demo_on_the_same_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with only_one(path), pytest.raises(CommandError, match="runs already"), only_one(path):
        pass
    with only_one(tmp_path / "lock"):
        pass


def test_password_is_kept_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "demo" / "login.json"
    first = data.password(path)
    assert len(first) >= 12
    assert data.password(path) == first
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text())["username"] == "demo"


@pytest.mark.django_db
def test_check_names_what_is_missing() -> None:
    data.demo_load(layout=LAYOUT, password="a-long-demo-password")
    assert "aster-btc is failing" in check.feeds_problem()
    assert "pacifica-beta" in check.accounts_problem(VENUES)
    assert check.hedge_problem().startswith("0 breaches were hedged")

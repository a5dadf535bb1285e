"""What books are shown as, and what their exposure counts."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.choices import AccountStatus
from accounts.models import AccountState, ExchangeAccount, Position
from hedging import selectors
from hedging.facts import book_facts
from markets.models import Instrument, Quote
from strategies.models import AccountAllocation, OrderIntent
from tests import factories
from tests.hedging import world

pytestmark = pytest.mark.django_db

SENT = ("submitted", "sending")
RESTING = ("submitted", "acknowledged")
FILLED = ("filled", "acknowledged")
LOST = ("submitted", "unknown")


@pytest.fixture
def btc() -> Instrument:
    return world.market("BTC")


@pytest.fixture
def pair(btc: Instrument) -> tuple[ExchangeAccount, ExchangeAccount]:
    """Two accounts in one book: long and short one bitcoin."""
    long, short = (world.trader(btc, account_id=name) for name in ("a-long", "b-short"))
    world.join(long, short)
    world.holds(long, btc, "1")
    world.holds(short, btc, "-1")
    return long, short


def view(key: str = "live:a-long") -> selectors.BookView:
    found = selectors.book(key, now=timezone.now())
    assert found is not None
    return found


def bounds() -> tuple[Decimal, Decimal, Decimal]:
    book = selectors.find_book("live:a-long")
    assert book is not None
    (seen,) = book_facts([book], now=timezone.now())[0].exposures
    return seen.low_base, seen.delta_base, seen.high_base


def test_legs_net_inside_a_book(pair: tuple[ExchangeAccount, ExchangeAccount]) -> None:
    shown = view()
    assert (shown.state, shown.net_delta_btc) == ("neutral", Decimal(0))
    assert shown.account_ids == ("a-long", "b-short")
    assert shown.threshold_btc == Decimal("0.0005")


def test_the_envelope_threshold_goes_before_the_account_threshold(
    pair: tuple[ExchangeAccount, ExchangeAccount],
) -> None:
    envelope = pair[0].risk_envelope
    envelope.delta_threshold = Decimal("0.0002")
    envelope.save()
    assert view().threshold_btc == Decimal("0.0002")


def test_a_delta_above_the_threshold_is_a_breach(
    pair: tuple[ExchangeAccount, ExchangeAccount],
) -> None:
    Position.objects.filter(account=pair[0]).update(size=Decimal("1.02"))
    shown = view()
    assert (shown.state, shown.reason, shown.net_delta_btc) == (
        "breach",
        "BREACH",
        Decimal("0.02"),
    )


def test_one_account_not_synced_makes_the_book_unknown(
    pair: tuple[ExchangeAccount, ExchangeAccount],
) -> None:
    AccountState.objects.filter(account=pair[1]).update(
        positions_at=timezone.now() - timedelta(minutes=5)
    )
    shown = view()
    assert (shown.state, shown.reason, shown.net_delta_btc) == ("unknown", "ACCOUNT_UNKNOWN", None)
    assert shown.assets[0].delta_base is None


def test_stale_prices_make_a_book_with_another_asset_unknown(btc: Instrument) -> None:
    eth = world.market("ETH")
    account = world.trader(eth, account_id="a-long")
    world.holds(account, eth, "1")
    assert view().net_delta_btc == Decimal("0.05")
    Quote.objects.update(received_at=timezone.now() - timedelta(seconds=3))
    shown = view()
    assert (shown.state, shown.reason, shown.net_delta_btc) == ("unknown", "QUOTE_STALE", None)


def test_dry_run_modules_join_sandbox_books_only(btc: Instrument) -> None:
    accounts = [world.trader(btc, account_id=name) for name in ("a", "b")]
    world.join(*accounts, dry_run_enabled=True)
    keys = [shown.key for shown in selectors.books(now=timezone.now())]
    assert keys == ["live:a", "live:b", "sandbox:a"]


def test_sandbox_positions_never_count_in_a_live_book(btc: Instrument) -> None:
    account = world.trader(btc, account_id="a")
    world.holds(account, btc, "5", sandbox=True)
    live, simulated = selectors.books(now=timezone.now())
    assert (live.key, live.net_delta_btc) == ("live:a", Decimal(0))
    assert (simulated.key, simulated.net_delta_btc) == ("sandbox:a", Decimal(5))


def test_disabled_modules_join_nothing(pair: tuple[ExchangeAccount, ExchangeAccount]) -> None:
    AccountAllocation.objects.get(account=pair[0]).module.delete()
    assert [book.key for book in selectors.books(now=timezone.now())] == [
        "live:a-long",
        "live:b-short",
    ]


def test_a_book_whose_accounts_are_all_stopped_is_halted(
    pair: tuple[ExchangeAccount, ExchangeAccount],
) -> None:
    Position.objects.filter(account=pair[0]).update(size=2)
    ExchangeAccount.objects.update(status=AccountStatus.EMERGENCY)
    assert (view().state, view().reason) == ("halted", "STOPPED")


def sell(account: ExchangeAccount, amount: str, **fields: object) -> OrderIntent:
    instrument = Instrument.objects.get(venue=account.exchange)
    return factories.intent(
        account=account, instrument=instrument, side="sell", amount=Decimal(amount), **fields
    )


def test_orders_count_from_the_moment_they_are_written(
    pair: tuple[ExchangeAccount, ExchangeAccount],
) -> None:
    intent = sell(pair[0], "0.3")
    assert bounds() == (Decimal("-0.3"), Decimal(0), Decimal(0))
    world.moved(intent, SENT, LOST)
    assert bounds() == (Decimal("-0.3"), Decimal(0), Decimal(0))


def test_a_fill_counts_as_on_its_way_until_the_position_contains_it(
    pair: tuple[ExchangeAccount, ExchangeAccount],
) -> None:
    position = Position.objects.get(account=pair[0])
    intent = world.moved(sell(pair[0], "0.3"), SENT, FILLED, filled="0.3")
    assert bounds()[0] == Decimal("-0.3")
    fill = world.fill_of(intent, "0.3", at=timezone.now())
    assert bounds()[0] == Decimal("-0.3")
    Position.objects.filter(pk=position.pk).update(
        size=Decimal("0.7"), venue_at=fill.venue_at - timedelta(milliseconds=1)
    )
    assert bounds()[0] == Decimal("-0.6")
    Position.objects.filter(pk=position.pk).update(venue_at=fill.venue_at)
    assert bounds() == (Decimal("-0.3"), Decimal("-0.3"), Decimal("-0.3"))


def test_a_complete_look_after_the_fill_was_recorded_contains_it(
    pair: tuple[ExchangeAccount, ExchangeAccount],
) -> None:
    intent = world.moved(sell(pair[0], "0.3"), SENT, FILLED, filled="0.3")
    world.fill_of(intent, "0.3", at=timezone.now() + timedelta(hours=1))
    assert bounds()[0] == Decimal("-0.3")
    world.synced(pair[0])
    assert bounds() == (Decimal(0), Decimal(0), Decimal(0))


def test_a_resting_order_is_no_hedge_on_its_way(
    pair: tuple[ExchangeAccount, ExchangeAccount],
) -> None:
    world.moved(sell(pair[0], "0.3", type="limit", price=Decimal(60_000)), SENT, RESTING)
    assert bounds() == (Decimal(0), Decimal(0), Decimal(0))


def test_many_books_are_read_in_few_queries(
    btc: Instrument, django_assert_max_num_queries: object
) -> None:
    for number in range(6):
        account = world.trader(btc, account_id=f"account-{number}")
        world.holds(account, btc, "0.1")
        sell(account, "0.1")
    with django_assert_max_num_queries(10):  # type: ignore[operator]
        assert len(selectors.books(now=timezone.now())) == 6

"""The peaks that drawdowns are measured from, as samples and transfers tell them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.models import AccountState, EquitySample, ExchangeAccount, Transfer
from accounts.peaks import Peaks, day_peak
from tests import factories

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
D = Decimal


def minutes(count: float) -> datetime:
    return NOON + timedelta(minutes=count)


@pytest.fixture
def account(db: None) -> ExchangeAccount:
    made = factories.account(account_id="alpha")
    AccountState.objects.update(settlement_asset="USDT")
    return made


def sample(account: ExchangeAccount, equity: str, at: datetime) -> None:
    EquitySample.objects.create(account=account, equity=D(equity), at=at)


def transfer(account: ExchangeAccount, amount: str, at: datetime, asset: str = "USDT") -> None:
    Transfer.objects.create(
        account=account,
        venue_transfer_id=f"{at:%s}{amount}",
        kind="TRANSFER",
        amount=D(amount),
        asset=asset,
        venue_at=at,
    )


def test_a_withdrawal_moves_the_days_peak_and_that_of_ever(account: ExchangeAccount) -> None:
    peaks = Peaks()
    sample(account, "2000", NOON - timedelta(days=3))
    sample(account, "1000", minutes(0))
    assert peaks.of(account.pk, D(1000), minutes(1)) == (D(1000), D(2000))
    assert peaks.of(account.pk, D(400), minutes(3)) == (D(1000), D(2000))
    transfer(account, "-600", minutes(2))
    read = minutes(3)
    assert peaks.of(account.pk, D(400), minutes(4), tried_at=read) == (D(400), D(800))
    assert peaks.of(account.pk, D(380), minutes(5), tried_at=read) == (D(400), D(800))
    assert Peaks().of(account.pk, D(380), minutes(5)) == (D(400), D(800))
    assert day_peak(account.pk, equity=D(380), at=minutes(5), now=minutes(5)) == D(400)


def test_a_deposit_hides_no_loss(account: ExchangeAccount) -> None:
    sample(account, "1000", minutes(0))
    sample(account, "900", minutes(1))
    transfer(account, "900", minutes(2))
    assert Peaks().of(account.pk, D(1800), minutes(3)) == (D(2000), D(2000))
    assert day_peak(account.pk, equity=D(1800), at=minutes(3), now=minutes(3)) == D(2000)


def test_what_goes_from_one_account_to_another_is_no_gain_and_no_loss(
    account: ExchangeAccount,
) -> None:
    other = factories.account(account_id="beta", exchange=account.exchange)
    AccountState.objects.update(settlement_asset="USDT")
    for one, equity, amount in ((account, "1000", "-400"), (other, "500", "400")):
        sample(one, equity, minutes(0))
        transfer(one, amount, minutes(1))
    peaks = Peaks()
    assert peaks.of("alpha", D(600), minutes(2)) == (D(600), D(600))
    assert peaks.of("beta", D(900), minutes(2)) == (D(900), D(900))


def test_a_reading_that_may_lack_a_deposit_is_no_loss(account: ExchangeAccount) -> None:
    peaks = Peaks()
    sample(account, "1000", minutes(0))
    at = minutes(2) + timedelta(seconds=2)
    transfer(account, "500", minutes(2))
    assert peaks.of(account.pk, D(1000), at) == (D(1000), D(1000))
    assert peaks.of(account.pk, D(1500), minutes(3)) == (D(1500), D(1500))


def test_a_reading_that_may_lack_a_withdrawal_is_no_new_peak(account: ExchangeAccount) -> None:
    peaks = Peaks()
    sample(account, "1000", minutes(0))
    transfer(account, "-500", minutes(2))
    assert peaks.of(account.pk, D(1000), minutes(2) + timedelta(seconds=2)) == (D(1000), D(1000))
    assert peaks.of(account.pk, D(480), minutes(3)) == (D(500), D(500))


def test_readings_between_two_samples_count(account: ExchangeAccount) -> None:
    peaks = Peaks()
    assert peaks.of(account.pk, D(1000), minutes(0)) == (D(1000), D(1000))
    assert peaks.of(account.pk, D(1200), minutes(1)) == (D(1200), D(1200))
    assert peaks.of(account.pk, D(900), minutes(2)) == (D(1200), D(1200))


def test_money_of_another_asset_moves_no_peak(account: ExchangeAccount) -> None:
    sample(account, "1000", minutes(0))
    transfer(account, "-600", minutes(2), asset="BNB")
    assert day_peak(account.pk, equity=D(990), at=minutes(3), now=minutes(3)) == D(1000)

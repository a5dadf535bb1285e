"""D01, D08 · Two writers at once: what a venue told counts once, whoever wrote it first."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from accounts.models import ExchangeAccount, FundingPayment, Transfer
from hedging.models import Fill, ReconciliationBreak
from tests import factories

pytestmark = pytest.mark.django_db


def trade(account: ExchangeAccount) -> dict[str, Any]:
    instrument = factories.instrument(venue=account.exchange)
    size = {"side": "buy", "amount": 1, "price": 100}
    return {"instrument": instrument, "trade_id": "7", "venue_at": timezone.now(), **size}


def money(account: ExchangeAccount) -> dict[str, Any]:
    return {"amount": 5, "asset": "USDT", "venue_at": timezone.now()}


def payment(account: ExchangeAccount) -> dict[str, Any]:
    return {"venue_symbol": "BTCUSDT", "payment_id": "7", **money(account)}


def transfer(account: ExchangeAccount) -> dict[str, Any]:
    return {"kind": "TRANSFER", "venue_transfer_id": "7", **money(account)}


def difference(account: ExchangeAccount) -> dict[str, Any]:
    return {"kind": "external-order", "subject": "7"}


FACTS: dict[str, tuple[type[models.Model], Callable[[ExchangeAccount], dict[str, Any]]]] = {
    "fill_once_per_trade": (Fill, trade),
    "funding_once_per_payment": (FundingPayment, payment),
    "transfer_once_per_kind": (Transfer, transfer),
    "break_open_once": (ReconciliationBreak, difference),
}


@pytest.mark.parametrize("rule", FACTS)
def test_d01_the_database_takes_no_fact_twice(rule: str) -> None:
    model, told = FACTS[rule]
    account = factories.account()
    fields = told(account)
    model._default_manager.create(account=account, **fields)
    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        model._default_manager.create(account=account, **fields)
    other = factories.account(exchange=account.exchange)
    model._default_manager.create(account=other, **fields)
    assert model._default_manager.count() == 2

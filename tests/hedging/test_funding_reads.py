"""Funding is compared with a fixed number of statements, however many settlements there were."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ExchangeAccount, Position
from controlplane.base.audit import Actor, Surface
from hedging.services.balances import funding_compare
from markets.domain.funding import settlement_time
from markets.models import FundingRate
from tests import factories

pytestmark = pytest.mark.django_db
ACTOR = Actor(name="test", surface=Surface.JOB)


def statements(settlements: int) -> int:
    """Compare so many settlements of a contract that is not held; nothing differs."""
    now = timezone.now()
    account = factories.account()
    ExchangeAccount.objects.filter(pk=account.pk).update(created_at=now - timedelta(days=2))
    account.refresh_from_db()
    instrument = factories.instrument(venue=account.exchange)
    Position.objects.create(account=account, instrument=instrument, size=0, observed_at=now)
    for number in range(settlements):
        FundingRate.objects.create(
            instrument=instrument, rate=Decimal("0.0001"), mark_price=Decimal(60_000),
            funding_time=settlement_time(now - timedelta(hours=number + 1)),
            interval_hours=1, observed_at=now, is_settled=True,
        )  # fmt: skip
    with CaptureQueriesContext(connection) as made:
        assert funding_compare(account=account, at=now, actor=ACTOR) == []
    return len(made)


def test_many_settlements_are_compared_with_the_statements_of_one() -> None:
    assert statements(20) == statements(1)

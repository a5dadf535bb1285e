"""What a price move would make of an account, asked over the API."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AccountState, Position
from tests import factories


def test_a_move_is_answered_in_plain_numbers(client_with: Callable[..., APIClient]) -> None:
    account = factories.account()
    path = f"/api/v1/accounts/{account.pk}/what-if/?move=-10"
    assert client_with().get(path).status_code == 403
    client = client_with("view_exchangeaccount")
    unknown = client.get(path).json()
    assert (unknown["equity"], unknown["utilization"], unknown["positions"]) == (None, None, [])
    AccountState.objects.filter(account=account).update(
        equity=Decimal(20_000), initial_margin=Decimal(10_000)
    )
    Position.objects.create(
        account=account,
        instrument=factories.instrument(venue=account.exchange),
        size=Decimal(1),
        mark_price=Decimal(50_000),
        liquidation_price=Decimal(36_000),
        observed_at=timezone.now(),
    )
    assert client.get(path).json() == {
        "equity": "15000",
        "initialMargin": "9000",
        "utilization": "0.6",
        "liquidationDistance": "0.2",
        "positions": [
            {
                "venueSymbol": "BTCUSDT",
                "price": "45000",
                "result": "-5000",
                "liquidationDistance": "0.2",
            }
        ],
    }


@pytest.mark.parametrize("query", ["", "move=", "move=NaN", "move=-100", "move=x", "move=1&by=2"])
def test_a_wrong_question_is_refused(query: str, client_with: Callable[..., APIClient]) -> None:
    account = factories.account()
    answer = client_with("view_exchangeaccount").get(
        f"/api/v1/accounts/{account.pk}/what-if/?{query}"
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")

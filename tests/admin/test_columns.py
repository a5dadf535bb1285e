"""Numbers in lists: with their unit, and no longer than they must be."""

from decimal import Decimal

import pytest

from accounts.models import Transfer
from controlplane.base.admin.columns import number


@pytest.mark.parametrize(
    ("amount", "places", "shown"),
    [
        ("2500", 6, "2,500.00 USD"),
        ("-400.250000", 6, "-400.25 USD"),
        ("0.0001234567", 6, "0.000123 USD"),
        ("61779.3", 6, "61,779.30 USD"),
        ("61779.3", 2, "61,779.30 USD"),
        ("61779.3", 0, "61,779 USD"),
    ],
)
def test_zeros_at_the_end_are_left_off_beyond_cents(amount: str, places: int, shown: str) -> None:
    column = number("amount", "amount", unit="USD", places=places)
    told = column(Transfer(amount=Decimal(amount)))
    assert told.partition(">")[2].removesuffix("</span>") == shown
    assert f'title="{Decimal(amount).normalize():f} USD"' in told

from decimal import Decimal

import pytest

from accounts.domain.utilization import BandPlace, has_crossed, place_in_band, utilization

LOW, HIGH = Decimal("0.5"), Decimal("0.8")


@pytest.mark.parametrize(
    ("margin", "equity", "expected"),
    [
        ("50", "100", Decimal("0.5")),
        ("0", "100", Decimal(0)),
        ("150", "100", Decimal("1.5")),
        (None, "100", None),
        ("50", None, None),
        ("50", "0", None),
        ("50", "-1", None),
    ],
)
def test_utilization_is_unknown_without_both_numbers_and_a_positive_equity(
    margin: str | None, equity: str | None, expected: Decimal | None
) -> None:
    assert (
        utilization(
            initial_margin=None if margin is None else Decimal(margin),
            equity=None if equity is None else Decimal(equity),
        )
        == expected
    )


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (None, BandPlace.UNKNOWN),
        ("0.4999", BandPlace.BELOW),
        ("0.5", BandPlace.INSIDE),
        ("0.8", BandPlace.INSIDE),
        ("0.8001", BandPlace.ABOVE),
    ],
)
def test_both_ends_belong_to_the_band(value: str | None, place: BandPlace) -> None:
    number = None if value is None else Decimal(value)
    assert place_in_band(number, low=LOW, high=HIGH) is place


NEWS = {
    (BandPlace.UNKNOWN, BandPlace.BELOW),
    (BandPlace.UNKNOWN, BandPlace.ABOVE),
    (BandPlace.BELOW, BandPlace.INSIDE),
    (BandPlace.BELOW, BandPlace.ABOVE),
    (BandPlace.INSIDE, BandPlace.BELOW),
    (BandPlace.INSIDE, BandPlace.ABOVE),
    (BandPlace.ABOVE, BandPlace.INSIDE),
    (BandPlace.ABOVE, BandPlace.BELOW),
}


@pytest.mark.parametrize("before", BandPlace)
@pytest.mark.parametrize("after", BandPlace)
def test_only_edges_of_the_band_are_news(before: BandPlace, after: BandPlace) -> None:
    assert has_crossed(before, after) is ((before, after) in NEWS)

"""What hedging tells people."""

from decimal import Decimal

from hedging.models import HedgeExecution
from hedging.services import telling
from tests.hedging.test_decision import decided, exposure

DELTA = "-0.00737133564196420839831247122"


def test_a_breach_is_told_to_the_satoshi_and_its_payload_keeps_every_digit() -> None:
    execution = HedgeExecution(book="live:beta", symbol="ETH", delta_before=Decimal(DELTA))
    told = telling._breach(execution, decided(exposure(DELTA)))
    assert told.message == "live:beta is out of its threshold in ETH: -0.00737134 BTC."
    assert told.payload["deltaBase"] == DELTA

"""Orders that go out together: claimed and settled in sets, each still judged by itself."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import DataError
from django.test.utils import CaptureQueriesContext

from accounts import egress
from controlplane.base.rows import rows_set
from controlplane.kernel.errors import Conflict
from markets.venues.errors import OutcomeUnknown
from markets.venues.types import OrderReport, OrderStatus, SubmitOrder
from monitoring.models import MonitoringEvent
from strategies import claims, execution, services
from strategies.domain.intent import IntentEvent
from strategies.models import OrderIntent, RiskLimit
from strategies.services import Move
from tests.strategies.conftest import Stage, stage

D = Decimal
pytestmark = pytest.mark.django_db


class Venue:
    """Answers every order as the test says, and keeps what it was sent."""

    def __init__(self, act: Callable[[SubmitOrder], OrderReport]) -> None:
        self.sent: list[SubmitOrder] = []
        self._act = act

    async def submit(self, command: SubmitOrder) -> OrderReport:
        self.sent.append(command)
        return self._act(command)


def filled(command: SubmitOrder, **changes: Any) -> OrderReport:
    values: dict[str, Any] = {
        "venue_symbol": command.venue_symbol,
        "venue_order_id": f"v-{command.client_order_id}",
        "client_order_id": command.client_order_id,
        "side": command.side,
        "status": OrderStatus.FILLED,
        "amount": command.amount,
        "filled": command.amount,
        "price": command.price,
        "average_price": D(60_000),
        "reduce_only": command.reduce_only,
        "at": datetime.now(UTC),
    }
    return OrderReport(**{**values, **changes})


@pytest.fixture
def still() -> Stage:
    return stage()


def closing(still: Stage, count: int) -> list[OrderIntent]:
    return [still.wish(side="sell", reduce_only=True, amount=D(n + 1) / 100) for n in range(count)]


def places(intents: list[OrderIntent]) -> list[tuple[str, str]]:
    fresh = {it.pk: it for it in OrderIntent.objects.filter(pk__in=[it.pk for it in intents])}
    return [(fresh[it.pk].state, fresh[it.pk].submission) for it in intents]


def test_orders_that_add_are_judged_beside_those_claimed_before_them(still: Stage) -> None:
    RiskLimit.objects.create(scope="firm", max_gross_value=D(1_500))
    a, b, c = (still.wish(amount=D(amount)) for amount in ("0.01", "0.02", "0.015"))
    won = claims.intents_claim([a, b, c], actor=still.actor)
    assert [it.pk for it in won] == [a.pk, c.pk]
    b.refresh_from_db()
    assert b.reason == "GROSS_EXCEEDS_MAXIMUM: scope=firm, value=1800, maximum=1500"


def test_of_two_alike_that_are_claimed_together_one_is_a_duplicate(still: Stage) -> None:
    a, b = still.wish(), still.wish()
    won = claims.intents_claim([a, b], actor=still.actor)
    assert [it.pk for it in won] == [a.pk]
    b.refresh_from_db()
    assert b.reason == f"DUPLICATE_ORDER: intent={a.pk}"


def test_a_claim_is_won_once_and_signed_when_it_is_won(still: Stage) -> None:
    wishes = closing(still, 3)
    before = datetime.now(UTC)
    won = claims.intents_claim(wishes, actor=still.actor)
    assert [it.pk for it in won] == [it.pk for it in wishes]
    assert claims.intents_claim(wishes, actor=still.actor) == []
    for intent in OrderIntent.objects.all():
        assert (intent.claim_fence, bool(intent.claimed_by)) == (1, True)
        assert intent.signed_at is not None
        assert intent.expires_at is not None
        assert before <= intent.signed_at < intent.expires_at


def test_an_answer_that_is_not_believed_is_the_matter_of_its_order_alone(
    still: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = closing(still, 4)
    ids = [it.client_order_id for it in wishes]

    def answer(command: SubmitOrder) -> OrderReport:
        if command.client_order_id == ids[1]:
            return filled(command, client_order_id="another")
        if command.client_order_id == ids[2]:
            raise OutcomeUnknown("cut off")
        return filled(command)

    venue = Venue(answer)
    monkeypatch.setattr(egress, "execution_client", lambda account, **_: venue)
    ended = execution.intents_submit(intents=wishes, actor=still.actor)
    assert {it.pk for it in ended} == {it.pk for it in wishes}
    assert len(venue.sent) == 4
    done, lost = ("filled", "acknowledged"), ("submitted", "unknown")
    assert places(wishes) == [done, lost, lost, done]


def test_a_wave_takes_as_many_queries_as_one_order(
    still: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "execution_client", lambda account, **_: Venue(filled))

    def queries(count: int) -> int:
        wishes = closing(still, count)
        with CaptureQueriesContext(connection) as captured:
            execution.intents_submit(intents=wishes, actor=still.actor)
        assert set(places(wishes)) == {("filled", "acknowledged")}
        return len(captured)

    assert queries(1) == queries(25) <= 17


def test_every_move_of_a_set_is_told(still: Stage) -> None:
    wishes = closing(still, 2)
    claims.intents_claim(wishes, actor=still.actor)
    told = MonitoringEvent.objects.filter(payload__event="claim").values_list(
        "payload__intentId", "payload__submission"
    )
    assert sorted(told) == sorted((str(it.pk), "sending") for it in wishes)


def test_a_set_moves_whole_or_not_at_all(still: Stage) -> None:
    a, b = closing(still, 2)
    with transaction.atomic():
        locked = services.intents_locked([a.pk, b.pk])
    services.intent_withdraw(intent=b, reason="meanwhile", actor=still.actor)
    moves = [Move(intent, IntentEvent.WITHDRAW) for intent in locked.values()]
    with pytest.raises(Conflict), transaction.atomic():
        services.intents_move(moves, actor=still.actor)
    assert places([a, b]) == [("pending", "none"), ("cancelled", "none")]


def test_what_is_too_long_is_refused_and_not_cut(still: Stage) -> None:
    (wish,) = closing(still, 1)
    with pytest.raises(DataError), transaction.atomic():
        rows_set([(wish, {"venue_order_id": "9" * 65})], standing=["state"])


def test_what_was_sent_is_settled_though_the_next_share_cannot_be_claimed(
    still: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue, wishes = Venue(filled), closing(still, 2)
    claim = claims.intents_claim
    claimed: list[int] = []

    def once(intents: Sequence[OrderIntent], **terms: Any) -> list[OrderIntent]:
        if claimed:
            raise RuntimeError("no claim")
        claimed.append(1)
        return claim(intents, **terms)

    monkeypatch.setattr(egress, "execution_client", lambda account, **_: venue)
    monkeypatch.setattr(claims, "intents_claim", once)
    with pytest.raises(RuntimeError, match="no claim"):
        execution.shares_submit(
            shares=[[it] for it in wishes], actor=still.actor, answered=lambda _share: None
        )
    assert places(wishes) == [("filled", "acknowledged"), ("pending", "none")]
    assert len(venue.sent) == 1


def test_what_was_answered_is_recorded_though_whoever_is_told_of_it_breaks(
    still: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = closing(still, 2)

    def breaks(share: Sequence[OrderIntent]) -> None:
        raise RuntimeError(f"told of {len(share)}")

    monkeypatch.setattr(egress, "execution_client", lambda account, **_: Venue(filled))
    with pytest.raises(RuntimeError, match="told of 1"):
        execution.shares_submit(shares=[[it] for it in wishes], actor=still.actor, answered=breaks)
    assert places(wishes) == [("filled", "acknowledged"), ("filled", "acknowledged")]

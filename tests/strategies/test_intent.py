"""The whole product of the intent's table, in code and in the database."""

from itertools import product
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from controlplane.kernel.errors import IllegalMove
from controlplane.kernel.ids import client_order_id, intent_id_of
from strategies.domain.intent import (
    INTENT_TABLE,
    PENDING,
    PLACES,
    TERMINAL_STATES,
    IntentEvent,
    IntentState,
    Place,
    Submission,
    advance,
)
from strategies.models import OrderIntent
from tests import factories

EVERY_PLACE = [Place(state, submission) for state, submission in product(IntentState, Submission)]


@pytest.mark.parametrize(("place", "event"), list(product(EVERY_PLACE, IntentEvent)))
def test_every_move_is_in_the_table_or_refused(place: Place, event: IntentEvent) -> None:
    if (place, event) in INTENT_TABLE:
        assert advance(place, event) == INTENT_TABLE[place, event]
    else:
        with pytest.raises(IllegalMove):
            advance(place, event)


def test_sending_is_entered_once_and_never_again() -> None:
    entries = [old for (old, _event), new in INTENT_TABLE.items() if new.submission == "sending"]
    assert entries == [PENDING]


def test_a_terminal_state_takes_nothing_but_fills() -> None:
    for (old, event), new in INTENT_TABLE.items():
        if old.state in TERMINAL_STATES:
            assert event in (IntentEvent.FILL, IntentEvent.COMPLETE)
            assert new.state in TERMINAL_STATES


def _way_to(place: Place) -> list[Place]:
    """Return the places from pending to `place`, by the shortest way."""
    ways: dict[Place, list[Place]] = {PENDING: []}
    queue = [PENDING]
    while queue:
        here = queue.pop(0)
        for (old, _event), new in INTENT_TABLE.items():
            if old == here and new not in ways:
                ways[new] = [*ways[here], new]
                queue.append(new)
    return ways[place]


def _put(intent: OrderIntent, place: Place) -> None:
    OrderIntent.objects.filter(pk=intent.pk).update(
        state=str(place.state), submission=str(place.submission)
    )


@pytest.mark.django_db
def test_the_trigger_has_exactly_the_tables_moves() -> None:
    allowed = {(old, new) for (old, _event), new in INTENT_TABLE.items()}
    for old in PLACES:
        intent = factories.intent()
        for step in _way_to(old):
            _put(intent, step)
        for new in EVERY_PLACE:
            passed = True
            try:
                with transaction.atomic():
                    _put(intent, new)
                    transaction.set_rollback(True)
            except IntegrityError:
                passed = False
            assert passed is (old == new or (old, new) in allowed), f"{old} → {new}"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount", "5"),
        ("side", "sell"),
        ("sandbox", True),
        ("client_order_id", "another"),
        ("reduce_only", True),
    ],
)
def test_what_was_asked_for_cannot_change(column: str, value: Any) -> None:
    intent = factories.intent()
    with pytest.raises(IntegrityError), transaction.atomic():
        OrderIntent.objects.filter(pk=intent.pk).update(**{column: value})
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column}::text FROM strategies_orderintent")  # noqa: S608
        assert cursor.fetchone()[0] != str(value).lower()


@pytest.mark.django_db
def test_client_order_id_follows_from_the_intent_one_to_one() -> None:
    intent = factories.intent()
    assert intent.client_order_id == client_order_id(intent.pk)
    assert intent_id_of(intent.client_order_id) == intent.pk

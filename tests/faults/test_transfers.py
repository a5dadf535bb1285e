"""C06 and issue 4.3 · Transfers: read from the venue's history, booked once, and no break."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from accounts.models import AccountState, Transfer
from accounts.selectors import transfers_since
from hedging.models import ReconciliationBreak
from hedging.services.balances import _read_at
from markets.venues.capabilities import EVERYTHING
from markets.venues.paper.faults import Fault, FaultKind, Topic
from monitoring.models import MonitoringEvent
from tests.faults.conftest import Stage
from tests.faults.test_balances import breaks, cash, look, transfer, unsaid

D = Decimal
INCOME = "/fapi/v1/income"


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a difference be certain at the second look, however soon that is."""
    monkeypatch.setattr("hedging.domain.money.STEADY", timedelta(0))
    monkeypatch.setattr("hedging.domain.money.STEADY_AMONG_TRADES", timedelta(0))
    monkeypatch.setattr("accounts.selectors.DOUBTED_FOR", timedelta(0))


@pytest.fixture(name="stage")
def begun(stage: Stage) -> Stage:
    look(stage)
    assert cash().cash_agreed_at is not None
    return stage


def events(code: str) -> list[MonitoringEvent]:
    return list(MonitoringEvent.objects.filter(payload__code=code).order_by("pk"))


def look_until(stage: Stage, done: Callable[[], bool]) -> None:
    """Look again until it is so: a history is asked after pauses that grow."""
    end = timezone.now() + timedelta(seconds=30)
    while not done():
        assert timezone.now() < end
        look(stage)
        time.sleep(0.1)  # a look takes weight of the venue's limit


@pytest.mark.parametrize("amount", ["500.25", "-500.25"])
def test_c06_a_transfer_is_booked_once_as_external_and_leaves_no_break(
    stage: Stage, amount: str
) -> None:
    transfer(stage, amount)
    assert stage.submit(stage.wish()) == ("filled", "acknowledged")
    look_until(stage, lambda: Transfer.objects.exists())
    look(stage, 2)
    (booked,) = Transfer.objects.all()
    assert (booked.kind, booked.amount, booked.asset) == ("TRANSFER", D(amount), "USDT")
    state = cash()
    assert (state.cash_unexplained, state.cash_unexplained_at) == (0, None)
    assert not ReconciliationBreak.objects.exists()
    (told,) = events("external_transfer")
    assert [it["amount"] for it in told.payload["transfers"]] == [amount]
    asked = stage.requests("GET", "income")
    long_ago = timezone.now() - timedelta(hours=1)
    AccountState.objects.update(
        transfers_at=long_ago, transfers_tried_at=long_ago, transfers_begun_at=long_ago
    )
    look(stage)  # read anew, overlapping what is known
    assert stage.requests("GET", "income") == asked + 1
    assert Transfer.objects.count() == len(events("external_transfer")) == 1
    assert not ReconciliationBreak.objects.exists()
    with pytest.raises(DatabaseError), transaction.atomic():
        Transfer.objects.update(amount=1)


def test_c06_a_transfer_told_late_settles_its_break(stage: Stage) -> None:
    lag = Fault(FaultKind.QUERY_LAG, topic=Topic.INCOME, lag_seconds=D(3600))
    stage.paper.do(lambda: stage.paper.server.faults.add(lag))
    transfer(stage, "500")
    look_until(stage, lambda: bool(breaks("balance-mismatch")))
    assert not Transfer.objects.exists()
    stage.mend()
    look_until(stage, lambda: not breaks("balance-mismatch"))
    assert [it.amount for it in Transfer.objects.all()] == [500]
    assert len(breaks("balance-mismatch", "resolved")) == 1
    assert cash().cash_unexplained == 0


def test_c06_of_what_a_transfer_explains_in_part_the_rest_is_a_break(stage: Stage) -> None:
    transfer(stage, "500")
    unsaid(stage, "-3")
    look_until(stage, lambda: bool(breaks("balance-mismatch")))
    (found,) = breaks("balance-mismatch")
    assert found.details == {"unexplained": "-3", "asset": "USDT", "origin": "unexplained"}


def test_c06_a_bad_line_is_quarantined_and_what_it_hides_stays_a_break(stage: Stage) -> None:
    stage.fault(
        FaultKind.POISON, "GET", INCOME, find=b'"income":"7', put=b'"income":"NaN7', times=1000
    )
    transfer(stage, "7")
    transfer(stage, "500")
    look_until(stage, lambda: bool(breaks("balance-mismatch")))
    assert [it.amount for it in Transfer.objects.all()] == [500]
    assert breaks("balance-mismatch")[0].details["unexplained"] == "7"
    assert {it.payload["reason"] for it in events("line_quarantined")} == {"bad-number"}


def test_a_history_that_cannot_be_read_is_no_break_and_not_asked_at_every_look(
    stage: Stage,
) -> None:
    stage.fault(
        FaultKind.ANSWER, "GET", INCOME, status=400, body=b'{"code":-1102,"msg":"no"}', times=1000
    )
    asked = stage.requests("GET", "income")
    transfer(stage, "500")
    for _ in range(4):
        assert stage.sync() in {"partial", "success"}
    assert not breaks("balance-mismatch")
    assert cash().cash_unexplained == 500
    funding = 1
    assert stage.requests("GET", "income") - asked <= funding + 1


AT = timezone.now().replace(microsecond=0)


def ago(**span: float) -> datetime:
    return AT - timedelta(**span)


@pytest.mark.parametrize(
    ("fields", "since"),
    [
        ({"transfers_at": None, "base_cash_at": None}, ago(hours=1)),
        ({"transfers_at": None, "base_cash_at": ago(seconds=90)}, ago(seconds=90)),
        ({"transfers_at": ago(minutes=29)}, None),
        ({"transfers_at": ago(minutes=30)}, ago(minutes=40)),
        # Doubted since 12 s, and asked before that
        ({"transfers_at": ago(seconds=20), "cash_unexplained_at": ago(seconds=11)}, None),
        (
            {"transfers_at": ago(seconds=20), "cash_unexplained_at": ago(seconds=12)},
            ago(minutes=10, seconds=20),
        ),
        # Asked 60 s after it was doubted: again after another 60
        ({"transfers_at": ago(seconds=59), "cash_unexplained_at": ago(seconds=119)}, None),
        (
            {"transfers_at": ago(seconds=60), "cash_unexplained_at": ago(seconds=120)},
            ago(minutes=11),
        ),
        # Asked for in vain
        ({"transfers_at": ago(hours=9), "transfers_tried_at": ago(seconds=299)}, None),
        (
            {"transfers_at": ago(hours=9), "transfers_tried_at": ago(seconds=300)},
            ago(hours=9, minutes=10),
        ),
        ({"transfers_at": None, "transfers_tried_at": ago(seconds=9)}, None),
        # A slice of it has been read
        (
            {
                "transfers_at": ago(hours=9),
                "transfers_begun_at": ago(minutes=3),
                "transfers_tried_at": ago(seconds=59),
                "transfers_cursor": "7",
            },
            None,
        ),
        (
            {
                "transfers_at": ago(minutes=9),
                "transfers_begun_at": ago(minutes=3),
                "transfers_tried_at": ago(seconds=60),
                "transfers_cursor": "7",
            },
            ago(minutes=19),
        ),
        # Its last one has
        (
            {
                "transfers_at": ago(minutes=3),
                "transfers_begun_at": ago(minutes=3),
                "transfers_tried_at": ago(seconds=60),
            },
            None,
        ),
    ],
)
def test_transfers_are_read_seldom_and_sooner_when_money_does_not_add_up(
    bare: Stage, fields: dict[str, datetime | None], since: datetime | None
) -> None:
    state = AccountState(account=bare.account, **{"cash_agreed_at": AT, **fields})
    with pytest.MonkeyPatch.context() as real:
        real.setattr("accounts.selectors.DOUBTED_FOR", timedelta(seconds=12))
        found = transfers_since(bare.account, state, now=AT, thorough=False, with_funding=True)
    assert found == since


@pytest.mark.parametrize(
    ("age", "since"),
    [(299, None), (300, ago(minutes=15)), (1799, ago(minutes=10, seconds=1799))],
)
def test_after_an_interruption_transfers_are_read_once_in_five_minutes(
    bare: Stage, age: int, since: datetime | None
) -> None:
    """Several starts in a row must leave the venue's credits for orders and trades."""
    state = AccountState(account=bare.account, cash_agreed_at=AT, transfers_at=ago(seconds=age))

    def due(*, thorough: bool) -> datetime | None:
        return transfers_since(bare.account, state, now=AT, thorough=thorough, with_funding=True)

    assert due(thorough=True) == since
    assert due(thorough=False) is None


def test_what_was_read_of_money_reaches_as_far_as_the_older_of_both_histories() -> None:
    def read(funding: datetime | None, transfers: datetime | None) -> datetime | None:
        return _read_at(AccountState(funding_at=funding, transfers_at=transfers), EVERYTHING)

    assert (read(AT, ago(hours=1)), read(ago(hours=2), AT)) == (ago(hours=1), ago(hours=2))
    assert (read(AT, None), read(None, AT)) == (None, None)
    untold = replace(EVERYTHING, transfer_history=False)
    assert _read_at(AccountState(funding_at=AT, transfers_at=None), untold) == AT

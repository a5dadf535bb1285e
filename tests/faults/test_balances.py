"""D08 and issue 4.3 · Money: wallets against the record, funding against its model."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from accounts.models import AccountState, ExchangeAccount
from controlplane.base.audit import Actor, Surface
from hedging.models import ReconciliationBreak
from hedging.services import break_accept
from markets.domain.funding import settlement_time
from markets.models import FundingRate
from markets.venues.paper.faults import Fault, FaultKind
from tests.faults.conftest import Stage

D = Decimal
RATE = D("0.0003")


def breaks(kind: str, status: str = "open") -> list[ReconciliationBreak]:
    return list(ReconciliationBreak.objects.filter(kind=kind, status=status))


def cash() -> AccountState:
    return AccountState.objects.get()


def transfer(stage: Stage, amount: str) -> None:
    moved = Fault(FaultKind.TRANSFER, account="alpha", amount=D(amount))
    stage.paper.do(lambda: stage.paper.server.faults.add(moved))


def unsaid(stage: Stage, amount: str) -> None:
    """Change the wallet by what no history of the venue tells."""
    account = stage.paper.server.core.engine.accounts["alpha"]
    stage.paper.do(lambda: setattr(account, "wallet", account.wallet + D(amount)))


def look(stage: Stage, times: int = 1) -> None:
    for _ in range(times):
        assert stage.sync() == "success"


@pytest.fixture(name="stage")
def begun(stage: Stage) -> Stage:
    """A second look has agreed with the first."""
    look(stage)
    assert cash().cash_agreed_at is not None
    return stage


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a difference be certain at the second look, however soon that is."""
    monkeypatch.setattr("hedging.domain.money.STEADY", timedelta(0))
    monkeypatch.setattr("hedging.domain.money.STEADY_AMONG_TRADES", timedelta(0))
    monkeypatch.setattr("accounts.selectors.DOUBTED_FOR", timedelta(0))


def test_what_one_look_says_is_no_beginning(bare: Stage) -> None:
    """A trade between the answers of a look would make it wrong for ever."""
    look(bare)
    unsaid(bare, "500")
    look(bare)
    assert (cash().cash_agreed_at, cash().cash_unexplained) == (None, 0)
    look(bare, 3)
    assert cash().cash_agreed_at is not None
    assert not breaks("balance-mismatch")
    unsaid(bare, "500")
    look(bare, 3)
    assert len(breaks("balance-mismatch")) == 1


def test_trades_fees_and_funding_explain_a_wallet_to_the_cent(stage: Stage) -> None:
    engine, core = stage.paper.server.core.engine, stage.paper.server.core
    before = cash().base_cash
    assert before is not None
    for side, amount, reduce_only in (
        ("buy", "0.1", False), ("sell", "0.3", False), ("sell", "0.8", False), ("buy", "0.2", True),
    ):  # fmt: skip
        placed = stage.submit(stage.wish(side=side, amount=D(amount), reduce_only=reduce_only))
        assert placed == ("filled", "acknowledged")
    market = engine.markets["BTCUSDT"]
    market.funding_rate = RATE
    stage.paper.do(lambda: core.funding.settle("BTCUSDT", next_ns=market.next_funding_ns))
    look(stage)  # the payment is not read yet: a difference, and word to read it
    assert cash().cash_unexplained != 0
    look(stage)
    state = cash()
    assert (state.cash_unexplained, state.cash_unexplained_at) == (0, None)
    assert not ReconciliationBreak.objects.exists()


@pytest.mark.parametrize("amount", ["500", "-500"])
def test_money_that_no_history_explains_is_a_break_shown_once(stage: Stage, amount: str) -> None:
    unsaid(stage, amount)
    look(stage)
    assert not breaks("balance-mismatch")  # one look: not certain
    look(stage, 3)
    (found,) = breaks("balance-mismatch")
    assert (found.subject, found.details) == (
        "USDT", {"unexplained": amount, "asset": "USDT", "origin": "unexplained"},
    )  # fmt: skip
    assert stage.submit(stage.wish()) == ("filled", "acknowledged")  # nobody is stopped by it
    ann = User.objects.create_superuser("ann")
    actor = Actor(name="ann", surface=Surface.ADMIN, user_id=ann.pk)
    break_accept(reconciliation_break=found, actor=actor, reason="known at the venue")
    assert cash().base_cash is None
    look(stage)
    assert cash().base_cash is None  # begun anew only from a look that reads funding too
    look(stage, 3)
    assert (breaks("balance-mismatch"), cash().cash_unexplained) == ([], 0)
    unsaid(stage, "7")
    look(stage, 3)
    assert [it.details["unexplained"] for it in breaks("balance-mismatch")] == ["7"]


def test_money_that_comes_back_settles_the_difference(stage: Stage) -> None:
    unsaid(stage, "-500")
    look(stage, 2)
    assert len(breaks("balance-mismatch")) == 1
    unsaid(stage, "500")
    look(stage)
    assert not breaks("balance-mismatch")
    assert len(breaks("balance-mismatch", "resolved")) == 1


def test_differences_too_small_to_tell_add_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedging.services.balances.SETTLED", timedelta(0))
    for _ in range(2):
        unsaid(stage, "0.06")  # half a Bitcoin at a tick of 0.1: 0.11 may be rounding
        look(stage, 2)
    (found,) = breaks("balance-mismatch")
    assert found.details["unexplained"] == "0.12"


def test_a_position_of_unknown_cost_compares_nothing(stage: Stage) -> None:
    held = stage.paper.server.core.engine.accounts["alpha"].positions["BTCUSDT"]
    stage.paper.do(lambda: setattr(held, "entry", D(0)))
    unsaid(stage, "500")
    look(stage, 3)
    assert not breaks("balance-mismatch")


@pytest.fixture
def settle(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Settle funding now, and have the venue's history told: the rate paid and the mark."""
    monkeypatch.setattr("hedging.services.balances.BOOKED", timedelta(0))
    long_ago = timezone.now() - timedelta(days=1)
    ExchangeAccount.objects.update(created_at=long_ago)
    core = stage.paper.server.core
    market = core.engine.markets["BTCUSDT"]

    def go() -> None:
        market.funding_rate = RATE
        FundingRate.objects.create(
            instrument=stage.instrument,
            rate=RATE,
            mark_price=market.mark,
            funding_time=settlement_time(timezone.now()),
            interval_hours=8,
            observed_at=timezone.now(),
            is_settled=True,
        )
        stage.paper.do(lambda: core.funding.settle("BTCUSDT", next_ns=market.next_funding_ns))

    return go


def read_funding(stage: Stage) -> None:
    earlier = timezone.now() - timedelta(minutes=6)
    AccountState.objects.update(funding_at=earlier, funding_begun_at=earlier)
    look(stage)


@pytest.mark.parametrize(
    ("kind", "off"),
    [
        (FaultKind.FUNDING_FLIP, "6"),
        (FaultKind.FUNDING_TWICE, "-3"),
        (FaultKind.FUNDING_MISSED, "3"),
        (None, None),
    ],
)
def test_d08_a_payment_off_its_model_by_more_than_a_basis_point_is_a_break(
    stage: Stage, settle: Callable[[], None], kind: FaultKind | None, off: str | None
) -> None:
    if kind is not None:
        fault = Fault(kind)
        stage.paper.do(lambda: stage.paper.server.faults.add(fault))
    settle()
    read_funding(stage)
    read_funding(stage)
    found = breaks("funding-mismatch")
    assert [it.details["offBp"] for it in found] == ([] if off is None else [off])
    assert [it.details["size"] for it in found] == ([] if off is None else ["0.5"])


def test_d08_a_late_payment_settles_its_break_and_trades_since_change_nothing(
    stage: Stage, settle: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Fault(FaultKind.FUNDING_LATE, delay_ms=1)
    stage.paper.do(lambda: stage.paper.server.faults.add(late))
    settle()
    read_funding(stage)
    assert len(breaks("funding-mismatch")) == 1
    with monkeypatch.context() as later:  # too long ago to be compared: it stays as it was found
        later.setattr("hedging.services.balances.LOOKED_BACK", timedelta(0))
        read_funding(stage)
        assert len(breaks("funding-mismatch")) == 1
    stage.paper.do(stage.paper.server.core.funding.book_late)
    read_funding(stage)
    assert not breaks("funding-mismatch")
    # What is traded right around a settlement is the venue's to judge; later it is taken off.
    assert stage.submit(stage.wish(amount=D("0.4"))) == ("filled", "acknowledged")
    monkeypatch.setattr("hedging.services.balances.UNCLEAR_AROUND", timedelta(0))
    read_funding(stage)
    assert not breaks("funding-mismatch")

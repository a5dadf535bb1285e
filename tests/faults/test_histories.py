"""Issue 4.3 · Long histories of money are read in slices, and failing ones not at every look."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import Sum
from django.utils import timezone

from accounts.models import AccountState, AccountSyncJob, FundingPayment, Transfer
from accounts.reading import FUNDING, HistoryAsked
from accounts.selectors import funding_since, history_asked
from controlplane.background import Background
from controlplane.watchfulness import Reconciliations
from hedging.models import ReconciliationBreak
from markets.venues.paper.faults import FaultKind
from monitoring.models import MonitoringEvent
from tests.faults.conftest import ACTOR, Stage
from tests.faults.test_balances import cash

D = Decimal
INCOME = "/fapi/v1/income"
REFUSED = b'{"code":-1102,"msg":"no"}'
AT = timezone.now().replace(microsecond=0)


def ago(**span: float) -> datetime:
    return AT - timedelta(**span)


@pytest.fixture
def sliced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slice be of seven rows, and the next one follow at the next look."""
    monkeypatch.setattr("markets.venues.fapi.client.PAGE", 7)
    monkeypatch.setattr("markets.venues.fapi.client.SLICE_PAGES", 1)
    monkeypatch.setattr("accounts.selectors.GOES_ON_AFTER", timedelta(0))


def booked(stage: Stage, *, count: int) -> None:
    """Have the venue book as many transfers and settlements, over the last minutes."""
    engine = stage.paper.server.core.engine
    now_ns = stage.paper.server.core.now_ns()

    def book() -> None:
        alpha = engine.accounts["alpha"]
        for n in range(1, count + 1):
            at_ns = now_ns - (count + 1 - n) * 1_000_000_000
            engine.transfer(alpha, D(n) / 4, now_ns=at_ns)
            engine.settle_funding("BTCUSDT", now_ns=at_ns, next_ns=now_ns * 2)

    stage.paper.do(book)


def problem() -> str | None:
    return AccountState.objects.get().last_error_code


def total(model: type[Transfer] | type[FundingPayment]) -> Decimal:
    found: Decimal = model.objects.aggregate(sum=Sum("amount"))["sum"]
    return found


def paid(stage: Stage, kind: str) -> Decimal:
    """Return what the venue's own books say was booked of a kind."""
    income = stage.paper.server.core.engine.accounts["alpha"].income
    return sum((it.amount for it in income if it.kind == kind), D(0))


def test_a_history_longer_than_a_slice_is_booked_in_slices_and_is_whole_only_then(
    bare: Stage, sliced: None
) -> None:
    booked(bare, count=12)
    statuses, reached = [], []
    for _ in range(12):
        statuses.append(bare.sync())
        state = AccountState.objects.get()
        reached.append((Transfer.objects.count(), FundingPayment.objects.count()))
        if statuses[-1] == "success":
            break
        assert problem() == "history_unread"
        assert "not read whole yet" in state.last_error
        assert state.base_cash is None
        assert None in (state.funding_at, state.transfers_at)
    assert statuses == ["partial"] * (len(statuses) - 1) + ["success"]
    assert len(statuses) > 3
    assert reached == sorted(reached)
    assert reached[-1] == (12, 12)
    assert total(Transfer) == paid(bare, "TRANSFER") == D(12 * 13) / 8
    assert total(FundingPayment) == paid(bare, "FUNDING_FEE")
    assert problem() is None
    state = AccountState.objects.get()
    assert (state.funding_cursor, state.transfers_cursor) == ("", "")
    begun = AccountSyncJob.objects.order_by("pk").values_list("started_at", flat=True)[0]
    for read_at, begun_at, tried_at in (
        (state.funding_at, state.funding_begun_at, state.funding_tried_at),
        (state.transfers_at, state.transfers_begun_at, state.transfers_tried_at),
    ):
        assert read_at is not None
        assert tried_at is not None
        assert read_at == begun_at
        assert begun <= read_at < tried_at
    assert not ReconciliationBreak.objects.exists()
    assert MonitoringEvent.objects.filter(payload__code="external_transfer").count() == 0


def test_money_is_compared_from_a_look_that_alone_read_all_of_it(
    bare: Stage, sliced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    booked(bare, count=4)
    assert [bare.sync() for _ in range(2)] == ["partial", "success"]
    assert cash().base_cash is None
    monkeypatch.setattr("markets.venues.fapi.client.PAGE", 1000)
    earlier = timezone.now() - timedelta(minutes=6)
    AccountState.objects.update(funding_at=earlier, funding_begun_at=earlier)
    assert [bare.sync() for _ in range(2)] == ["success"] * 2
    state = cash()
    assert state.cash_agreed_at is not None
    assert state.cash_unexplained == 0
    assert not ReconciliationBreak.objects.exists()


def test_funding_that_cannot_be_read_is_asked_for_once_a_minute(
    stage: Stage, watch: Callable[[], int]
) -> None:
    stage.sync()
    earlier = timezone.now() - timedelta(minutes=6)
    AccountState.objects.update(funding_at=earlier, funding_begun_at=earlier)
    asked = stage.requests("GET", "income")
    stage.fault(FaultKind.ANSWER, "GET", INCOME, status=400, body=REFUSED, times=1000)
    for _ in range(3):
        assert stage.sync() == "partial"
        assert problem() == "history_unread"
    assert stage.requests("GET", "income") - asked == 1
    assert watch() == 0  # a history alone is no venue that is away
    told = MonitoringEvent.objects.filter(type="account", message__contains="read in full")
    assert [event.severity for event in told] == ["WARN"]
    stage.mend()
    AccountState.objects.update(funding_tried_at=timezone.now() - timedelta(minutes=1))
    assert stage.sync() == "success"
    assert problem() is None
    assert [event.severity for event in told.order_by("created_at")] == ["WARN", "INFO"]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Watch as the sentinel does; return how many looks are begun."""
    monkeypatch.setattr("controlplane.watchfulness.NOT_AGAIN_WITHIN", timedelta(0))
    return Reconciliations(ACTOR, Background()).watch


@pytest.mark.parametrize(
    ("fields", "since"),
    [
        ({"funding_at": None}, ago(days=7)),
        ({"funding_at": None, "funding_tried_at": ago(seconds=59)}, None),
        ({"funding_at": None, "funding_tried_at": ago(seconds=60)}, ago(days=7)),
        ({"funding_at": ago(minutes=4)}, None),
        ({"funding_at": ago(minutes=5)}, ago(minutes=65)),
        ({"funding_at": ago(minutes=9), "funding_tried_at": ago(seconds=59)}, None),
        ({"funding_at": ago(minutes=9), "funding_tried_at": ago(seconds=60)}, ago(minutes=69)),
        # Tried in vain when it was doubted: that is no reason to ask at every look
        ({"funding_at": ago(seconds=90), "funding_tried_at": ago(seconds=59)}, None),
    ],
)
def test_when_funding_is_read(
    bare: Stage, fields: dict[str, datetime | None], since: datetime | None
) -> None:
    state = AccountState(account=bare.account, **{"cash_unexplained_at": None, **fields})
    assert funding_since(bare.account, state, now=AT, thorough=False) == since


def test_a_history_goes_on_from_its_cursor_until_that_is_old() -> None:
    def asked(**fields: object) -> HistoryAsked | None:
        state = AccountState(**{"funding_cursor": "7", **fields})
        return history_asked(state, FUNDING, since=ago(days=7), now=AT)

    begun = ago(hours=5)
    assert asked(funding_begun_at=begun) == HistoryAsked(ago(days=7), "7", begun)
    assert asked(funding_begun_at=ago(hours=6)) == HistoryAsked(ago(days=7))
    assert asked(funding_begun_at=begun, funding_cursor="") == HistoryAsked(ago(days=7))

"""A sync tells what the venue tells, and only that."""

from decimal import Decimal

from accounts.choices import SyncStatus
from accounts.models import AccountState, EquitySample, Position
from accounts.observations import AccountMoved, Observation, OrdersSeen
from accounts.services import account_sync
from controlplane.base.audit import Actor, Surface
from tests.accounts.paper import Paper

ACTOR = Actor(name="test", surface=Surface.COMMAND)


def test_sync_equals_the_venues_own_books(paper: Paper, seen: list[Observation]) -> None:
    account = paper.account("alpha")
    job = account_sync(account=account, actor=ACTOR)
    assert job is not None
    assert (job.status, job.error) == (SyncStatus.SUCCESS, "")
    engine = paper.server.engine
    held = {
        row.instrument.venue_symbol: row.size
        for row in Position.objects.filter(account=account).select_related("instrument")
    }
    assert held == {
        symbol: position.size for symbol, position in engine.accounts["alpha"].positions.items()
    }
    assert held == {"BTCUSDT": Decimal("0.5"), "ETHUSDT": Decimal(-2)}
    margin, state = engine.margin(engine.accounts["alpha"]), AccountState.objects.get()
    assert state.equity == margin.equity.quantize(Decimal("1e-8"))
    assert state.initial_margin == margin.initial_margin.quantize(Decimal("1e-8"))
    assert EquitySample.objects.get().equity == state.equity
    assert (job.positions_seen, job.open_orders_seen, state.open_orders) == (2, 0, 0)
    assert state.last_error == ""
    assert isinstance(seen[-1], AccountMoved)
    assert isinstance(seen[-2], OrdersSeen)

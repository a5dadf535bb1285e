"""What counts against limits: positions, orders on their way, and every scope's own."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction

from accounts.domain.risk import ScopeSums
from accounts.models import AccountState, EquitySample, Position, Transfer
from controlplane.base.audit import Actor, Surface
from markets.models import Instrument, Quote
from strategies import execution, services, tallies
from strategies.domain.intent import IntentEvent
from strategies.models import OrderIntent, RiskLimit
from strategies.moment import Moment
from tests import factories
from tests.strategies.conftest import KEY, SECRET, Stage, VenueThread, stage

D = Decimal
ACTOR = Actor(name="test", surface=Surface.JOB)


def hold(made: Stage, size: str, **fields: Any) -> Position:
    return Position.objects.create(
        **{
            "account": made.account,
            "instrument": made.instrument,
            "size": D(size),
            "observed_at": datetime.now(UTC),
            **fields,
        }
    )


def send(intent: OrderIntent, **changes: Any) -> OrderIntent:
    """Bring an intent where a claim brings it, without a venue."""
    with transaction.atomic():
        return services.intent_move(
            services.intent_locked(intent.pk),
            IntentEvent.CLAIM,
            actor=ACTOR,
            signed_at=datetime.now(UTC),
            **changes,
        )


def sums(intent: OrderIntent, **target: Any) -> ScopeSums:
    scope = next(iter(target), "firm")
    row = RiskLimit(scope=scope, **target)
    return tallies.scope_sums(row.limits(), intent, Moment(datetime.now(UTC)))


def test_each_scope_counts_its_own_positions_and_orders(still: Stage) -> None:
    hold(still, "0.5")
    other = factories.account(exchange=factories.venue())
    contract = factories.instrument(venue=other.exchange)
    hold(still, "-0.2", account=other, instrument=contract)
    send(factories.intent(account=other, instrument=contract, module=still.module))
    send(still.wish(side="sell", amount=D("0.03")))
    factories.allocation(module=still.module, account=other)
    asking = still.wish()
    own = ScopeSums(long=D(30_000), selling=D(1_800))
    theirs = ScopeSums(short=D(12_000), buying=D(600))
    everything = ScopeSums(long=D(30_000), short=D(12_000), buying=D(600), selling=D(1_800))
    assert sums(asking) == everything
    assert sums(asking, account=still.account) == own
    assert sums(asking, venue=still.account.exchange) == own
    assert sums(asking, instrument=still.instrument) == own
    assert sums(asking, venue=other.exchange) == theirs
    assert sums(asking, module=still.module) == theirs, "the accounts it may use"


def test_only_sent_orders_that_may_add_to_a_position_are_on_their_way(still: Stage) -> None:
    send(still.wish(amount=D("0.04")), filled_amount=D("0.01"))
    send(still.wish(amount=D("0.07"), side="sell", reduce_only=True))
    still.wish(amount=D("0.09"))
    asking = send(still.wish(amount=D("0.05")))
    hold(still, "0.01", observed_at=datetime.now(UTC) + timedelta(seconds=1))
    assert sums(asking) == ScopeSums(long=D(600), buying=D(1_800))
    assert sums(still.wish(sandbox=True)) == ScopeSums()


def test_a_fill_the_position_does_not_show_yet_still_counts(still: Stage) -> None:
    AccountState.objects.update(positions_at=datetime.now(UTC) - timedelta(seconds=5))
    row = hold(still, "0", observed_at=datetime.now(UTC) - timedelta(seconds=5))
    sent = send(still.wish(amount=D("0.04")))
    with transaction.atomic():
        services.intent_move(
            services.intent_locked(sent.pk), IntentEvent.FILL, actor=ACTOR, filled_amount=D("0.04")
        )
    asking = still.wish()
    assert sums(asking) == ScopeSums(buying=D(2_400))
    row.size, row.observed_at = D("0.04"), datetime.now(UTC)
    row.save()
    assert sums(asking) == ScopeSums(long=D(2_400))


def test_what_has_no_price_is_worth_what_its_venue_marks_or_unknown(still: Stage) -> None:
    ether = factories.instrument(venue=still.account.exchange, symbol="ETH")
    row = hold(still, "-2", instrument=ether, mark_price=D(2_500))
    asking = still.wish()
    assert sums(asking) == ScopeSums(short=D(5_000))
    Position.objects.filter(pk=row.pk).update(mark_price=None)
    assert sums(asking) == ScopeSums(unpriced="ETH")


def test_the_account_stands_by_todays_peak_alone(still: Stage) -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    for equity, at in ((900, now), (700, now - timedelta(hours=3)), (2_000, now - timedelta(1))):
        EquitySample.objects.create(account=still.account, equity=D(equity), at=at)
    AccountState.objects.update(equity=D(600))
    standing = tallies.account_standing(still.wish(), Moment(now))
    assert standing is not None
    assert (standing.equity, standing.peak) == (D(600), D(900))


def test_money_taken_out_today_is_no_drawdown_to_the_gate(still: Stage) -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    earlier = now - timedelta(hours=3)
    EquitySample.objects.create(account=still.account, equity=D(1_000), at=earlier)
    Transfer.objects.create(
        account=still.account, venue_transfer_id="1", kind="TRANSFER", amount=D(-600),
        asset="USDT", venue_at=now - timedelta(hours=2),
    )  # fmt: skip
    AccountState.objects.update(equity=D(390), balance_at=now, settlement_asset="USDT")
    standing = tallies.account_standing(still.wish(), Moment(now))
    assert standing is not None
    assert (standing.equity, standing.peak) == (D(390), D(400))


def test_an_account_of_unknown_equity_opens_nothing(still: Stage) -> None:
    AccountState.objects.update(equity=None)
    intent = execution.intent_submit(intent_id=still.wish().pk, actor=ACTOR)
    assert (intent.state, intent.submission, intent.reason) == ("failed", "none", "EQUITY_UNKNOWN")
    Quote.objects.all().delete()
    simulated = still.wish(sandbox=True)
    assert tallies.account_standing(simulated, Moment(datetime.now(UTC))) is None


def test_a_limit_denies_at_the_claim_and_nothing_is_sent(live: Stage, paper: VenueThread) -> None:
    RiskLimit.objects.create(scope="firm", max_gross_value=D(600))
    first = execution.intent_submit(intent_id=live.wish(amount=D("0.01")).pk, actor=ACTOR)
    second = execution.intent_submit(intent_id=live.wish(amount=D("0.002")).pk, actor=ACTOR)
    assert first.state == "filled"
    assert (second.state, second.submission) == ("failed", "none")
    assert second.reason == "GROSS_EXCEEDS_MAXIMUM: scope=firm, value=720, maximum=600"
    assert len(paper.orders()) == 1


def test_the_same_order_twice_in_a_second_is_sent_once(
    live: Stage, paper: VenueThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = execution.intent_submit(intent_id=live.wish().pk, actor=ACTOR)
    second = execution.intent_submit(intent_id=live.wish().pk, actor=ACTOR)
    assert (first.state, second.state) == ("filled", "failed")
    assert second.reason == f"DUPLICATE_ORDER: intent={first.pk}"
    assert len(paper.orders()) == 1
    monkeypatch.setattr(tallies, "TWIN_WINDOW", timedelta(0))
    assert execution.intent_submit(intent_id=live.wish().pk, actor=ACTOR).state == "filled"


def test_orders_a_minute_are_counted_by_scope(live: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    RiskLimit.objects.create(scope="module", module=live.module, max_orders_per_minute=1)
    first = execution.intent_submit(intent_id=live.wish().pk, actor=ACTOR)
    second = execution.intent_submit(intent_id=live.wish(amount=D("0.02")).pk, actor=ACTOR)
    reducing = live.wish(amount=D("0.01"), side="sell", reduce_only=True)
    assert second.reason == (
        f"ORDER_RATE_EXCEEDED: scope=module:{live.module.pk}, orders=1, maximum=1"
    )
    assert first.state == "filled"
    assert execution.intent_submit(intent_id=reducing.pk, actor=ACTOR).state == "filled"
    monkeypatch.setattr(tallies, "MINUTE", timedelta(0))
    third = execution.intent_submit(intent_id=live.wish(amount=D("0.03")).pk, actor=ACTOR)
    assert third.state == "filled"


def test_two_accounts_at_once_never_exceed_what_they_share(
    transactional_db: None, paper: VenueThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each order alone fits the firm's limit; both together do not."""
    made = stage(paper.venue.rest_url)
    twin = factories.account(exchange=made.account.exchange, api_key=KEY, api_secret=SECRET)
    AccountState.objects.filter(account=twin).update(
        positions_at=datetime.now(UTC), equity=D(1_000_000)
    )
    RiskLimit.objects.create(scope="firm", max_gross_value=D(900))
    monkeypatch.setattr(tallies, "TWIN_WINDOW", timedelta(0))
    barrier = Barrier(2)

    def submit(intent: OrderIntent) -> str:
        try:
            barrier.wait(10)
            return execution.intent_submit(intent_id=intent.pk, actor=ACTOR).state
        finally:
            connections.close_all()

    for _round in range(5):
        OrderIntent.objects.update(updated_at=datetime.now(UTC) - timedelta(hours=1))
        Position.objects.all().delete()
        pair = [made.wish(), made.wish(account=twin)]
        with ThreadPoolExecutor(2) as pool:
            states = sorted(pool.map(submit, pair))
        assert states == ["failed", "filled"]
        AccountState.objects.update(positions_at=datetime.now(UTC))


@pytest.mark.parametrize(
    "fields", [{"scope": "firm", "with": "venue"}, {"scope": "venue"}, {"scope": "planet"}]
)
def test_a_limit_has_exactly_its_scopes_target(fields: dict[str, Any], db: None) -> None:
    extra = {"venue": factories.venue()} if fields.pop("with", "") else {}
    with pytest.raises(IntegrityError), transaction.atomic():
        RiskLimit.objects.create(**fields, **extra, max_net_value=D(1))


def test_a_scope_has_one_limit(db: None) -> None:
    contract: Instrument = factories.instrument()
    for target in ({"scope": "firm"}, {"scope": "instrument", "instrument": contract}):
        RiskLimit.objects.create(**target, max_net_value=D(1))
        with pytest.raises(IntegrityError), transaction.atomic():
            RiskLimit.objects.create(**target, max_net_value=D(2))

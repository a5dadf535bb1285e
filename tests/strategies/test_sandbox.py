"""The sandbox is a venue: same port, live prices, honest about what it cannot know."""

from decimal import Decimal

import pytest

from accounts import egress, observations
from accounts.domain.risk import OrderTerms
from accounts.models import Position
from accounts.observations import FillsSeen, Observation
from markets.models import Quote
from markets.venues.errors import OutcomeUnknown, VenueRejected, VenueUnavailable
from markets.venues.types import CancelOrder, OrderStatus, OrderType, Side
from strategies import execution, sandbox
from strategies.domain.simulation import SimulatedFill, held, place, rest
from strategies.models import OrderIntent
from strategies.sandbox import SandboxClient
from tests.strategies.conftest import Stage

D = Decimal
BID, ASK = D(59_999), D(60_001)


def terms(type: str, side: str = "buy", price: str | None = None, **changes: bool) -> OrderTerms:
    return OrderTerms(
        side=Side(side),
        type=OrderType(type),
        amount=D(1),
        price=None if price is None else D(price),
        reduce_only=changes.get("reduce_only", False),
    )


@pytest.mark.parametrize(
    ("order", "status", "price"),
    [
        (terms("market"), "filled", ASK),
        (terms("market", "sell"), "filled", BID),
        (terms("ioc", price="60001"), "filled", ASK),
        (terms("ioc", price="60100"), "filled", ASK),
        (terms("ioc", price="60000"), "expired", None),
        (terms("ioc", "sell", price="59000"), "filled", BID),
        (terms("limit", price="60100"), "filled", ASK),
        (terms("limit", price="60000"), "open", None),
        (terms("post-only", price="60000"), "open", None),
        (terms("post-only", price="60001"), "rejected", None),
        (terms("post-only", "sell", price="59999"), "rejected", None),
        (terms("market", reduce_only=True), "rejected", None),
    ],
)
def test_an_order_meets_the_live_touch(
    order: OrderTerms, status: str, price: Decimal | None
) -> None:
    outcome = place(order, bid=BID, ask=ASK, position=D(0))
    assert (outcome.status, outcome.price) == (OrderStatus(status), price)


def test_reduce_only_needs_something_to_reduce() -> None:
    order = terms("market", "sell", reduce_only=True)
    assert place(order, bid=BID, ask=ASK, position=D(1)).status is OrderStatus.FILLED
    assert place(order, bid=BID, ask=ASK, position=D("0.9")).status is OrderStatus.REJECTED
    assert place(order, bid=BID, ask=ASK, position=D(-1)).status is OrderStatus.REJECTED


def test_a_resting_order_fills_at_its_own_price() -> None:
    order = terms("limit", price="60000")
    assert rest(order, bid=BID, ask=ASK).status is OrderStatus.OPEN
    reached = rest(order, bid=D(59_000), ask=D(59_500))
    assert (reached.status, reached.price) == (OrderStatus.FILLED, D(60_000))


@pytest.mark.parametrize(
    ("fills", "size", "entry"),
    [
        ([], 0, None),
        ([("buy", 1, 100)], 1, 100),
        ([("buy", 1, 100), ("buy", 3, 200)], 4, 175),
        ([("buy", 4, 100), ("sell", 1, 500)], 3, 100),
        ([("buy", 1, 100), ("sell", 1, 500)], 0, None),
        ([("buy", 1, 100), ("sell", 3, 500)], -2, 500),
        ([("sell", 2, 100), ("sell", 2, 200), ("buy", 1, 9)], -3, 150),
    ],
)
def test_a_position_is_the_sum_of_its_fills(
    fills: list[tuple[str, int, int]], size: int, entry: int | None
) -> None:
    made = [SimulatedFill(Side(side), D(amount), D(price)) for side, amount, price in fills]
    assert held(made) == (D(size), None if entry is None else D(entry))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Observation]:
    """What the sandbox tells the others."""
    told: list[Observation] = []
    monkeypatch.setattr(observations, "_handlers", [told.append])
    return told


def submit(stage: Stage, **fields: object) -> OrderIntent:
    intent = stage.wish(sandbox=True, **fields)
    return execution.intent_submit(intent_id=intent.pk, actor=stage.actor)


@pytest.mark.django_db(transaction=True)
def test_a_sandbox_order_goes_the_common_way(still: Stage, seen: list[Observation]) -> None:
    intent = submit(still)
    assert (intent.state, intent.submission) == ("filled", "acknowledged")
    assert intent.average_price == ASK
    position = Position.objects.get(account=still.account)
    assert (position.sandbox, position.size, position.entry_price) == (True, D("0.01"), ASK)
    [told] = [item for item in seen if isinstance(item, FillsSeen)]
    [fill] = told.fills
    assert told.sandbox
    assert (fill.amount, fill.price, fill.client_order_id) == (
        D("0.01"),
        ASK,
        intent.client_order_id,
    )
    assert fill.fee == D("0.01") * ASK * D("0.0005")  # the instrument's taker fee


@pytest.mark.django_db(transaction=True)
def test_booking_twice_changes_nothing(still: Stage, seen: list[Observation]) -> None:
    intent = submit(still)
    before = Position.objects.get()
    sandbox.book(intent)
    after = Position.objects.get()
    assert (after.size, after.entry_price) == (before.size, before.entry_price)
    trades = {fill.trade_id for item in seen if isinstance(item, FillsSeen) for fill in item.fills}
    assert len(trades) == 1


@pytest.mark.django_db(transaction=True)
def test_no_fresh_quote_no_fill(still: Stage) -> None:
    intent = still.wish(sandbox=True, reduce_only=True)
    Quote.objects.all().delete()
    intent = execution.intent_submit(intent_id=intent.pk, actor=still.actor)
    assert intent.state == "failed"
    assert "no fresh quote" in intent.reason
    assert not Position.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_resting_order_waits_until_the_market_comes(still: Stage) -> None:
    intent = submit(still, type="post-only", price=D("59990"))
    assert (intent.state, intent.submission) == ("submitted", "acknowledged")
    assert sandbox.orders_match(actor=still.actor) == []

    still.quote(D("59980"), D("59985"))
    assert sandbox.orders_match(actor=still.actor) == [intent]
    intent.refresh_from_db()
    assert (intent.state, intent.average_price) == ("filled", D("59990"))
    assert sandbox.fill_report(intent).fee == D("0.01") * D("59990") * D("0.0002")
    assert sandbox.orders_match(actor=still.actor) == []


@pytest.mark.django_db(transaction=True)
def test_the_port_reads_the_sandbox_back(still: Stage) -> None:
    bought, resting = submit(still), submit(still, type="post-only", price=D("59990"))
    client = SandboxClient(still.account)
    assert [row.client_order_id for row in egress.run(client.open_orders())] == [
        resting.client_order_id
    ]
    [position] = egress.run(client.positions())
    assert position.size == D("0.01")
    [fill] = egress.run(client.fills(["BTCUSDT"], since=bought.created_at))
    assert fill.client_order_id == bought.client_order_id
    order = egress.run(client.order("BTCUSDT", bought.client_order_id))
    assert (order.status, order.filled) == (OrderStatus.FILLED, D("0.01"))
    cancelled = egress.run(client.cancel(CancelOrder("BTCUSDT", resting.client_order_id)))
    assert cancelled.status is OrderStatus.CANCELLED
    with pytest.raises(VenueRejected):
        egress.run(client.order("BTCUSDT", "nobody"))
    with pytest.raises(VenueUnavailable):  # never a balance of zero
        egress.run(client.balance())


@pytest.mark.django_db(transaction=True)
def test_a_lost_sandbox_order_is_proven_absent(
    still: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(self: SandboxClient, command: object) -> None:
        raise OutcomeUnknown("cut off")

    monkeypatch.setattr(SandboxClient, "submit", cut)
    intent = submit(still)
    assert intent.submission == "unknown"
    execution.unknown_resolve(intent=intent, actor=still.actor)
    intent.refresh_from_db()
    assert (intent.state, intent.submission) == ("failed", "none")

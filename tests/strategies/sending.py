"""A client of a test's own in a venue's place, and how an order is sent to it."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from markets.venues.errors import OrderNotFound
from markets.venues.types import OrderReport, OrderStatus, SubmitOrder
from strategies import execution
from strategies.models import OrderIntent

if TYPE_CHECKING:
    from tests.strategies.conftest import Stage

D = Decimal


class Line:
    """A client whose `submit` does what the test says, and that counts its calls."""

    def __init__(self, act: Callable[[SubmitOrder], OrderReport]) -> None:
        self.sent: list[SubmitOrder] = []
        self._act = act

    async def submit(self, command: SubmitOrder) -> OrderReport:
        self.sent.append(command)
        return self._act(command)

    async def order(self, venue_symbol: str, client_order_id: str) -> OrderReport:
        raise OrderNotFound("-2013", "Order does not exist.")


def raising(error: BaseException) -> Callable[[SubmitOrder], OrderReport]:
    def act(command: SubmitOrder) -> OrderReport:
        raise error

    return act


def echo(command: SubmitOrder, **changes: Any) -> OrderReport:
    values: dict[str, Any] = {
        "venue_symbol": command.venue_symbol,
        "venue_order_id": "1",
        "client_order_id": command.client_order_id,
        "side": command.side,
        "status": OrderStatus.OPEN,
        "amount": command.amount,
        "filled": D(0),
        "price": command.price,
        "average_price": None,
        "reduce_only": command.reduce_only,
        "at": datetime.now(UTC),
    }
    return OrderReport(**{**values, **changes})


def submit(stage: "Stage", intent: OrderIntent) -> OrderIntent:
    execution.intent_submit(intent_id=intent.pk, actor=stage.actor)
    intent.refresh_from_db()
    return intent


def place(intent: OrderIntent) -> tuple[str, str]:
    return intent.state, intent.submission

"""The flows that are killed at every point: what each begins with, does and must end in."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.contrib.auth.models import User
from django.db import transaction

from accounts.services import account_sync
from controlplane.base import jobs
from controlplane.base.audit import Actor, Surface
from hedging.emergency.verbs import stop_engage, stop_release
from hedging.models import EmergencyStop
from strategies import services
from strategies.jobs import CancelIntent, SubmitIntent
from strategies.models import OrderIntent
from tests.faults.rig.arena import ACTOR, NAMES, SIZE, SYMBOL, THRESHOLD, Arena, work

LOT: Final = Decimal("0.001")
STOP_SECONDS: Final = 60.0


class Flow(ABC):
    """`prepare` in the parent, `run` in the child, `judge` in the parent once all is at rest."""

    name: ClassVar[str]

    def __init__(self, arena: Arena) -> None:
        self.arena, self.number = arena, 0

    @property
    def amount(self) -> Decimal:
        """Another one each time: the same order twice in a second is a slip."""
        return Decimal("0.01") + LOT * (self.number % 37)

    def prepare(self) -> None:
        self.number += 1

    @abstractmethod
    def run(self) -> None: ...

    def judge(self) -> None:
        """Say by an AssertionError what is not as it must be."""
        assert abs(self.arena.net()) <= THRESHOLD, f"I5: net {self.arena.net()}"


class OpenHedge(Flow):
    """A strategy opens a pair, long and short alike; each leg is a job."""

    name = "open-hedge"

    def run(self) -> None:
        with transaction.atomic():
            sides = zip(NAMES, ("buy", "sell"), strict=True)
            legs = [wish(self.arena, name, side, self.amount) for name, side in sides]
            services.intents_pair(*legs)
            for leg in legs:
                jobs.enqueue(SubmitIntent, intent_id=str(leg.pk))
        work()


class CloseHedge(Flow):
    """Somebody trades on the long side; it is seen, and the book hedged by reducing it."""

    name = "close-hedge"

    def prepare(self) -> None:
        super().prepare()
        self.arena.move("long", self.amount)

    def run(self) -> None:
        account_sync(account=self.arena.accounts["long"], actor=ACTOR)
        work()


class Cancel(Flow):
    """An order that rests is cancelled."""

    name = "cancel"
    resting: OrderIntent

    def prepare(self) -> None:
        super().prepare()
        self.resting = rest(self.arena, self.amount)

    def run(self) -> None:
        jobs.enqueue(CancelIntent, intent_id=str(self.resting.pk))
        work()

    def judge(self) -> None:
        super().judge()
        self.resting.refresh_from_db()
        if self.resting.state == "submitted":  # killed before its cancel was asked for
            _is((self.arena.resting("long"),), (1,))
            jobs.enqueue(CancelIntent, intent_id=str(self.resting.pk))
            work()
            self.resting.refresh_from_db()
        _is((self.resting.state, self.arena.resting("long")), ("cancelled", 0))


class Stop(Flow):
    """An emergency stop of everything, with an order that rests and a position on each side."""

    name = "emergency-stop"
    resting: OrderIntent

    def prepare(self) -> None:
        super().prepare()
        for name, size in zip(NAMES, (SIZE, -SIZE), strict=True):
            if self.arena.size(name) != size:
                self.arena.move(name, size - self.arena.size(name))
        self.arena.settle()
        self.resting = rest(self.arena, self.amount)

    def run(self) -> None:
        stop = stop_engage(scope="all", actor=ACTOR, reason="The rig pulls the cord.")
        work()
        stop.refresh_from_db()
        assert stop.state == "latched", told(stop)

    def judge(self) -> None:
        super().judge()
        stop = EmergencyStop.objects.standing().first()
        if stop is None:  # killed before the stop was committed: nothing of it may have happened
            _is((self.arena.size("long"), self.arena.resting("long")), (SIZE, 1))
            jobs.enqueue(CancelIntent, intent_id=str(self.resting.pk))
            work()
            return
        self._wait_latched(stop)
        sizes = self.arena.size("long"), self.arena.size("short")
        _is((*sizes, self.arena.resting("long")), (0, 0, 0))
        stop_release(stop=stop, actor=person(), reason="The rig goes on.")

    def _wait_latched(self, stop: EmergencyStop) -> None:
        until = time.monotonic() + STOP_SECONDS
        while stop.state != "latched" or stop.accounts.unfinished().exists():
            assert time.monotonic() < until, f"I6: the stop is {stop.state}: {told(stop)}"
            self.arena.settle()
            stop.refresh_from_db()
        self.arena.sync()


FLOWS: Final[Mapping[str, type[Flow]]] = {
    flow.name: flow for flow in (OpenHedge, CloseHedge, Cancel, Stop)
}


def _is(seen: tuple[object, ...], due: tuple[object, ...]) -> None:
    """Say what was seen: pytest tells so of no assertion here."""
    assert seen == due, f"{seen} instead of {due}"


def rest(arena: Arena, amount: Decimal) -> OrderIntent:
    """Have an order rest on the long side, and return it."""
    quote = arena.venues["long"].server.core.engine.markets[SYMBOL].quote
    price = (quote.bid * Decimal("0.998")).quantize(Decimal("0.1"))
    intent = wish(arena, "long", "buy", amount, type="post-only", price=price)
    jobs.enqueue(SubmitIntent, intent_id=str(intent.pk))
    work()
    intent.refresh_from_db()
    assert (intent.state, intent.submission) == ("submitted", "acknowledged"), intent.reason
    return intent


def wish(arena: Arena, name: str, side: str, amount: Decimal, **terms: Any) -> OrderIntent:
    """Write a live order down; nothing is sent."""
    return services.intent_create(
        **{
            "module": arena.module,
            "account": arena.accounts[name],
            "instrument": arena.instruments[name],
            "side": side,
            "type": "market",
            "amount": amount,
            "sandbox": False,
            "actor": ACTOR,
            **terms,
        }
    )


def person() -> Actor:
    user, _ = User.objects.get_or_create(username="rig")
    return Actor(name="rig", surface=Surface.ADMIN, user_id=user.pk)


def told(stop: EmergencyStop) -> str:
    return "; ".join(f"{row} {row.last_error}" for row in stop.accounts.all())

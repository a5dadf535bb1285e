"""The model test: hypothesis invents what people, markets, networks and workers do to orders."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from accounts.services import account_sync
from controlplane.kernel.errors import IllegalMove
from hedging.services import unknown_look
from markets.venues.paper.faults import Fault, FaultKind, Topic
from strategies import services
from strategies.failover import intent_cancel
from strategies.models import AccountAllocation, OrderIntent
from tests.faults.rig.arena import ACTOR, NAMES, SYMBOL, Arena, arena, prove_absent, work
from tests.faults.rig.dispatch import Workers
from tests.faults.rig.flows import LOT, wish

STEPS = 14

names = st.sampled_from(NAMES)
sides = st.sampled_from(("buy", "sell"))
place_faults = st.sampled_from(
    (
        Fault(FaultKind.RESET, topic=Topic.PLACE),
        Fault(FaultKind.RESET, topic=Topic.PLACE, accepts=False),
        Fault(FaultKind.ANSWER, topic=Topic.PLACE, body=b"{}"),
        Fault(FaultKind.ANSWER, topic=Topic.PLACE, status=504, accepts=False),
        Fault(FaultKind.MID_REPLY, topic=Topic.PLACE, size=40),
        Fault(FaultKind.FILL_BEFORE_ACK, topic=Topic.PLACE, factor=Decimal("0.5")),
        Fault(FaultKind.MAINTENANCE),
    )
)
other_faults = st.sampled_from(
    (
        Fault(FaultKind.QUERY_LIES_NOT_FOUND, times=2),
        Fault(FaultKind.RESET, topic=Topic.ORDERS),
        Fault(FaultKind.RESET, topic=Topic.CANCEL),
        Fault(FaultKind.RESET, topic=Topic.CANCEL, accepts=False),
        Fault(FaultKind.FILL_AFTER_CANCEL_ACK, delay_ms=1),
        Fault(FaultKind.ANSWER, topic=Topic.TRADES, status=502, accepts=False),
    )
)


class Orders(RuleBasedStateMachine):
    """Acts at random on one arena; every example begins and ends with all at rest."""

    stage: Arena
    workers: Workers
    amounts: Iterator[int]

    def __init__(self) -> None:
        super().__init__()
        self.intents: list[OrderIntent] = []
        self.stage.sync()

    def _wish(self, name: str, side: str, **terms: Any) -> None:
        amount = LOT * (1 + next(self.amounts) % 97)
        self.intents.append(wish(self.stage, name, side, amount, **terms))

    def _pick(self, number: int) -> OrderIntent | None:
        return self.intents[number % len(self.intents)] if self.intents else None

    @rule(name=names, side=sides)
    def wish_market(self, name: str, side: str) -> None:
        self._wish(name, side)

    @rule(name=names, side=sides)
    def wish_resting(self, name: str, side: str) -> None:
        quote = self.stage.venues[name].server.core.engine.markets[SYMBOL].quote
        price = quote.bid * Decimal("0.998") if side == "buy" else quote.ask * Decimal("1.002")
        self._wish(name, side, type="post-only", price=price.quantize(Decimal("0.1")))

    @rule(number=st.integers(0, 50))
    def two_workers_submit(self, number: int) -> None:
        if (intent := self._pick(number)) is not None:
            self.stage.quote()
            self.workers.submit(intent)

    @rule(number=st.integers(0, 50))
    def withdraw(self, number: int) -> None:
        if (intent := self._pick(number)) is not None:
            with suppress(IllegalMove):
                services.intent_withdraw(intent=intent, reason="changed my mind", actor=ACTOR)

    @rule(number=st.integers(0, 50))
    def cancel(self, number: int) -> None:
        if (intent := self._pick(number)) is not None:
            intent_cancel(intent_id=intent.pk, actor=ACTOR)

    @rule(number=st.integers(0, 50))
    def look(self, number: int) -> None:
        if (intent := self._pick(number)) is not None:
            unknown_look(intent_id=intent.pk, actor=ACTOR)

    @rule(name=names)
    def sync(self, name: str) -> None:
        account_sync(account=self.stage.accounts[name], actor=ACTOR)

    @rule(name=names, percent=st.sampled_from(("0.995", "1.005")))
    def move_the_market_and_back(self, name: str, percent: str) -> None:
        venue = self.stage.venues[name]
        core = venue.server.core
        before = core.engine.markets[SYMBOL].quote.bid
        for price in ((before * Decimal(percent)).quantize(Decimal("0.1")), before):
            venue.do(partial(core.jump, SYMBOL, price))

    @rule(name=names, side=st.sampled_from((1, -1)))
    def somebody_trades(self, name: str, side: int) -> None:
        self.stage.move(name, LOT * side)

    @rule(name=names, fault=place_faults)
    def break_placing(self, name: str, fault: Fault) -> None:
        self.stage.fault(name, fault)

    @rule(name=names, fault=other_faults)
    def break_the_rest(self, name: str, fault: Fault) -> None:
        self.stage.fault(name, fault)

    @rule()
    def mend_and_wait(self) -> None:
        self.stage.mend()
        prove_absent()

    @invariant()
    def no_order_is_sent_twice_and_none_is_falsely_over(self) -> None:
        found = self.stage.violations(is_settled=False)
        assert [it for it in found if it.invariant in ("I1", "I5", "I8", "I12")] == []

    def teardown(self) -> None:
        self.stage.mend()
        for intent in OrderIntent.objects.filter(state="pending"):
            services.intent_withdraw(intent=intent, reason="the end", actor=ACTOR)
        work()
        prove_absent()
        for intent in OrderIntent.objects.filter(state="submitted"):
            intent_cancel(intent_id=intent.pk, actor=ACTOR)
        self.stage.settle(neutral=False)
        self.stage.verify("as hypothesis tells")


@dataclass
class Model:
    """What was played: examples, and what they did together."""

    examples: int = 0
    orders: int = 0


def play(examples: int, *, first_seed: int | None, fresh: Callable[[], None]) -> Model:
    """Play so many examples; without a seed always the same ones.

    Raises what an example has broken, with the steps that lead there in its notes.
    """
    fresh()
    made = Model()
    with arena() as stage:
        AccountAllocation.objects.all().delete()  # nobody hedges what is done here
        workers, amounts = Workers(), iter(range(1, 1_000_000))

        class Here(Orders):
            def teardown(self) -> None:
                super().teardown()
                made.examples += 1
                made.orders += len(self.intents)

        Here.stage, Here.workers, Here.amounts = stage, workers, amounts
        machine = Here if first_seed is None else seed(first_seed)(Here)
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    derandomize=first_seed is None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            workers.close()
    return made

"""Seeded fault schedules: a few orders under a few faults, drawn from a seed, judged by the oracle.

The same seed draws the same orders and the same faults. While faults stand the resolver looks in
vain; then the network is mended and everything must become known, without a guess.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Final

from controlplane.kernel.errors import Conflict
from hedging.services import unknown_look
from markets.venues.paper.faults import Fault, FaultKind, Topic
from markets.venues.paper.rules import Reason
from strategies.failover import intent_cancel
from strategies.models import AccountAllocation, OrderIntent
from tests.faults.rig.arena import ACTOR, NAMES, SYMBOL, Arena, arena, prove_absent
from tests.faults.rig.dispatch import Workers
from tests.faults.rig.flows import LOT, wish

SEEDS_PER_ARENA: Final = 120
SEEDS_PER_CHECK: Final = 40
SYNC_AFTER: Final = 20.0
"""Seconds. Positions read longer ago than a minute are unknown, and nothing is sent."""
MOST_KNOWN: Final = 30.0

BODIES: Final = (b"", b"null", b"[]", b"{}", b"<html>", b'{"orderId": NaN}', b'{"orderId": 1, "sym')
POISONS: Final = (
    (b'"symbol":"BTCUSDT"', b'"symbol":"ETHUSDT"'),
    (b'"executedQty":"', b'"executedQty":"-'),
    (b'"executedQty":"', b'"executedQty":"9'),
    (b'"status":"', b'"status":"SHINY'),
    (b'"clientOrderId":"', b'"clientOrderId":"X'),
)
REFUSALS: Final = (Reason.INSUFFICIENT_MARGIN, Reason.TOO_MANY_ORDERS, Reason.REDUCE_ONLY)
STATUSES: Final = (502, 503, 504, 408)


def place_fault(chance: random.Random) -> Fault:
    """Draw what befalls an order on its way."""
    accepts = chance.random() < 0.6
    place = Topic.PLACE
    drawn: Sequence[Callable[[], Fault]] = (
        lambda: Fault(FaultKind.RESET, topic=place, accepts=accepts),
        lambda: Fault(FaultKind.RAW, topic=place, accepts=accepts, body=b"HTTP/1.1 garbage\r\n"),
        lambda: Fault(FaultKind.ANSWER, topic=place, accepts=accepts, body=chance.choice(BODIES)),
        lambda: Fault(
            FaultKind.ANSWER, topic=place, accepts=accepts, status=chance.choice(STATUSES)
        ),
        lambda: Fault(FaultKind.MID_REPLY, topic=place, size=chance.randrange(1, 120)),
        lambda: _poison(chance),
        lambda: Fault(FaultKind.REFUSE, topic=place, reason=chance.choice(REFUSALS)),
        lambda: Fault(FaultKind.FILL_BEFORE_ACK, topic=place, factor=Decimal("0.5")),
        lambda: Fault(FaultKind.MAINTENANCE),
    )
    return chance.choice(drawn)()


def _poison(chance: random.Random) -> Fault:
    find, put = chance.choice(POISONS)
    return Fault(FaultKind.POISON, topic=Topic.PLACE, find=find, put=put)


def read_fault(chance: random.Random) -> Fault:
    """Draw what befalls those who ask afterwards."""
    drawn: Sequence[Callable[[], Fault]] = (
        lambda: Fault(FaultKind.QUERY_LIES_NOT_FOUND, times=chance.randrange(1, 3)),
        lambda: Fault(FaultKind.QUERY_LAG, lag_seconds=Decimal(5)),
        lambda: Fault(FaultKind.RESET, topic=Topic.ORDERS, times=chance.randrange(1, 3)),
        lambda: Fault(FaultKind.ANSWER, topic=Topic.ORDERS, status=502, accepts=False),
        lambda: Fault(FaultKind.POSITION_LIES, factor=Decimal(2)),
    )
    return chance.choice(drawn)()


def cancel_fault(chance: random.Random) -> Fault:
    """Draw what befalls a cancel."""
    drawn: Sequence[Callable[[], Fault]] = (
        lambda: Fault(FaultKind.RESET, topic=Topic.CANCEL, accepts=chance.random() < 0.5),
        lambda: Fault(FaultKind.FILL_AFTER_CANCEL_ACK, accepts=chance.random() < 0.5, delay_ms=5),
        lambda: Fault(FaultKind.ANSWER, topic=Topic.CANCEL, status=504),
    )
    return chance.choice(drawn)()


@dataclass
class Outcomes:
    """What came of the seeds.

    `withheld` are orders that our own gate refused; `resolved` is from unknown to known, in
    seconds, with the venue reachable.
    """

    seeds: int = 0
    orders: int = 0
    unknown: int = 0
    withheld: int = 0
    absent: int = 0
    resolved: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def schedules(
    seeds: Iterable[int],
    *,
    fresh: Callable[[], None],
    say: Callable[[str], None] = lambda _text: None,
) -> Outcomes:
    """Play every seed's schedule; what is broken is kept with its seed, and the rest goes on."""
    made, rest = Outcomes(), iter(seeds)
    while batch := list(islice(rest, SEEDS_PER_ARENA)):
        fresh()
        with arena() as stage:
            AccountAllocation.objects.all().delete()  # nobody hedges what is done here
            workers = Workers()
            try:
                for part in _parts(batch):
                    _play(stage, workers, part, made)
            except AssertionError as error:
                made.broken.append(f"seeds {batch[0]} to {batch[-1]}: {error}")
            finally:
                workers.close()
        say(f"schedules: {made.seeds} seeds, {made.unknown} unknown, {len(made.broken)} broken")
    return made


def _parts(batch: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(batch), SEEDS_PER_CHECK):
        yield batch[start : start + SEEDS_PER_CHECK]


def _play(stage: Arena, workers: Workers, seeds: Sequence[int], made: Outcomes) -> None:
    stage.sync()
    synced, whose = time.monotonic(), dict[str, int]()
    for seed in seeds:
        if time.monotonic() - synced > SYNC_AFTER:
            stage.sync()
            synced = time.monotonic()
        schedule = _Schedule(stage, workers, seed, made)
        schedule.run()
        whose |= dict.fromkeys(schedule.names, seed)
        made.seeds += 1
    for name in NAMES:  # what rests is not the next seeds' business
        for intent in OrderIntent.objects.filter(account=name, state="submitted"):
            intent_cancel(intent_id=intent.pk, actor=ACTOR)
    try:
        stage.settle(neutral=False)
        stage.verify(f"{seeds[0]} to {seeds[-1]}")
    except AssertionError as error:
        guilty = {seed for name, seed in whose.items() if name in str(error)}
        raise AssertionError(f"seeds {sorted(guilty)}: {error}") from error


class _Schedule:
    """One seed: orders, faults, looks in vain, and looks once all is mended."""

    def __init__(self, stage: Arena, workers: Workers, seed: int, made: Outcomes) -> None:
        self._stage, self._workers, self._made = stage, workers, made
        self._chance = random.Random(seed)
        self._seed = seed
        self.names: list[str] = []

    def run(self) -> None:
        intents = [self._order(number) for number in range(self._chance.randrange(1, 4))]
        self._meanwhile(intents)
        began = time.monotonic()
        self._stage.mend()
        self._resolve(intents, began)

    def _order(self, number: int) -> OrderIntent:
        chance = self._chance
        name, side = chance.choice(NAMES), chance.choice(("buy", "sell"))
        amount = LOT * (1 + (self._seed * 3 + number) % 150)
        for_sale = {"long": "sell", "short": "buy"}[name]
        terms: dict[str, object] = {}
        shape = chance.choice(("market", "market", "post-only", "reduce-only"))
        if shape == "reduce-only":
            side, terms = for_sale, {"reduce_only": True}
        elif shape == "post-only":
            terms = {"type": "post-only", "price": self._passive(name, side)}
        intent = wish(self._stage, name, side, amount, **terms)
        self.names.append(intent.client_order_id)
        for _ in range(chance.choice((0, 1, 1, 2))):
            self._stage.fault(name, place_fault(chance))
        if chance.random() < 0.4:
            self._stage.fault(name, read_fault(chance))
        self._workers.submit(intent)
        intent.refresh_from_db()
        self._made.orders += 1
        self._made.unknown += intent.submission == "unknown"
        self._made.withheld += (intent.state, intent.submission) == ("failed", "none")
        return intent

    def _passive(self, name: str, side: str) -> Decimal:
        quote = self._stage.venues[name].server.core.engine.markets[SYMBOL].quote
        price = quote.bid * Decimal("0.998") if side == "buy" else quote.ask * Decimal("1.002")
        return price.quantize(Decimal("0.1"))

    def _meanwhile(self, intents: Sequence[OrderIntent]) -> None:
        """Look in vain, cancel, and have the market reach what rests."""
        chance = self._chance
        for intent in intents:  # as its submission has left it
            if intent.submission == "unknown" and chance.random() < 0.5:
                unknown_look(intent_id=intent.pk, actor=ACTOR)
            if intent.type != "post-only":
                continue
            if chance.random() < 0.4:
                self._stage.fault(intent.account_id, cancel_fault(chance))
            if chance.random() < 0.6:
                with suppress(Conflict):
                    intent_cancel(intent_id=intent.pk, actor=ACTOR)
            if chance.random() < 0.3:
                self._cross(intent)

    def _cross(self, intent: OrderIntent) -> None:
        """Let the price reach an order and come back."""
        core = self._stage.venues[intent.account_id].server.core
        before = core.engine.markets[SYMBOL].quote.bid
        assert intent.price is not None
        through = intent.price * Decimal("0.9995" if intent.side == "buy" else "1.0005")
        for price in (through.quantize(Decimal("0.1")), before):
            self._stage.venues[intent.account_id].do(partial(core.jump, SYMBOL, price))
        self._stage.quote()

    def _resolve(self, intents: Sequence[OrderIntent], began: float) -> None:
        for intent in intents:
            intent.refresh_from_db()
            if intent.submission != "unknown":
                continue
            unknown_look(intent_id=intent.pk, actor=ACTOR)
            intent.refresh_from_db()
            if intent.submission == "acknowledged":
                self._made.resolved.append(time.monotonic() - began)
        lost = [it.pk for it in intents if it.submission == "unknown"]
        if lost:
            prove_absent()
            proven = OrderIntent.objects.filter(pk__in=lost, state="failed")
            self._made.absent += proven.count()

"""F01, F02 · What is played with programs whose clocks are off, and must hold."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.utils import timezone

from controlplane.kernel.ids import uuid7
from hedging.domain import resolution
from hedging.emergency.reducing import MARK as STOP_LOSS
from hedging.emergency.verbs import stop_engage
from hedging.models import StoppedAccount
from markets.models import MarketDataFeed, Quote
from markets.selectors import fresh_quote
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.types import OrderType, Side
from monitoring.models import MonitoringEvent
from strategies import claims, services
from strategies.models import OrderIntent
from tests.faults.rig.arena import ACTOR, NAMES, SYMBOL, Arena
from tests.faults.rig.clocks import Apart
from tests.faults.rig.flows import wish

CLOSE: Final = timedelta(seconds=25)
"""Two moments told by right clocks on a busy machine; a clock that is off is off by much more."""
LATELY: Final = timedelta(seconds=45)
STALE: Final = timedelta(seconds=10)
"""As of the sentinel: what nobody has claimed by then is withdrawn."""
HELD: Final = timedelta(seconds=5)
STEP_SECONDS: Final = -10
TOO_EARLY_OR_LATE: Final = -1021
"""Binance: the timestamp is outside of recvWindow, or ahead of the server's time."""
D = Decimal


def play(stage: Apart, *, workers: int, sentinel: int, feeds: int) -> None:
    """Play everything with programs whose clocks are so many seconds ahead of the right time.

    Raises AssertionError with what is not as it must be.
    """
    waits, claimed = _held_back(stage)
    Quote.objects.all().delete()
    for venue in stage.arena.venues.values():
        venue.do(venue.server.core.running.set)  # feeds hear of prices that move
    stage.start("feeds", feeds)
    stage.start("hedge", workers)
    stage.start("sentinel", sentinel)
    _feeds_are_told_by_the_right_time(stage)
    _orders_are_sent_once_and_in_time(stage, workers)
    _is_told(stage)
    for name, seconds in (("sentinel", sentinel), ("feeds", feeds)):
        stage.programs[name].shift.set(seconds + STEP_SECONDS)
    _is_withdrawn_when_it_may_be(stage, waits)
    _is_lost_when_it_may_be(stage, claimed)
    _feeds_are_told_by_the_right_time(stage)
    _all_clocks_are_set_right(stage)
    stage.programs.pop("feeds").kill()
    _a_stop_is_driven_by_who_may(stage)
    _what_a_dead_program_wrote_is_stale(stage)
    _no_signature_was_off(stage)


def _held_back(stage: Apart) -> tuple[OrderIntent, OrderIntent]:
    """Leave an order that nobody is asked to send, and one that this process is about to send."""
    waits = stage.sell(reason=f"{STOP_LOSS} of the rig")
    claimed = stage.sell()
    assert claims.intents_claim([claimed], actor=ACTOR), claimed.reason
    claimed.refresh_from_db()
    return waits, claimed


def _feeds_are_told_by_the_right_time(stage: Apart) -> None:
    stage.until(lambda: Quote.objects.count() == len(NAMES), "a quote of each feed")
    stage.until(
        lambda: not MarketDataFeed.objects.exclude(status="healthy").exists(), "healthy feeds"
    )
    for quote in Quote.objects.all():
        _close(quote.received_at)


def _orders_are_sent_once_and_in_time(stage: Apart, seconds: int) -> None:
    workers = stage.programs["hedge"].shift
    for step in (0, STEP_SECONDS):
        workers.set(seconds + step)
        first = stage.sell()
        assert stage.sent(first).startswith("filled"), first.reason
        assert first.signed_at is not None
        _close(first.signed_at)
        old = _old(stage)
        assert stage.sent(old).startswith("failed DECISION_TOO_OLD"), old.reason
        _nothing_is_opened(stage)
    _a_lost_reply_is_found(stage)


def _nothing_is_opened(stage: Apart) -> None:
    """Nothing is, and in the end, when the sentinel's start is recovered from, for the clock."""

    def is_for_the_clock() -> bool:
        said = _opened(stage)
        assert said.startswith("failed"), said
        return said.startswith("failed VENUE_CLOCK_OFF")

    stage.until(is_for_the_clock, "an order refused for the clock")


def _opened(stage: Apart) -> str:
    """Have the workers send an order that adds to a position; return how it ended.

    At the venue whose clock they have measured for an order before: an unknown one is no obstacle.
    """
    stage.number += 1
    amount = D("0.02") + stage.number * D("0.001")
    return stage.sent(wish(stage.arena, "long", "buy", amount))


def _old(stage: Apart) -> OrderIntent:
    """Write an order that was decided on just too long ago."""
    stage.number += 1
    draft = services.intent_draft(
        module=stage.arena.module,
        account=stage.arena.accounts["long"],
        instrument=stage.arena.instruments["long"],
        side=Side.SELL,
        type=OrderType.IOC,
        amount=D("0.01") + stage.number * D("0.001"),
        price=_below(stage.arena),
        reduce_only=True,
        sandbox=False,
    )
    draft.created_at = timezone.now() - claims.CLAIM_WITHIN - timedelta(seconds=1)
    services.intents_write([draft], actor=ACTOR)
    return draft


def _a_lost_reply_is_found(stage: Apart) -> None:
    venue = stage.arena.venues["long"]
    fault = Fault(kind=FaultKind.RESET, method="POST", path="/fapi/v1/order")
    venue.do(lambda: venue.server.faults.add(fault))
    lost = stage.sell()
    assert stage.sent(lost).startswith("filled"), lost.reason  # as stream, sync or resolver found


def _is_told(stage: Apart) -> None:
    """The sentinel's clock is off, which is told once."""
    told = MonitoringEvent.objects.filter(payload__code="clock_off")
    stage.until(told.exists, "an event of the sentinel's clock")
    seconds = stage.programs["sentinel"].shift.seconds
    assert [(it.severity, round(it.payload["aheadMs"] / 1000)) for it in told] == [
        ("CRITICAL", seconds)
    ]
    _close(told.get().created_at, within=LATELY)


def _is_withdrawn_when_it_may_be(stage: Apart, waits: OrderIntent) -> None:
    assert stage.ended(waits).startswith("cancelled"), waits
    _not_before(waits, waits.created_at + STALE)


def _is_lost_when_it_may_be(stage: Apart, claimed: OrderIntent) -> None:
    """Its end is unknown from its expiry on, and proven, when that goes on, later still."""

    def is_lost() -> bool:
        claimed.refresh_from_db()
        return claimed.submission != "sending"

    stage.until(is_lost, f"lost: {claimed}")
    assert claimed.expires_at is not None
    is_proven = claimed.state == "failed"
    proof = resolution.SETTLE + resolution.APART
    _not_before(claimed, claimed.expires_at + (proof if is_proven else timedelta()))


def _not_before(intent: OrderIntent, moment: datetime) -> None:
    at = intent.updated_at
    assert moment <= at <= timezone.now() + CLOSE, (at, moment)


def _all_clocks_are_set_right(stage: Apart) -> None:
    """Nothing is refused for ever: what may be opened is, when the clocks are right again."""
    for program in stage.programs.values():
        program.shift.set(0)

    stage.until(lambda: _opened(stage).startswith("filled"), "an order that opens")


def _a_stop_is_driven_by_who_may(stage: Apart) -> None:
    """A stop's accounts are left to the process that has leased them, until its lease is over."""
    for name in ("sentinel", "hedge"):
        program = stage.programs[name]
        program.shift.set(program.first_seconds)
    with transaction.atomic():
        stop = stop_engage(scope="all", actor=ACTOR, reason="The rig pulls the cord.")
        until = timezone.now() + HELD
        stop.accounts.update(lease=uuid7(), leased_until=until)

    def latched() -> bool:
        stop.refresh_from_db()
        return stop.state == "latched" and not stop.accounts.unfinished().exists()

    stage.until(latched, "a stop that is done")
    assert timezone.now() <= until + LATELY
    for row in StoppedAccount.objects.filter(stop=stop):
        assert row.cancelled_at is not None
        assert until <= row.cancelled_at <= timezone.now() + CLOSE, (row.cancelled_at, until)
    for name in NAMES:
        assert (stage.arena.size(name), stage.arena.resting(name)) == (0, 0)
    opens = wish(stage.arena, "long", "buy", D("0.3"))
    assert stage.sent(opens) == "failed ACCOUNT_NOT_ACTIVE"


def _what_a_dead_program_wrote_is_stale(stage: Apart) -> None:
    instruments = stage.arena.instruments.values()
    stage.until(
        lambda: not [it for it in instruments if fresh_quote(it, now=timezone.now())],
        "stale quotes",
    )


def _no_signature_was_off(stage: Apart) -> None:
    codes = [entry.get("code") for told in stage.arena.ledgers() for entry in told.entries]
    assert codes.count(TOO_EARLY_OR_LATE) == 0


def _below(arena: Arena) -> Decimal:
    bid = arena.venues["long"].server.core.engine.markets[SYMBOL].quote.bid
    return (bid * D("0.999")).quantize(D("0.1"))


def _close(moment: datetime, within: timedelta = CLOSE) -> None:
    """Hold a moment against this process's clock, which is right."""
    assert abs(timezone.now() - moment) <= within, f"{moment} at {timezone.now()}"

"""The resolver: orders of unknown fate are looked for until something is proven, step by step."""

import asyncio
import logging
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from django.db.models import Count, Window

from accounts import egress, observations
from accounts.claims import work_claim
from accounts.reading import AccountReading, read_account
from accounts.selectors import able_to_read
from controlplane.base.audit import Actor
from controlplane.base.clock import database_now
from controlplane.kernel.errors import Conflict, ControlPlaneError
from controlplane.kernel.secrets import redact
from controlplane.kernel.units import ZERO
from hedging.domain import resolution
from hedging.domain.resolution import Answer, Look, Verdict
from hedging.models import Fill, ResolutionStep
from hedging.services.reconciling import unexplained_of
from markets.venues.errors import OrderNotFound, VenueUnavailable
from markets.venues.ports import ExecutionClient
from markets.venues.ratelimit.saying import recovering
from markets.venues.types import OrderReport
from strategies import claims, execution, selectors, services, settling
from strategies.domain.intent import LOST, IntentEvent
from strategies.models import OrderIntent

logger = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_SECONDS: Final = 3.0
"""How long one question may stay unanswered: a venue that hangs is asked anew soon after."""
BEFORE: Final = timedelta(minutes=1)
"""How far before the signing trades are read: the venue's clock is not ours."""


def unknown_look(*, intent_id: UUID, actor: Actor) -> ResolutionStep | None:
    """Look for one order of unknown fate, record what was said and act on what is proven.

    Returns None when its fate is known, or another process is looking at this moment. Never
    sends anything; raises nothing a venue may cause.
    """
    with work_claim(f"hedging.resolve:{intent_id}") as claimed:
        if not claimed:
            return None
        intent = selectors.intent_to_send(intent_id)
        if services.place_of(intent) != LOST:
            return None
        if intent.sandbox:
            execution.unknown_resolve(intent=intent, actor=actor)
            return None
        with recovering():
            return _Resolver(intent, actor).look()


def next_look_at(intent: OrderIntent) -> datetime | None:
    """Return when the order is to be looked for next, by the database's clock; None: at once."""
    counted = intent.resolution_steps.annotate(looks=Window(Count("pk")))
    last = counted.order_by("-step_id").first()
    if last is None:
        return None
    return resolution.next_look_at(_expiry(intent), last.look(), looks=last.looks)


def _expiry(intent: OrderIntent) -> datetime:
    """Return until when the venue may accept the request; never passed where nobody knows."""
    return intent.expires_at or database_now()


class _Resolver:
    """One look for one order."""

    def __init__(self, intent: OrderIntent, actor: Actor) -> None:
        self._intent = intent
        self._actor = actor
        self._note = ""

    def look(self) -> ResolutionStep:
        began = database_now()
        listed = trades = position = Answer.NOT_ASKED
        try:
            client = egress.execution_client(able_to_read(self._intent.account))
        except ControlPlaneError as error:
            return self._record(Look(began, self._failed(error), listed, trades, position))
        by_id = self._ask_by_id(client)
        if by_id is Answer.NOT_FOUND and began >= resolution.provable_from(_expiry(self._intent)):
            reading = self._read(client)
            listed = self._listed(reading)
            trades = self._trades(reading)
            position = self._position(reading)
        return self._record(Look(began, by_id, listed, trades, position))

    def _record(self, look: Look) -> ResolutionStep:
        earlier = self._intent.resolution_steps.order_by("step_id")
        looks = [*(step.look() for step in earlier), look]
        verdict = resolution.verdict(_expiry(self._intent), looks)
        step = ResolutionStep.objects.create(
            intent=self._intent,
            at=look.at,
            by_id=look.by_id,
            listed=look.listed,
            trades=look.trades,
            position=look.position,
            verdict=verdict,
            note=self._note,
        )
        if verdict is Verdict.NOT_ACCEPTED:
            settling.settle(
                self._intent,
                IntentEvent.PROVE_ABSENT,
                f"Not accepted, as proven by step {step.pk}.",
                actor=self._actor,
            )
        return step

    # Each question

    def _ask_by_id(self, client: ExecutionClient) -> Answer:
        intent = self._intent
        asked = client.order(intent.instrument.venue_symbol, intent.client_order_id)
        try:
            return self._apply(egress.run(_bounded(asked)))
        except OrderNotFound:
            return Answer.NOT_FOUND
        except ControlPlaneError as error:
            return self._failed(error)

    def _apply(self, report: OrderReport) -> Answer:
        try:
            services.order_report_apply(intent=self._intent, report=report, actor=self._actor)
        except Conflict as error:
            services.answer_quarantine(
                intent=self._intent,
                reason=error.message,
                body=repr(report).encode(),
                actor=self._actor,
            )
            return self._failed(error, Answer.UNCLEAR)
        return Answer.FOUND

    def _read(self, client: ExecutionClient) -> AccountReading:
        intent = self._intent
        assert intent.signed_at is not None
        reading: AccountReading = egress.run(
            read_account(
                client,
                venue_symbols=[intent.instrument.venue_symbol],
                since=intent.signed_at - BEFORE,
            )
        )
        for error in reading.errors.values():
            self._failed(error)
        if reading.fills:
            observations.publish(observations.FillsSeen(intent.account_id, reading.fills))
        return reading

    def _listed(self, reading: AccountReading) -> Answer:
        if reading.open_orders is None or not reading.fills_complete:
            return Answer.UNANSWERED
        for report in reading.open_orders:
            if report.client_order_id == self._intent.client_order_id:
                return self._apply(report)
        return Answer.NOT_FOUND

    def _trades(self, reading: AccountReading) -> Answer:
        """Judge the trades on our side since the signing that are in the record by now."""
        intent = self._intent
        assert intent.signed_at is not None
        if not reading.fills_complete:
            return Answer.UNANSWERED
        told = {fill.trade_id for fill in reading.fills}
        fills = Fill.objects.filter(account=intent.account_id, instrument=intent.instrument_id)
        if told - set(fills.filter(trade_id__in=told).values_list("trade_id", flat=True)):
            return Answer.UNCLEAR  # they could not be recorded
        since = fills.filter(
            side=intent.side, sandbox=False, venue_at__gte=intent.signed_at - claims.CLOCK_MARGIN
        )
        if since.filter(intent=intent).exists():
            return Answer.FOUND
        # A venue that does not name our ids in its trades leaves a trade of nobody to be ours.
        is_unclear = since.external().filter(client_order_id__in=["", intent.client_order_id])
        return Answer.UNCLEAR if is_unclear.exists() else Answer.NOT_FOUND

    def _position(self, reading: AccountReading) -> Answer:
        intent = self._intent
        if reading.positions is None:
            return Answer.UNANSWERED
        symbol = intent.instrument.venue_symbol
        size = sum((p.size for p in reading.positions if p.venue_symbol == symbol), ZERO)
        difference = unexplained_of(account=intent.account, instrument=intent.instrument, size=size)
        if difference is None:
            return Answer.UNANSWERED
        return Answer.NOT_FOUND if difference == 0 else Answer.UNCLEAR

    def _failed(self, error: ControlPlaneError, answer: Answer = Answer.UNANSWERED) -> Answer:
        note = redact(f"{error.code}: {error.message}")[:500]
        self._note = f"{self._note}\n{note}".strip()
        logger.info("Intent %s: %s", self._intent.pk, note)
        return answer


async def _bounded(asked: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await asked
    except TimeoutError:
        raise VenueUnavailable(f"No answer within {LOOK_SECONDS} s.") from None

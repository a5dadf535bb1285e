"""The record of trades: each once, linked to the order of ours that made it."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Least
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.claims import commit_without_waiting
from controlplane import bus
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.base.prepared import prepared
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.ids import intent_id_of
from controlplane.kernel.units import plain
from hedging.models import Fill
from hedging.querysets import FillQuerySet
from markets.models import Instrument
from markets.venues.types import FillReport
from strategies import services as strategies
from strategies.models import OrderIntent

logger = logging.getLogger(__name__)


ATTACHED_WITHIN: Final = timedelta(hours=1)
"""How long after a trade its order may turn out to be ours."""


def fills_record(
    *, account_id: str, reports: Sequence[FillReport], actor: Actor, sandbox: bool = False
) -> list[Fill]:
    """Write trades as `fills_write` does, and tell of those that are not ours."""
    added = fills_write(account_id=account_id, reports=reports, actor=actor, sandbox=sandbox)
    fills_tell(account_id=account_id, fills=added)
    return added


def fills_write(
    *, account_id: str, reports: Sequence[FillReport], actor: Actor, sandbox: bool = False
) -> list[Fill]:
    """Write the trades not seen before and bring their intents in line; return the new ones.

    A trade is known by (account, instrument, trade id), however often and from wherever it is
    told. One that names no order of ours is external: recorded, not attached. Trades of an
    instrument we do not know are left out and logged; the sync treats such an account as unknown.

    Belongs outside a transaction: the rows are committed first, by themselves, because nothing
    that follows from a trade may hold it back. Whatever dies in between is made good when the
    trades are told again, as each look at the account does; only the news of an external trade
    would be lost with it.
    """
    instruments = _instruments(account_id, reports)
    owners = _Owners(account_id, reports, sandbox=sandbox)
    rows = [
        _row(account_id, instruments[report.venue_symbol], report, owners, sandbox=sandbox)
        for report in reports
        if report.venue_symbol in instruments
    ]
    if not rows:
        return []
    with transaction.atomic():
        commit_without_waiting()
        Fill.objects.bulk_create(rows, ignore_conflicts=True)
    added: list[Fill] = _written(fill_ids=[row.pk for row in rows])
    new = {fill.pk for fill in added}
    retold = {row.intent_id for row in rows if row.pk not in new and row.intent_id is not None}
    due = {fill.intent_id for fill in added if fill.intent_id is not None}
    # Those too whose intents lack what was written before.
    _apply(due | (_behind(retold) if retold else set()), actor)
    return added


@prepared
def _written(fill_ids: Any) -> Any:
    return Fill.objects.filter(pk__any=fill_ids).select_related("instrument")


@transaction.atomic
def fills_tell(*, account_id: str, fills: Sequence[Fill]) -> None:
    """Tell of new trades: of one of nobody here as an event."""
    _tell_external(account_id, [fill for fill in fills if fill.intent_id is None])
    if fills:
        bus.send("console", "console.changed", topic="events")


def _behind(intent_ids: Collection[UUID]) -> set[UUID]:
    """Return those of the intents that say less than the trades recorded of them."""
    in_quote = Q(fills__fee_asset=F("instrument__quote_asset"))
    return set(
        OrderIntent.objects.filter(pk__in=intent_ids)
        .annotate(traded=Sum("fills__amount"), paid=Sum("fills__fee", filter=in_quote))
        .filter(
            Q(filled_amount__lt=Least("traded", "amount"))
            | Q(fee=0, paid__gt=0)
            | Q(fee=0, paid__lt=0)
        )
        .values_list("pk", flat=True)
    )


@transaction.atomic
def fills_attach(*, actor: Actor, account_id: str | None = None) -> list[Fill]:
    """Attach trades to the orders of ours that turned out to have made them."""
    since = timezone.now() - ATTACHED_WITHIN
    found = (
        list(_owned(since)) if account_id is None else _owned_of(since=since, account_id=account_id)
    )
    for fill in found:
        fill.intent_id = fill.owner
        fill.save(update_fields=["intent"])
    _apply({fill.intent_id for fill in found if fill.intent_id is not None}, actor)
    return found


def _owned(since: Any) -> FillQuerySet:
    """Lock trades since then that an order of ours, `owner`, has turned out to have made."""
    owner = OrderIntent.objects.filter(
        account=OuterRef("account"),
        instrument=OuterRef("instrument"),
        venue_order_id=OuterRef("venue_order_id"),
        side=OuterRef("side"),
        sandbox=OuterRef("sandbox"),
    )
    waiting = Fill.objects.external().filter(recorded_at__gte=since).exclude(venue_order_id="")
    owned = waiting.annotate(owner=Subquery(owner.values("intent_id")[:1]))
    return owned.filter(owner__isnull=False).order_by("pk").select_for_update(of=("self",))


@prepared
def _owned_of(since: Any, account_id: Any) -> Any:
    return _owned(since).filter(account=account_id)


def _apply(intent_ids: Collection[UUID], actor: Actor) -> None:
    # Key order: whoever else locks several intents does it in the same one.
    if intent_ids:
        _apply_all(intent_ids, actor)


@transaction.atomic
def _apply_all(intent_ids: Collection[UUID], actor: Actor) -> None:
    for intent in OrderIntent.objects.filter(pk__in=intent_ids).order_by("pk"):
        fills: list[Fill] = _fills_of(intent_id=intent.pk)
        strategies.intent_fill_apply(
            intent=intent,
            fills=fills,
            venue_order_id=next((f.venue_order_id for f in fills if f.venue_order_id), ""),
            actor=actor,
        )


@prepared
def _fills_of(intent_id: Any) -> Any:
    return Fill.objects.filter(intent=intent_id)


def _instruments(account_id: str, reports: Iterable[FillReport]) -> Mapping[str, UUID]:
    """Return the ids of the instruments that were traded, by the venue's symbols."""
    symbols = {report.venue_symbol for report in reports}
    known = dict(_listed(account_id=account_id, symbols=list(symbols)))
    if missing := sorted(symbols - known.keys()):
        logger.warning("%s traded unknown instruments: %s", account_id, ", ".join(missing))
    return known


@prepared
def _listed(account_id: Any, symbols: Any) -> Any:
    listed = Instrument.objects.filter(venue__accounts=account_id, venue_symbol__any=symbols)
    return listed.values_list("venue_symbol", "pk")


class _Owners:
    """Which of an account's intents a trade belongs to, by our id or by the venue's."""

    def __init__(self, account_id: str, reports: Iterable[FillReport], *, sandbox: bool) -> None:
        named = (intent_id_of(report.client_order_id or "") for report in reports)
        found = _owning(
            account_id=account_id,
            sandbox=sandbox,
            intent_ids=[intent_id for intent_id in named if intent_id is not None],
            order_ids=[r.venue_order_id for r in reports if r.venue_order_id],
        )
        self._by_id = {pk: (pk, instrument, side) for pk, _, instrument, side in found}
        self._by_venue = {venue: self._by_id[pk] for pk, venue, _, _ in found if venue}

    def of(self, report: FillReport, instrument_id: UUID) -> UUID | None:
        """Return the intent's id; None when there is none, or it asked for something else."""
        named = intent_id_of(report.client_order_id or "")
        found = (self._by_id.get(named) if named is not None else None) or self._by_venue.get(
            report.venue_order_id
        )
        if found is None or found[1:] != (instrument_id, report.side):
            return None
        return found[0]


@prepared
def _owning(account_id: Any, sandbox: Any, intent_ids: Any, order_ids: Any) -> Any:
    named = Q(pk__any=intent_ids) | Q(venue_order_id__any=order_ids)
    intents = OrderIntent.objects.filter(named, account=account_id, sandbox=sandbox)
    return intents.values_list("pk", "venue_order_id", "instrument_id", "side")


def _row(
    account_id: str,
    instrument_id: UUID,
    report: FillReport,
    owners: _Owners,
    *,
    sandbox: bool,
) -> Fill:
    return Fill(
        account_id=account_id,
        instrument_id=instrument_id,
        intent_id=owners.of(report, instrument_id),
        sandbox=sandbox,
        trade_id=report.trade_id,
        venue_order_id=report.venue_order_id,
        client_order_id=report.client_order_id or "",
        side=report.side,
        amount=report.amount,
        price=report.price,
        fee=report.fee,
        fee_asset=report.fee_asset,
        is_maker=report.is_maker,
        venue_at=report.at,
    )


def _tell_external(account_id: str, fills: Sequence[Fill]) -> None:
    """Tell of trades made elsewhere; not of those an order of ours may still explain."""
    if not fills:
        return
    open_ones = set(
        OrderIntent.objects.filter(
            account=account_id, state="submitted", submission__in=["sending", "unknown"]
        ).values_list("instrument_id", "side")
    )
    for fill in fills:
        if (fill.instrument_id, fill.side) in open_ones:
            continue
        events.publish(
            Occurrence(
                type=EventType.ORDER,
                severity=Severity.WARN,
                account_id=account_id,
                message=_("%(account)s traded outside the control plane: %(side)s %(amount)s.")
                % {"account": account_id, "side": fill.side, "amount": plain(fill.amount)},
                payload={
                    "code": "external_fill",
                    "fillId": str(fill.pk),
                    "tradeId": fill.trade_id,
                    "instrument": str(fill.instrument),
                    "side": fill.side,
                    "amount": plain(fill.amount),
                    "price": plain(fill.price),
                },
            )
        )

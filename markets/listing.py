"""What venues list: contracts, their rules, and what is frozen when those change.

A changed rule is configuration, and is audited as the job's that read it. A contract whose steps
change, or that its venue lists no more, is taken over as the venue says and frozen: nothing is
opened there until a person has looked at what changed, since sizes and prices worked out before
may be off, and the name may stand for another contract. Reducing goes on, by the new rules. A
list that came cut short is no list.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from controlplane.base import audit, events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.units import LIMIT, ZERO
from markets.models import Instrument, Venue
from markets.venues.errors import VenueUnavailable
from markets.venues.types import InstrumentReport

INSTRUMENTS_SYNCED: Final = audit.register(
    "instruments.synced", label=gettext_lazy("Instruments synced")
)
INSTRUMENT_ACCEPTED: Final = audit.register(
    "instrument.accepted", label=gettext_lazy("Changed instrument accepted")
)

_RULES: Final = (
    "symbol",
    "quote_asset",
    "contract_size",
    "tick",
    "lot",
    "min_qty",
    "max_qty",
    "max_market_qty",
    "min_notional",
    "max_leverage",
    "maker_fee",
    "taker_fee",
    "is_active",
)
_STEPS: Final = ("contract_size", "tick", "lot")
_IDENTITY: Final = ("symbol", "quote_asset", *_STEPS)
"""What makes a contract the one it was; a change of it freezes."""
_WIRE: Final = {"quote_asset": "quoteAsset", "contract_size": "contractSize"}
LISTED: Final = "listed"
"""Under this name a freeze says that a contract vanished, or is listed with what cannot be."""

Changes = Mapping[str, Mapping[str, str]]
Watcher = Callable[[Sequence[UUID]], None]
_watchers: list[Watcher] = []


@dataclass(frozen=True, slots=True)
class InstrumentsSynced:
    """What a venue's list changed. `refused` holds `venue symbol: why`."""

    created: int
    changed: int
    unchanged: int
    retired: int
    refused: tuple[str, ...]
    frozen: int = 0


def watch_freezes(watcher: Watcher) -> None:
    """Call `watcher` with the instruments that were frozen, after the commit."""
    if watcher not in _watchers:
        _watchers.append(watcher)


def listing_take(
    *, venue: Venue, reports: Sequence[InstrumentReport], actor: Actor, believe: bool = False
) -> InstrumentsSynced:
    """Write what a venue lists, unless the list was cut short.

    One with fewer contracts than half of those known is taken for no list at all, as a venue that
    did not answer: it would freeze everything it lacks. Raises VenueUnavailable, nothing written,
    and tells it once until the list is whole again. `believe` takes what there is: a person has
    looked.
    """
    known = venue.instruments.filter(is_active=True).count()
    if reports and (believe or len(reports) * 2 >= known):
        with transaction.atomic():
            synced = instruments_upsert(venue=venue, reports=reports, actor=actor)
            Venue.objects.exclude(listing_short_at=None).filter(pk=venue.pk).update(
                listing_short_at=None
            )
        return synced
    text = _(
        "%(venue)s lists %(listed)d contracts, and %(known)d are known: that list is not believed."
    ) % {"venue": venue, "listed": len(reports), "known": known}
    _tell_short(venue, text, listed=len(reports), known=known)
    raise VenueUnavailable(text)


@transaction.atomic
def _tell_short(venue: Venue, text: str, *, listed: int, known: int) -> None:
    unsaid = Venue.objects.filter(pk=venue.pk, listing_short_at=None)
    if unsaid.update(listing_short_at=timezone.now()):
        events.publish(
            Occurrence(
                type=EventType.SYSTEM,
                severity=Severity.WARN,
                message=text,
                payload={
                    "code": "listing_short",
                    "venue": venue.pk,
                    "listed": listed,
                    "known": known,
                },
            )
        )


@transaction.atomic
def instruments_upsert(
    *, venue: Venue, reports: Sequence[InstrumentReport], actor: Actor
) -> InstrumentsSynced:
    """Bring a venue's instruments in line with its own list, and freeze what is not what it was.

    A report without a usable number is refused, never filled in. What the list no longer has is
    retired, not deleted.
    """
    known = {row.venue_symbol: row for row in venue.instruments.select_for_update()}
    refused: list[str] = []
    created: list[Instrument] = []
    changed: dict[str, Instrument] = {}
    frozen: dict[Instrument, Occurrence] = {}
    unchanged = 0
    for report in reports:
        row = known.get(report.venue_symbol)
        rules = _rules(report, row)
        if why := _refusal(venue, report.venue_symbol, rules):
            refused.append(f"{report.venue_symbol}: {why}")
            changes: Changes = {LISTED: {"from": "true", "to": why}}
        elif row is None:
            created.append(Instrument(venue=venue, venue_symbol=report.venue_symbol, **rules))
            continue
        else:
            changes = _changes(row, rules)
            if _differs(row, rules):
                changed[row.venue_symbol] = _with(row, rules)
            else:
                unchanged += 1
        if row is not None and changes and (news := _freeze(row, changes)):
            frozen[row] = news
    listed = {report.venue_symbol for report in reports}
    gone = [row for row in known.values() if row.is_active and row.venue_symbol not in listed]
    for row in gone:
        _with(row, {"is_active": False})
        if news := _freeze(row, {LISTED: {"from": "true", "to": "false"}}):
            frozen[row] = news
    written = {row.venue_symbol: row for row in (*changed.values(), *gone, *frozen)}
    with audit.context(INSTRUMENTS_SYNCED, actor=actor):
        Instrument.objects.bulk_create(created)
        Instrument.objects.bulk_update(
            list(written.values()), [*_RULES, "frozen_at", "frozen_for", "updated_at"]
        )
    events.publish(*frozen.values())
    if frozen:
        transaction.on_commit(partial(_tell_watchers, [row.pk for row in frozen]))
    return InstrumentsSynced(
        len(created), len(changed), unchanged, len(gone), tuple(refused), len(frozen)
    )


@transaction.atomic
def instrument_accept(*, instrument: Instrument, actor: Actor, reason: str) -> Instrument:
    """Let a frozen instrument be traded again, as its venue lists it now.

    Raises Conflict when it is not frozen, or is not listed.
    """
    row = Instrument.objects.select_for_update().get(pk=instrument.pk)
    if row.frozen_at is None:
        raise Conflict(_("%(instrument)s is not frozen.") % {"instrument": row})
    if not row.is_active:
        raise Conflict(
            _("%(instrument)s is not listed as active by its venue.") % {"instrument": row}
        )
    accepted = row.frozen_for
    row.frozen_at, row.frozen_for = None, {}
    with audit.context(INSTRUMENT_ACCEPTED, actor=actor, reason=reason):
        row.save(update_fields=["frozen_at", "frozen_for", "updated_at"])
    events.publish(
        Occurrence(
            type=EventType.CONFIG,
            message=_("%(instrument)s may be traded again; its change was accepted by %(actor)s.")
            % {"instrument": row, "actor": actor.name},
            payload={
                "code": "instrument_accepted",
                "instrument": str(row),
                "changes": accepted,
                "actor": actor.name,
                "reason": reason,
            },
        )
    )
    return row


def _freeze(row: Instrument, changes: Changes) -> Occurrence | None:
    """Freeze a row; return what is to be told of it, or None when that is no news.

    What changes again before a person looked is told against what that person last accepted.
    """
    known: dict[str, Any] = row.frozen_for
    merged = {
        **known,
        **{
            name: {"from": known.get(name, change)["from"], "to": change["to"]}
            for name, change in changes.items()
        },
    }
    if merged == known:
        return None
    row.frozen_at, row.frozen_for = row.frozen_at or timezone.now(), merged
    row.updated_at = timezone.now()
    return Occurrence(
        type=EventType.CONFIG,
        message=_("%(instrument)s is frozen until somebody accepts its change: %(changes)s.")
        % {"instrument": row, "changes": ", ".join(sorted(changes))},
        severity=Severity.WARN,
        payload={
            "code": "instrument_frozen",
            "instrument": str(row),
            "instrumentId": str(row.pk),
            "changes": merged,
        },
    )


def _tell_watchers(instrument_ids: Sequence[UUID]) -> None:
    for watcher in _watchers:
        watcher(instrument_ids)


def _rules(report: InstrumentReport, row: Instrument | None) -> dict[str, Any]:
    rules = {
        "symbol": report.base,
        "quote_asset": report.quote,
        **{name: getattr(report, name) for name in _RULES[2:]},
    }
    if row is not None and report.max_leverage is None:
        rules["max_leverage"] = row.max_leverage  # a listing that does not say is no news
    return rules


def _refusal(venue: Venue, venue_symbol: str, rules: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a venue's rules, or None; the same bounds as the constraints."""
    try:
        Instrument(venue=venue, venue_symbol=venue_symbol, **rules).clean_fields(exclude={"venue"})
    except ValidationError as error:
        return ", ".join(error.message_dict)
    for name in (*_STEPS, "max_qty", "max_market_qty", "max_leverage"):
        value = rules[name]
        if value is not None and not ZERO < value < LIMIT:
            return f"{name} {value}"
    for name in ("min_qty", "min_notional"):
        if not ZERO <= rules[name] < LIMIT:
            return f"{name} {rules[name]}"
    return None


def _differs(row: Instrument, rules: Mapping[str, Any]) -> bool:
    return any(getattr(row, name) != value for name, value in rules.items())


def _changes(row: Instrument, rules: Mapping[str, Any]) -> Changes:
    """Return what is no more as it was, of what makes the contract the one it is."""
    return {
        _WIRE.get(name, name): {"from": str(getattr(row, name)), "to": str(rules[name])}
        for name in _IDENTITY
        if getattr(row, name) != rules[name]
    }


def _with(row: Instrument, rules: Mapping[str, Any]) -> Instrument:
    for name, value in rules.items():
        setattr(row, name, value)
    row.updated_at = timezone.now()
    return row

"""Reads of how high accounts' equity has been, on the capital that they have now."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

from django.db import connection
from django.db.models import Exists, F, QuerySet

from accounts.domain.drawdown import Flow, Stretch, is_certain, peak_of, spans
from accounts.models import EquitySample, Transfer
from controlplane.base.prepared import prepared

PEAK_WITHIN: Final = timedelta(days=90)
_STRETCHES: Final = """
    SELECT (SELECT max(equity) FROM accounts_equitysample
            WHERE account_id = %(account)s AND at >= span.begins AND at < span.ends),
           (SELECT equity FROM accounts_equitysample
            WHERE account_id = %(account)s AND at >= span.begins AND at < span.ends
            ORDER BY at DESC LIMIT 1)
    FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[])
        WITH ORDINALITY AS span (begins, ends, place)
    ORDER BY place
"""


@dataclass(slots=True)
class Track:
    """An account's equity since some moment, parted by its transfers."""

    flows: Sequence[Flow]
    stretches: list[Stretch]

    def peak(self, *, equity: Decimal, at: datetime) -> Decimal:
        """Return the peak to hold an equity (USD) read at `at` against, itself at least."""
        peak = peak_of(self.stretches, self.flows, at=at)
        return equity if peak is None else max(peak, equity)

    def note(self, *, equity: Decimal, at: datetime) -> None:
        """Count a reading in; one that may show a transfer or not is left out."""
        if is_certain(self.flows, at=at):
            self.stretches[-1] = self.stretches[-1].with_reading(equity)


def track(account_id: str, *, since: datetime, until: datetime) -> Track:
    """Return what the samples of an account tell from `since` up to `until`."""
    flows = [Flow(*row) for row in _flows(account_id=account_id, since=since)]
    begins, ends = zip(*spans(flows, since=since, until=until), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            _STRETCHES, {"account": account_id, "begins": list(begins), "ends": list(ends)}
        )
        return Track(flows, [Stretch(*row) for row in cursor.fetchall()])


def day_peak(account_id: str, *, equity: Decimal, at: datetime, now: datetime) -> Decimal | None:
    """Return the peak (USD) of the day (UTC) to hold an equity read at `at` against; None: none."""
    midnight = _midnight(now)
    highest, is_moved = _highest.first(account_id=account_id, since=midnight) or (None, False)
    if is_moved:
        return track(account_id, since=midnight, until=now).peak(equity=equity, at=at)
    return cast("Decimal | None", highest)


@prepared
def _highest(account_id: Any, since: Any) -> Any:
    """The highest sample, and whether any transfer moves it: one query, for each order's gate."""
    samples = EquitySample.objects.filter(account=account_id, at__gte=since)
    is_moved = Exists(_moving(account_id, since))
    return samples.order_by("-equity").values_list("equity", is_moved)[:1]


def _transfers_known(account_id: str, *, since: datetime) -> int:
    """Return how many transfers since then move the account's peak."""
    return len(_flows(account_id=account_id, since=since))


@prepared
def _flows(account_id: Any, since: Any) -> Any:
    return _moving(account_id, since).order_by("venue_at", "pk").values_list("venue_at", "amount")


def _moving(account_id: Any, since: Any) -> QuerySet[Transfer]:
    """Those in the asset that the account is settled in: equity is told in no other."""
    settled = F("account__state__settlement_asset")
    return Transfer.objects.filter(account=account_id, venue_at__gte=since, asset=settled)


@dataclass(slots=True)
class Peaks:
    """The tracks of accounts, read from the samples once and then kept with every reading.

    They are read anew when a transfer has become known: it may lie behind what was kept.
    """

    _known: dict[str, "_Kept"] = field(default_factory=dict)

    def of(
        self,
        account_id: str,
        equity: Decimal,
        at: datetime,
        *,
        tried_at: datetime | None = None,
    ) -> tuple[Decimal, Decimal]:
        """Return the day's (UTC) and the overall peak for an equity (USD) read at `at`.

        `tried_at` is when its transfers were asked for last.
        """
        kept = self._known.get(account_id)
        if kept is None or kept.tried_at != tried_at:
            kept = self._refreshed(account_id, at, kept, tried_at)
        if kept.day != at.date():
            kept.day, kept.of_day = at.date(), track(account_id, since=_midnight(at), until=at)
        self._known[account_id] = kept
        told = (
            kept.of_day.peak(equity=equity, at=at),
            kept.of_all.peak(equity=equity, at=at),
        )
        kept.of_day.note(equity=equity, at=at)
        kept.of_all.note(equity=equity, at=at)
        return told

    def _refreshed(
        self, account_id: str, at: datetime, kept: "_Kept | None", tried_at: datetime | None
    ) -> "_Kept":
        since = at - PEAK_WITHIN if kept is None else kept.since
        if kept is not None and _transfers_known(account_id, since=since) == len(kept.of_all.flows):
            kept.tried_at = tried_at
            return kept
        return _Kept(
            since,
            tried_at,
            at.date(),
            track(account_id, since=_midnight(at), until=at),
            track(account_id, since=since, until=at),
        )


@dataclass(slots=True)
class _Kept:
    """What is kept of an account."""

    since: datetime
    tried_at: datetime | None
    day: date
    of_day: Track
    of_all: Track


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)

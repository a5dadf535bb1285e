"""The ledger of what is out of threshold and too small to trade."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from hedging.domain.decision import Decision
from hedging.domain.planning import Plan
from hedging.models import HedgeDust

SEEN_EVERY: Final = timedelta(minutes=1)
"""A row whose size stays the same is written no more often."""


def dust_note(book: str, decision: Decision, plan: Plan, *, now: datetime) -> None:
    """Record that nothing of a decided trade is large enough; or that it is no dust any more.

    The caller holds the book's lock.
    """
    symbol = decision.exposure.symbol
    if not plan.is_dust:
        dust_close({(book, symbol)}, now=now)
        return
    delta_btc = decision.exposure.delta_btc
    assert delta_btc is not None, "a trade is decided only on a known delta"
    sizes = {"delta_base": decision.exposure.delta_base, "delta_btc": round(delta_btc, 18)}
    row = HedgeDust.objects.open().filter(book=book, symbol=symbol).first()
    if row is None:
        HedgeDust.objects.create(
            book=book, symbol=symbol, seen_at=now, skipped=_told(plan), **sizes
        )
    elif row.delta_base != decision.exposure.delta_base or now - row.seen_at >= SEEN_EVERY:
        HedgeDust.objects.filter(pk=row.pk).update(seen_at=now, skipped=_told(plan), **sizes)


def dust_close(places: Collection[tuple[str, str]], *, now: datetime) -> int:
    """Close the rows of these books and assets: they are hedged, inside, or changed."""
    if not places:
        return 0
    rows = HedgeDust.objects.open().values_list("pk", "book", "symbol")
    gone = [pk for pk, book, symbol in rows if (book, symbol) in places]
    return HedgeDust.objects.open().filter(pk__in=gone).update(closed_at=now) if gone else 0


def _told(plan: Plan) -> list[list[str]]:
    return [[account_id, str(code)] for account_id, code in plan.skipped]

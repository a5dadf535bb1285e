"""The ledger of transfers: what came in from outside and went out, once, by the venue's word."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from django.utils.translation import gettext as _

from accounts.models import ExchangeAccount, Transfer
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.units import plain
from markets.venues import types

MOST_TOLD: Final = 20
"""So many transfers an event names; the rows hold them all."""


def transfers_record(
    *, account: ExchangeAccount, reports: Sequence[types.Transfer], actor: Actor, tells: bool
) -> int:
    """Write the transfers not seen before; return how many there were.

    `tells`: publish an event for them too; not for the history that an account comes with.
    """
    ids = [report.transfer_id for report in reports]
    seen = set(
        Transfer.objects.filter(account=account, venue_transfer_id__in=ids).values_list(
            "kind", "venue_transfer_id"
        )
    )
    new = {
        (report.kind, report.transfer_id): report
        for report in reports
        if (report.kind, report.transfer_id) not in seen
    }
    Transfer.objects.bulk_create(
        [
            Transfer(
                account=account,
                venue_transfer_id=report.transfer_id,
                kind=report.kind,
                amount=report.amount,
                asset=report.asset,
                venue_at=report.at,
            )
            for report in new.values()
        ],
        ignore_conflicts=True,
    )
    if new and tells:
        _tell(account, list(new.values()), actor)
    return len(new)


def _tell(account: ExchangeAccount, moved: Sequence[types.Transfer], actor: Actor) -> None:
    named = [f"{plain(Decimal(it.amount))} {it.asset} ({it.kind})" for it in moved[:MOST_TOLD]]
    events.publish(
        Occurrence(
            type=EventType.ACCOUNT,
            severity=Severity.INFO,
            account_id=account.pk,
            message=_("Money of %(account)s was moved from outside: %(transfers)s.")
            % {"account": account.pk, "transfers": ", ".join(named)},
            payload={
                "code": "external_transfer",
                "count": len(moved),
                "transfers": [
                    {
                        "transferId": it.transfer_id,
                        "kind": it.kind,
                        "amount": plain(Decimal(it.amount)),
                        "asset": it.asset,
                    }
                    for it in moved[:MOST_TOLD]
                ],
                "actor": actor.name,
                "surface": str(actor.surface),
            },
        )
    )

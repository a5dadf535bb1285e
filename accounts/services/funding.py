"""The ledger of funding: every settlement once, by the venue's own id."""

from collections.abc import Sequence

from accounts.models import ExchangeAccount, FundingPayment
from markets.models import Instrument
from markets.venues import types


def funding_record(*, account: ExchangeAccount, reports: Sequence[types.FundingPayment]) -> int:
    """Write the payments not seen before; return how many there were.

    A payment of a contract we do not list is kept by the venue's symbol: it is money all the same.
    """
    known = FundingPayment.objects.filter(account=account).values_list("venue_symbol", "payment_id")
    seen = set(known.filter(payment_id__in=[report.payment_id for report in reports]))
    new = {
        (report.venue_symbol, report.payment_id): report
        for report in reports
        if (report.venue_symbol, report.payment_id) not in seen
    }
    instruments = dict(
        Instrument.objects.filter(
            venue=account.exchange_id, venue_symbol__in=[symbol for symbol, _id in new]
        ).values_list("venue_symbol", "pk")
    )
    FundingPayment.objects.bulk_create(
        [
            FundingPayment(
                account=account,
                instrument_id=instruments.get(report.venue_symbol),
                venue_symbol=report.venue_symbol,
                payment_id=report.payment_id,
                amount=report.amount,
                asset=report.asset,
                venue_at=report.at,
            )
            for report in new.values()
        ],
        ignore_conflicts=True,
    )
    return len(new)

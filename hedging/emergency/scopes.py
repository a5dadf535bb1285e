"""What a stop's scope covers: which accounts, in which books."""

from collections.abc import Mapping

from accounts.models import ExchangeAccount
from controlplane.kernel.errors import Denied
from hedging.domain.emergency import StopScope
from hedging.facts import topology
from markets.models import Venue
from strategies.models import AccountAllocation, OrderIntent, StrategyModule

PAPER = "paper"


def accounts_covered(scope: StopScope, target: str, *, drill: bool) -> Mapping[str, str]:
    """Return account -> book of every account in a scope; a drill covers paper venues only.

    Raises Denied for a target that does not exist, or one where none is expected.
    """
    books = {name: book.key for book in topology() if not book.sandbox for name in book.account_ids}
    names = _names(scope, target, books)
    accounts = ExchangeAccount.objects.filter(pk__in=names)
    if drill:
        accounts = accounts.filter(exchange__environment=PAPER)
    found = {
        pk: books.get(pk, f"live:{pk}")
        for pk in accounts.order_by("pk").values_list("pk", flat=True)
    }
    if drill and not found:
        raise Denied("NOTHING_TO_DRILL", "NOTHING_TO_DRILL: no account of a paper venue in scope.")
    return found


def book_of(account_id: str) -> str:
    """Return the key of the live book an account is in."""
    found = (book.key for book in topology() if not book.sandbox and account_id in book.account_ids)
    return next(found, f"live:{account_id}")


def _names(scope: StopScope, target: str, books: Mapping[str, str]) -> set[str]:
    everybody = set(ExchangeAccount.objects.values_list("pk", flat=True))
    match scope:
        case StopScope.ALL:
            if target:
                raise Denied("TARGET_NOT_EXPECTED", f"TARGET_NOT_EXPECTED: target={target}")
            return everybody
        case StopScope.ACCOUNT:
            names = everybody & {target}
        case StopScope.BOOK:
            names = {name for name, key in books.items() if key == target}
        case StopScope.VENUE:
            if not Venue.objects.filter(pk=target).exists():
                raise _unknown(scope, target)
            at_venue = ExchangeAccount.objects.filter(exchange=target)
            return set(at_venue.values_list("pk", flat=True))
        case StopScope.MODULE:
            if not StrategyModule.objects.filter(pk=target).exists():
                raise _unknown(scope, target)
            allocated = AccountAllocation.objects.filter(module=target)
            traded = OrderIntent.objects.live().filter(module=target, claim_fence__gt=0)
            return {
                *allocated.values_list("account", flat=True),
                *traded.order_by().values_list("account", flat=True).distinct(),
            }
    if not names:
        raise _unknown(scope, target)
    return names


def _unknown(scope: StopScope, target: str) -> Denied:
    return Denied("UNKNOWN_TARGET", f"UNKNOWN_TARGET: scope={scope}, target={target}")

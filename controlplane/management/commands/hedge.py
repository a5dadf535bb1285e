"""Look at books now and hedge what is out of its threshold."""

import json
from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from controlplane.base.audit import Actor, Surface
from controlplane.kernel.units import plain
from hedging import selectors
from hedging.choices import TriggerReason
from hedging.domain.decision import Reason
from hedging.domain.planning import Plan
from hedging.facts import topology
from hedging.models import HedgeExecution
from hedging.selectors import Proposal
from hedging.services import book_evaluate

_CALM = frozenset({Reason.WITHIN_THRESHOLD, Reason.IN_FLIGHT})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided on one asset of a book, and the hedge it led to."""

    book: str
    symbol: str
    verdict: str
    reason: str
    numbers: dict[str, str | None]
    orders: list[dict[str, str | bool]]
    skipped: list[tuple[str, str]]
    execution_id: str | None

    def is_trouble(self, *, dry_run: bool) -> bool:
        """Tell whether the asset should be hedged and is not."""
        is_done = bool(self.orders) and (dry_run or self.execution_id is not None)
        return self.reason not in _CALM and not is_done


class Command(BaseCommand):
    help = str(
        _(
            "Look at books (all when none is named) and hedge now what is out of its threshold. "
            "Exits 0 when all is well or on its way, 1 when something stays unhedged, 2 on usage."
        )
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("book", nargs="*", help="a book's key, such as live:main-1")
        parser.add_argument("--dry-run", action="store_true", help="decide and plan, send nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--reason", default="", help="why, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["reason"].strip() and not options["dry_run"]:
            raise CommandError(str(_("Say why with --reason.")), returncode=2)
        known = [book.key for book in topology()]
        keys = options["book"] or known
        if unknown := sorted(set(keys) - set(known)):
            raise CommandError(
                str(_("There is no book %(books)s.")) % {"books": ", ".join(unknown)}, returncode=2
            )
        outcomes = [item for key in keys for item in self._look(key, options)]
        if options["json"]:
            self.stdout.write(
                json.dumps({"dryRun": options["dry_run"], "decisions": [*map(asdict, outcomes)]})
            )
        else:
            for outcome in outcomes:
                self._print(outcome)
        if any(outcome.is_trouble(dry_run=options["dry_run"]) for outcome in outcomes):
            raise CommandError(str(_("Something stays unhedged.")), returncode=1)

    def _look(self, key: str, options: dict[str, Any]) -> list[Outcome]:
        proposals = selectors.proposals(key, now=timezone.now())
        if options["dry_run"] or not any(item.decision.is_trading for item in proposals):
            return [_outcome(key, item, None) for item in proposals]
        book_evaluate(
            key=key,
            trigger_reason=TriggerReason.MANUAL,
            actor=Actor(name="hedge", surface=Surface.COMMAND),
            reason=options["reason"],
        )
        running = {item.symbol: item for item in HedgeExecution.objects.running().filter(book=key)}
        return [
            _outcome(key, item, running.get(item.decision.exposure.symbol)) for item in proposals
        ]

    def _print(self, outcome: Outcome) -> None:
        numbers = ", ".join(f"{name}={value}" for name, value in outcome.numbers.items())
        self.stdout.write(f"{outcome.book} {outcome.symbol}: {outcome.verdict} {outcome.reason}")
        self.stdout.write(f"  {numbers}")
        for order in outcome.orders:
            self.stdout.write(
                f"  {order['accountId']}: {order['side']} {order['amount']} @ {order['price']}"
            )
        for account_id, reason in outcome.skipped:
            self.stdout.write(f"  {account_id}: {reason}")


def _outcome(key: str, proposal: Proposal, execution: HedgeExecution | None) -> Outcome:
    decision, plan = proposal.decision, proposal.plan
    return Outcome(
        book=key,
        symbol=decision.exposure.symbol,
        verdict=decision.verdict.value,
        reason=decision.reason.value,
        numbers=decision.numbers(),
        orders=_orders(plan),
        skipped=list(plan.skipped) if plan else [],
        execution_id=None if execution is None else str(execution.pk),
    )


def _orders(plan: Plan | None) -> list[dict[str, str | bool]]:
    return [
        {
            "accountId": order.account_id,
            "side": order.side.value,
            "amount": plain(order.amount),
            "price": plain(order.price),
            "reduceOnly": order.reduce_only,
        }
        for order in (plan.orders if plan else ())
    ]

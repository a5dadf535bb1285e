"""What hedging tells: events for the record, and the console's call to look again."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext as _

from controlplane import bus
from controlplane.base import events
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.units import plain
from hedging.choices import HedgeResult
from hedging.domain.decision import Decision
from hedging.models import HedgeExecution

SHOWN_PLACES: Final = 8
"""BTC is told to people to the satoshi; records and payloads keep every digit."""


def breach_told(execution: HedgeExecution, decision: Decision) -> None:
    """Tell that a book is out of its threshold, and that its hedge was decided and written."""
    _told(_breach(execution, decision), _begun(execution))


def _breach(execution: HedgeExecution, decision: Decision) -> Occurrence:
    return Occurrence(
        type=EventType.DELTA_ALERT,
        severity=Severity.WARN,
        account_id=execution.primary_account_id,
        message=_("%(book)s is out of its threshold in %(symbol)s: %(delta)s BTC.")
        % {
            "book": execution.book,
            "symbol": execution.symbol,
            "delta": plain(round(execution.delta_before, SHOWN_PLACES)),
        },
        payload={
            "book": execution.book,
            "symbol": execution.symbol,
            "executionId": str(execution.pk),
            **decision.numbers(),
        },
    )


def hold_told(book: str, decision: Decision, *, severity: Severity) -> None:
    """Tell that a book stays as it is although something is wrong with it."""
    events.publish(
        Occurrence(
            type=EventType.DELTA_ALERT,
            severity=severity,
            message=_("%(book)s is not hedged in %(symbol)s: %(reason)s.")
            % {
                "book": book,
                "symbol": decision.exposure.symbol,
                "reason": decision.reason.value,
            },
            payload={
                "book": book,
                "symbol": decision.exposure.symbol,
                "verdict": decision.verdict.value,
                "reason": decision.reason.value,
                **decision.numbers(),
            },
        )
    )


def begun_told(execution: HedgeExecution) -> None:
    """Tell that a hedge was decided and its orders were written."""
    _told(_begun(execution))


def _begun(execution: HedgeExecution) -> Occurrence:
    return _of_hedge(
        execution,
        _("Hedge of %(book)s in %(symbol)s begun: %(count)d orders.")
        % {
            "book": execution.book,
            "symbol": execution.symbol,
            "count": len(execution.orders),
        },
        Severity.INFO,
        {"orders": execution.orders, "trigger": str(execution.trigger_reason)},
    )


def finished_told(execution: HedgeExecution) -> None:
    """Tell how a hedge ended."""
    severity = {HedgeResult.SUCCESS: Severity.INFO, HedgeResult.PARTIAL: Severity.WARN}.get(
        HedgeResult(str(execution.result)), Severity.CRITICAL
    )
    ended = _of_hedge(
        execution,
        _("Hedge of %(book)s in %(symbol)s ended: %(result)s.")
        % {
            "book": execution.book,
            "symbol": execution.symbol,
            "result": str(execution.result),
        },
        severity,
        {
            "result": str(execution.result),
            "deltaAfter": _shown(execution.delta_after),
            "durationMs": execution.duration_ms,
            "slippageBp": _shown(execution.slippage_bp),
            "secondsOutOfBand": _shown(execution.seconds_out_of_band),
        },
    )
    _told(ended)


def _shown(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


def _of_hedge(
    execution: HedgeExecution, message: str, severity: Severity, payload: Mapping[str, Any]
) -> Occurrence:
    return Occurrence(
        type=EventType.HEDGE,
        severity=severity,
        account_id=execution.primary_account_id,
        message=message,
        payload={
            "book": execution.book,
            "symbol": execution.symbol,
            "executionId": str(execution.pk),
            "deltaBefore": plain(execution.delta_before),
            "threshold": plain(execution.threshold),
            **payload,
        },
    )


def _told(*occurrences: Occurrence) -> None:
    events.publish(*occurrences)
    bus.send_each("console", "console.changed", [{"topic": "hedges"}, {"topic": "books"}])

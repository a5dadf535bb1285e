"""Hedging that ran wild is switched off, and only a named person switches it on again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from controlplane import bus
from controlplane.base import audit, events
from controlplane.base.audit import Actor
from controlplane.base.prepared import prepared
from controlplane.kernel.errors import Conflict, Denied
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.ids import uuid7_floor
from hedging.choices import HedgeResult, TriggerReason
from hedging.domain.books import Book
from hedging.domain.throttle import (
    EXECUTIONS_WITHIN,
    FAILURES_WITHIN,
    Pace,
    PastHedge,
    ThrottleCause,
    Throttles,
    ThrottleScope,
    book_pace,
    exceeded,
)
from hedging.models import HedgeExecution, HedgeThrottle
from strategies.domain.intent import REJECTED
from strategies.models import OrderIntent

RELEASED = audit.register("throttle.released", label=gettext_lazy("Hedge throttle released"))
MAX_REASON = 2000
LAPSED: Final = "lapsed"
"""Among the inputs of a hedge: nobody came to its orders in time."""


def past_hedges(key: str, *, now: datetime) -> list[PastHedge]:
    """Return the book's hedges that what comes next depends on, the newest first.

    One that nobody came to in time is none: the next attempt does not wait for it.
    """
    rows = _past(
        book=key,
        begun_after=uuid7_floor(now - EXECUTIONS_WITHIN),
        ended_after=now - FAILURES_WITHIN,
    )
    return [
        PastHedge(
            symbol,
            result == HedgeResult.FAIL,
            trigger_reason == TriggerReason.MANUAL,
            created_at,
            finished_at if result is not None else None,
        )
        for symbol, result, trigger_reason, created_at, finished_at in rows
    ]


@prepared
def _past(book: Any, begun_after: Any, ended_after: Any) -> Any:
    hedges = HedgeExecution.objects.filter(
        Q(execution_id__gte=begun_after) | Q(result=None) | Q(finished_at__gte=ended_after),
        book=book,
    )
    counted = hedges.exclude(decision_inputs__has_key=LAPSED)
    return counted.order_by("-execution_id").values_list(
        "symbol", "result", "trigger_reason", "created_at", "finished_at"
    )


def pace_check(
    book: Book, past: Sequence[PastHedge], throttles: Throttles, *, now: datetime
) -> bool:
    """Return whether the book may be hedged by itself; trips a throttle when it ran wild.

    What came before the last release does not count any more.
    """
    most = Pace(
        executions=settings.HEDGE_THROTTLE_EXECUTIONS,
        failures=settings.HEDGE_THROTTLE_FAILURES,
        rejects=settings.HEDGE_THROTTLE_REJECTS,
    )
    paces = {(ThrottleScope.BOOK, book.key): book_pace(past, throttles, book.key, now)}
    for module_id, rejects in _rejects(book.module_ids, throttles, now).items():
        paces[ThrottleScope.MODULE, module_id] = Pace(rejects=rejects)
    tripped = False
    for (scope, target), pace in paces.items():
        if cause := exceeded(pace, most):
            _trip(scope, target, cause, getattr(pace, cause.value))
            tripped = True
    return not tripped


def _rejects(module_ids: Sequence[str], throttles: Throttles, now: datetime) -> Mapping[str, int]:
    """Return how many hedge orders of each module venues have refused lately.

    One that never left, or that a venue proved never to have accepted, was refused by nobody: it
    says nothing against the module. Its hedge has failed, and counts as that.
    """
    since = {
        name: uuid7_floor(throttles.since(now - FAILURES_WITHIN, ThrottleScope.MODULE, name))
        for name in module_ids
    }
    after = uuid7_floor(now - FAILURES_WITHIN)
    rows = _refused(module_ids=list(module_ids), after=after) if module_ids else ()
    return Counter(module_id for module_id, pk in rows if pk >= since[module_id])


@prepared
def _refused(module_ids: Any, after: Any) -> Any:
    refused = OrderIntent.objects.filter(
        module__any=module_ids,
        intent_id__gte=after,
        state=str(REJECTED.state),
        submission=str(REJECTED.submission),
        hedge_executions__isnull=False,
    )
    return refused.values_list("module_id", "intent_id")


def _trip(scope: ThrottleScope, target: str, cause: ThrottleCause, count: int) -> None:
    throttle, is_new = HedgeThrottle.objects.get_or_create(
        scope=scope, target=target, released_at=None, defaults={"cause": cause, "count": count}
    )
    if is_new:
        _told(
            throttle,
            _("Hedging of %(target)s is off until a person releases it: %(count)d %(cause)s.")
            % {"target": throttle, "count": count, "cause": cause},
            Severity.CRITICAL,
        )


@transaction.atomic
def throttle_release(*, throttle: HedgeThrottle, actor: Actor, reason: str) -> HedgeThrottle:
    """Let what a throttle holds be hedged by itself again.

    Raises Denied without a reason or a named person, and Conflict when it is released already.
    """
    reason = reason.strip()[:MAX_REASON]
    if not reason:
        raise Denied("REASON_REQUIRED", "REASON_REQUIRED: say why.")
    if actor.user_id is None:
        raise Denied("PERSON_REQUIRED", "PERSON_REQUIRED: only a named person releases it.")
    with audit.context(RELEASED, actor=actor, reason=reason):
        released = (
            HedgeThrottle.objects.standing()
            .filter(pk=throttle.pk)
            .update(released_at=timezone.now(), released_by=actor.name, release_reason=reason)
        )
    throttle.refresh_from_db()
    if not released:
        raise Conflict(f"The throttle of {throttle} is released already.")
    _told(
        throttle,
        _("Hedging of %(target)s is on again, by %(name)s: %(reason)s")
        % {"target": throttle, "name": actor.name, "reason": reason},
        Severity.WARN,
    )
    return throttle


def _told(throttle: HedgeThrottle, message: str, severity: Severity) -> None:
    is_module = throttle.scope == ThrottleScope.MODULE
    events.publish(
        Occurrence(
            type=EventType.HEDGE,
            severity=severity,
            module_id=throttle.target if is_module else None,
            message=message,
            payload={
                "code": "hedge-throttle",
                "throttleId": str(throttle.pk),
                "scope": str(throttle.scope),
                "target": throttle.target,
                "cause": str(throttle.cause),
                "count": throttle.count,
                "isReleased": throttle.released_at is not None,
            },
        )
    )
    bus.send("console", "console.changed", topic="books")

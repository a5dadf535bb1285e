"""Hedging that ran wild is switched off, and only a named person switches it on again."""

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from controlplane import bus
from controlplane.base import audit, events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, Denied
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.ids import uuid7_floor
from hedging.choices import HedgeResult, TriggerReason
from hedging.domain.books import Book
from hedging.domain.throttle import (
    EXECUTIONS_WITHIN,
    FAILURES_WITHIN,
    Pace,
    ThrottleCause,
    ThrottleScope,
    exceeded,
)
from hedging.models import HedgeExecution, HedgeThrottle
from strategies.models import OrderIntent

RELEASED = audit.register("throttle.released", label=gettext_lazy("Hedge throttle released"))
MAX_REASON = 2000


def pace_check(book: Book, *, now: datetime) -> bool:
    """Return whether the book may be hedged by itself; trips a throttle when it ran wild.

    What came before the last release does not count any more.
    """
    most = Pace(
        executions=settings.HEDGE_THROTTLE_EXECUTIONS,
        failures=settings.HEDGE_THROTTLE_FAILURES,
        rejects=settings.HEDGE_THROTTLE_REJECTS,
    )
    paces = {(ThrottleScope.BOOK, book.key): _book_pace(book.key, now)}
    for module_id in book.module_ids:
        paces[ThrottleScope.MODULE, module_id] = _module_pace(module_id, now)
    tripped = False
    for (scope, target), pace in paces.items():
        if cause := exceeded(pace, most):
            _trip(scope, target, cause, getattr(pace, cause.value))
            tripped = True
    return not tripped


def _book_pace(key: str, now: datetime) -> Pace:
    released_at = _released_at(ThrottleScope.BOOK, key)
    begun = _since(now - EXECUTIONS_WITHIN, released_at)
    failing = _since(now - FAILURES_WITHIN, released_at)
    counts = (
        HedgeExecution.objects.filter(book=key, execution_id__gte=uuid7_floor(begun))
        .exclude(trigger_reason=TriggerReason.MANUAL)
        .aggregate(
            executions=Count("pk"),
            failures=Count("pk", filter=Q(result=HedgeResult.FAIL, created_at__gte=failing)),
        )
    )
    return Pace(**counts)


def _module_pace(module_id: str, now: datetime) -> Pace:
    since = _since(now - FAILURES_WITHIN, _released_at(ThrottleScope.MODULE, module_id))
    refused = OrderIntent.objects.filter(
        module=module_id,
        intent_id__gte=uuid7_floor(since),
        state="failed",
        claim_fence__gt=0,
        hedge_executions__isnull=False,
    )
    return Pace(rejects=refused.count())


def _released_at(scope: ThrottleScope, target: str) -> datetime | None:
    found: datetime | None = HedgeThrottle.objects.filter(scope=scope, target=target).aggregate(
        at=Max("released_at")
    )["at"]
    return found


def _since(moment: datetime, released_at: datetime | None) -> datetime:
    return moment if released_at is None else max(moment, released_at)


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

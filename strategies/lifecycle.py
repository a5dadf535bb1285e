"""Verbs that change whether a module runs."""

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from controlplane import bus
from controlplane.base import audit, events
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import EventType, Occurrence
from markets.groups import CONSOLE
from strategies.choices import ModuleStatus
from strategies.models import StrategyModule

ENABLED = audit.register("module.enabled", label=_("Module enabled"))
DISABLED = audit.register("module.disabled", label=_("Module disabled"))


@transaction.atomic
def module_enable(*, module: StrategyModule, actor: audit.Actor, reason: str) -> StrategyModule:
    """Let a module make intents. Raises Conflict when it is enabled already."""
    return _move(module, ENABLED, status=ModuleStatus.ENABLE, actor=actor, reason=reason)


@transaction.atomic
def module_disable(*, module: StrategyModule, actor: audit.Actor, reason: str) -> StrategyModule:
    """Stop a module from making intents. Raises Conflict when it is disabled already."""
    return _move(module, DISABLED, status=ModuleStatus.DISABLE, actor=actor, reason=reason)


def _move(
    module: StrategyModule,
    action: audit.Action,
    *,
    status: ModuleStatus,
    actor: audit.Actor,
    reason: str,
) -> StrategyModule:
    module = StrategyModule.objects.select_for_update(of=("self",)).get(pk=module.pk)
    if module.status == status:
        raise Conflict(
            f"{module.pk} is {module.status} already.",
            details={"module": module.pk, "status": module.status},
        )
    module.status = status
    with audit.context(action, actor=actor, reason=reason):
        module.save(update_fields=["status", "updated_at"])
    events.publish(
        Occurrence(
            type=EventType.CONFIG,
            message=f"{module.pk} {action.code} by {actor.name}: {reason}",
            module_id=module.pk,
            payload={"action": action.code, "actor": actor.name, "reason": reason},
        )
    )
    bus.send(CONSOLE, "console.changed", topic="books")
    return module

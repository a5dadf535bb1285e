"""Jobs of strategies. Each carries ids and wins a claim before it acts."""

import logging
from datetime import timedelta

from django.db import transaction

from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.base.jobs import JobRunner, enqueue, job
from controlplane.kernel.errors import Denied
from controlplane.kernel.events import EventType, Occurrence, Severity
from strategies import evaluation, execution, failover, sandbox, selectors
from strategies.models import StrategyModule

logger = logging.getLogger(__name__)


@job(name="orders.submit", cluster="hedge")
class SubmitIntent(JobRunner):
    """Send one intent, unless somebody has or a rule forbids it."""

    def run(self, **ids: str) -> None:
        execution.intent_submit(intent_id=ids["intent_id"], actor=self.actor)


@job(name="orders.resolve", cluster="hedge")
class ResolveIntent(JobRunner):
    """Ask the venue for an order whose end we have not seen."""

    def run(self, **ids: str) -> None:
        intent = selectors.intent_to_send(ids["intent_id"])
        execution.unknown_resolve(intent=intent, actor=self.actor)


@job(name="orders.cancel", cluster="hedge")
class CancelIntent(JobRunner):
    """Ask the venue to cancel one resting order."""

    def run(self, **ids: str) -> None:
        failover.intent_cancel(intent_id=ids["intent_id"], actor=self.actor)


@job(name="strategies.evaluate", cluster="sync", every=timedelta(minutes=1))
class EvaluateModules(JobRunner):
    """Turn what enabled modules see into intents, and fill what rests in the sandbox."""

    def run(self, **ids: str) -> None:
        sandbox.orders_match(actor=self.actor)
        for module in selectors.modules_to_evaluate():
            try:
                _evaluate(module, self.actor)
            except Denied as refusal:
                _tell(module, refusal.message, Severity.WARN)
            except Exception as error:  # one module's trouble is not another's
                logger.exception("The strategy of module %s broke.", module.pk)
                _tell(module, f"broke: {type(error).__name__}", Severity.CRITICAL)


@transaction.atomic
def _evaluate(module: StrategyModule, actor: Actor) -> None:
    for intent in evaluation.module_evaluate(module=module, actor=actor):
        enqueue(SubmitIntent, intent_id=str(intent.pk))


def _tell(module: StrategyModule, text: str, severity: Severity) -> None:
    events.publish(
        Occurrence(
            type=EventType.ORDER,
            message=f"{module.pk}: {text}",
            severity=severity,
            module_id=module.pk,
        )
    )

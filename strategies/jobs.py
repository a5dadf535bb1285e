"""Jobs of strategies. Each carries ids and wins a claim before it acts."""

from controlplane.base.jobs import JobRunner, job
from strategies import execution, selectors


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

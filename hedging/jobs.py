"""Jobs of hedging."""

from controlplane.base.jobs import JobRunner, job
from hedging.emergency.driving import stop_drive


@job(name="emergency.drive", cluster="hedge")
class DriveStop(JobRunner):
    """Bring an emergency stop as far as it goes; several at once share its accounts."""

    def run(self, **ids: str) -> None:
        stop_drive(stop_id=ids["stop_id"], actor=self.actor)

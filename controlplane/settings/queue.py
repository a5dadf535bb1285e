"""django-q2: two clusters, so a slow sync never delays a hedge.

Delivery is at least once. A hedge task is acknowledged even when it fails and is never tried
again by the queue: trying again is a new decision. `retry` must exceed any run time.
"""

from typing import Any

from controlplane.settings.env import env

DEAD_MAN_SECONDS = env.int("DEAD_MAN_SECONDS", default=60)
"""After how much silence venues that can cancel our resting orders; 0: they are not asked to."""

VENUE_PROCESSES = env.int(
    "VENUE_PROCESSES",
    default=env.int("SYNC_WORKERS", default=1) + env.int("HEDGE_WORKERS", default=2) + 3,
)
"""How many processes of all hosts together send to venues: the workers, web, feeds, sentinel.
Each has an equal part of what a venue's answers have not told of yet (decision 0007)."""

Q_CLUSTER: dict[str, Any] = {
    "name": "sync",
    "orm": "default",
    "broker_class": "controlplane.base.queue.WakingBroker",
    "workers": env.int("SYNC_WORKERS", default=1),
    # A wake-up comes with each task (NOTIFY); this is for one that was lost.
    "poll": 0.5,
    "timeout": 120,
    "retry": 600,
    "max_attempts": 3,
    "ack_failures": True,
    "catch_up": False,
    # Successes are recorded by our own JobRun; -1 keeps the queue from storing and pruning them.
    "save_limit": -1,
    "queue_limit": 20,
    "bulk": 1,
    "recycle": 5000,
    "label": "Jobs",
    "ALT_CLUSTERS": {
        "hedge": {
            "workers": env.int("HEDGE_WORKERS", default=2),
            "timeout": 60,
            "retry": 240,
            "max_attempts": 1,
            "ack_failures": True,
            "catch_up": False,
            "save_limit": -1,
            "queue_limit": 20,
            "recycle": 5000,
            # Only the sync cluster looks at schedules.
            "scheduler": False,
        }
    },
}

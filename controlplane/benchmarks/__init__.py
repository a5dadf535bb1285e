"""What is measured, and against which goals: `manage.py benchmark NAME`."""

from controlplane.benchmarks import (
    account_sync,
    cancel_wait,
    emergency_stop,
    exposure,
    feed_burst,
    feed_flood,
    feed_ingest,
    feed_silence,
    feed_soak,
    fill_latency,
    hedge_latency,
    order_path,
)
from controlplane.benchmarks.report import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    "account-sync": account_sync.run,
    "cancel-wait": cancel_wait.run,
    "emergency-stop": emergency_stop.run,
    "exposure": exposure.run,
    "feed-burst": feed_burst.run,
    "feed-flood": feed_flood.run,
    "feed-ingest": feed_ingest.run,
    "feed-silence": feed_silence.run,
    "feed-soak": feed_soak.run,
    "fill-latency": fill_latency.run,
    "hedge-latency": hedge_latency.run,
    "order-path": order_path.run,
}
OPTIONS: dict[str, tuple[str, ...]] = {
    "feed-burst": ("capture",),
    "feed-flood": ("minutes",),
    "feed-ingest": ("peer_python",),
    "feed-soak": ("feeds", "minutes"),
}
"""What some of them may be told besides."""

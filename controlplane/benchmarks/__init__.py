"""What is measured, and against which goals: `manage.py benchmark NAME`."""

from controlplane.benchmarks import (
    account_sync,
    emergency_stop,
    exposure,
    feed_ingest,
    feed_silence,
    fill_latency,
    hedge_latency,
    order_path,
)
from controlplane.benchmarks.report import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    "account-sync": account_sync.run,
    "emergency-stop": emergency_stop.run,
    "exposure": exposure.run,
    "feed-ingest": feed_ingest.run,
    "feed-silence": feed_silence.run,
    "fill-latency": fill_latency.run,
    "hedge-latency": hedge_latency.run,
    "order-path": order_path.run,
}

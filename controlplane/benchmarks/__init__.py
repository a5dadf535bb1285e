"""What is measured, and against which goals: `manage.py benchmark NAME`."""

from controlplane.benchmarks import hedge_latency
from controlplane.benchmarks.report import Benchmark

BENCHMARKS: dict[str, Benchmark] = {"hedge-latency": hedge_latency.run}

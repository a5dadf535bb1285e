"""The parts of the pack: each runs one kind of scenario and returns its figures."""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from controlplane.benchmarks.report import percentile
from strategies.models import OrderIntent
from tests.faults.pack import ROOT, Part, say
from tests.faults.rig.adding import counted
from tests.faults.rig.arena import arena
from tests.faults.rig.clocks import Faked
from tests.faults.rig.clocks import apart as clocks_apart
from tests.faults.rig.clocks import missing as clocks_missing
from tests.faults.rig.clocks_acts import play as clocks_play
from tests.faults.rig.dispatch import dispatches
from tests.faults.rig.flows import FLOWS
from tests.faults.rig.machine import play
from tests.faults.rig.plugs import apart, pulled
from tests.faults.rig.schedules import schedules
from tests.faults.rig.slow_disk import FLUSH_SECONDS
from tests.faults.rig.slow_disk import missing as slow_disk_missing
from tests.faults.rig.sweep import crucial, every, sweep

Facts = dict[str, Any]
Fresh = Callable[[], None]
SHIFTS = (60, -60)
"""Seconds that the workers' and the feeds' clocks are ahead, and the sentinel's is behind."""
SEEDS_PER_EXAMPLE = 5
"""An example of the model is as long as some schedules."""


def _sweep(flow: str, options: argparse.Namespace, fresh: Fresh) -> Facts:
    choose = partial(crucial, most=options.points) if options.points else every
    made = sweep(flow, choose=choose, fresh=fresh, say=say)
    return {
        "points": made.points,
        "killed": len(made.killed),
        **_spread("known", made.known),
    }


def _dispatch(options: argparse.Namespace, fresh: Fresh) -> Facts:
    made = dispatches(options.rounds, fresh=fresh, say=say)
    return {"rounds": made.rounds, "orders": made.orders}


def _schedules(options: argparse.Namespace, fresh: Fresh) -> Facts:
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    made = schedules(seeds, fresh=fresh, say=say)
    return {
        "seeds": made.seeds,
        "ranges": [[seeds[0], seeds[-1]]],
        "orders": made.orders,
        "unknown": made.unknown,
        "withheld": made.withheld,
        "absent": made.absent,
        "broken": made.broken,
        "resolved": counted(made.resolved),
    }


def _model(options: argparse.Namespace, fresh: Fresh) -> Facts:
    examples = max(1, options.seeds // SEEDS_PER_EXAMPLE)
    try:
        made = play(examples, first_seed=options.first_seed, fresh=fresh)
    except Exception as error:  # with the steps that lead there
        steps = "\n".join(getattr(error, "__notes__", ()))
        raise AssertionError(f"{error!r}\n{steps}") from error
    return {"examples": made.examples, "orders": made.orders, "seed": options.first_seed}


def _tests(_options: argparse.Namespace, _fresh: Fresh) -> Facts:
    """Run the named tests of the matrix in a process of their own."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/faults", "tests/flows"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = ran.stdout.strip().splitlines()
    return {
        "told": lines[-1] if lines else "nothing",
        "broken": [line for line in lines if line.startswith(("FAILED", "ERROR"))],
    }


def _plugs(options: argparse.Namespace, _fresh: Fresh) -> Facts:
    with tempfile.TemporaryDirectory(prefix="plugs-") as directory:
        made = pulled(options.plugs, Path(directory), say=say)
    return {
        "pulled": made["pulled"],
        "processes": max(made["killed"]),
        "in_flight": sum(made["in_flight"]),
        "orders": made["orders"],
        "fills": made["fills"],
        **_spread("ready", made["ready"][1:]),
        **_spread("agreed", made["agreed"][1:]),
    }


def _outages(options: argparse.Namespace, _fresh: Fresh) -> Facts:
    with tempfile.TemporaryDirectory(prefix="outages-") as directory:
        made = apart("tests.faults.rig.outages", options.cuts, Path(directory), say=say)
    return {
        "cuts": made["cuts"],
        "breaches": len(made["breaches"]),
        "alerts": len(made["alerted"]),
        "known_max": round(max(made["known"]), 2),
        "told_max": round(max(made["told"]), 2),
        "alerted_max": round(max(made["alerted"], default=0.0), 2),
        "alarms": len(made["overdue"]),
        "alarm_max": round(max(made["overdue"], default=0.0), 2),
        "breach_p50": round(percentile(made["breaches"], 0.5), 2),
        "breach_p99": round(percentile(made["breaches"], 0.99), 2),
    }


def _clocks(_options: argparse.Namespace, fresh: Fresh) -> Facts:
    orders = 0
    for seconds in SHIFTS:
        fresh()
        with arena() as made, tempfile.TemporaryDirectory(prefix="clocks-") as directory:
            with clocks_apart(made, Path(directory), Faked) as stage:
                clocks_play(stage, workers=seconds, sentinel=-seconds, feeds=seconds)
            made.settle()
            made.verify(f"clocks {seconds:+d} s apart")
            orders += OrderIntent.objects.live().filter(claim_fence__gt=0).count()
        say(f"clocks: {seconds:+d} s")
    return {"shifts": list(SHIFTS), "orders": orders}


def _slow_disk(_options: argparse.Namespace, _fresh: Fresh) -> Facts:
    with tempfile.TemporaryDirectory(prefix="slow-disk-") as directory:
        made = apart("tests.faults.rig.slow_disk", 1, Path(directory), say=say)
    return {
        "flush": FLUSH_SECONDS,
        "claims": len(made["claims"]),
        **{key: made[key] for key in ("flushes", "orders")},
        **{key: round(made[key], 2) for key in ("cancelled", "stop_cancelled", "stopped")},
    }


def _spread(name: str, seconds: Sequence[float]) -> Facts:
    if not seconds:
        return {}
    return {
        f"{name}_p95": round(percentile(seconds, 0.95), 2),
        f"{name}_max": round(max(seconds), 2),
    }


PARTS: Mapping[str, Part] = {
    **{f"sweep-{flow}": partial(_sweep, flow) for flow in FLOWS},
    "dispatch": _dispatch,
    "schedules": _schedules,
    "model": _model,
    "plugs": _plugs,
    "outages": _outages,
    "clocks": _clocks,
    "slow-disk": _slow_disk,
    "tests": _tests,
}
NEEDS: Mapping[str, Callable[[], str]] = {"clocks": clocks_missing, "slow-disk": slow_disk_missing}
"""What says what a machine lacks for a part: some need a tool of the system."""

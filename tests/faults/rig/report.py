"""The pack's report: what was run, how often, and what came of it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from controlplane.benchmarks.report import percentile
from tests.faults.rig.adding import times

Facts = Mapping[str, Any]

HEAD: Final = """# What the fault pack found

Written by the fault pack from what its parts have left; each row names the version it ran on.

| part | what was done | result | commit | when | took |
| --- | --- | --- | --- | --- | --- |
"""
TAIL: Final = """
## What the parts do

- `sweep-…`: a flow runs in a child process that kills itself (`kill -9`) at its k-th database
  statement, commit or socket write, for every k. The parent recovers as the product does after a
  start (boot sweep, resolver, reconciliation, queued jobs delivered again) and the book must come
  to rest, hedged.
- `dispatch`: every job is given to two workers at the same moment.
- `schedules`: each seed draws a few orders and what befalls them (replies lost, cut, poisoned or
  refused, fills before the answer, reads that lag or lie, cancels that cross fills), played
  against two paper venues over sockets.
- `model`: hypothesis invents sequences of acts of people, workers, markets and networks.
- `plugs`: everything of a trading product is killed at once, PostgreSQL too; the venues and
  proxies live on.
- `outages`: the venues refuse the same product every order for a while; then it is cut off from
  them and let back, several times. How long a book was out of its threshold is told by the
  venues' ledgers.
- `clocks`: sentinel, feeds and workers run as real processes with wall clocks that are off the
  database's (by libfaketime) and are set while they run.
- `slow-disk`: every `fsync` and `fdatasync` of a PostgreSQL of its own takes five seconds (by
  `strace`), while orders are sent, cancelled and stopped.
- `tests`: the named tests of the fault matrix.

After each scenario the oracle (`controlplane/faults/oracle.py`) compares the venues' ledgers with
the database, and names the broken invariant, the seed and the first bad event. `make faults
SEEDS=1000 ROUNDS=10000 PLUGS=50 ARGS="--report docs/faults.md"` runs it all; `ARGS="--only
schedules --first-seed 7 --seeds 1"` plays one seed again; `--add` adds a slice of seeds or rounds
to those that were run before, and `--render --report docs/faults.md` only writes this page.
"""


def rendered(parts: Mapping[str, Facts]) -> str:
    """Return the report as Markdown."""
    rows = "".join(_row(name, parts[name]) for name in sorted(parts))
    broken = [(name, text) for name in sorted(parts) for text in parts[name]["broken"]]
    if not broken:
        return HEAD + rows + TAIL
    found = "\n".join(f"- {name}: {text}" for name, text in broken)
    return f"{HEAD}{rows}\n## Broken\n\n{found}\n{TAIL}"


def _row(name: str, facts: Facts) -> str:
    told = _TOLD.get(name.partition("-")[0], _plainly)
    result = f"**{len(facts['broken'])} broken**" if facts["broken"] else "all invariants hold"
    took = f"{facts['seconds'] // 60} min {facts['seconds'] % 60} s"
    when = facts["at"].replace("T", " ").removesuffix("+00:00")
    return f"| {name} | {told(facts)} | {result} | {facts['commit']} | {when} | {took} |\n"


def _sweep(facts: Facts) -> str:
    if "points" not in facts:
        return "not finished"
    return (
        f"killed at {facts['killed']} points ({facts['points']} in a run that nobody kills); all "
        f"orders and trades known after p95 {facts['known_p95']} s, at most {facts['known_max']} s"
    )


def _dispatch(facts: Facts) -> str:
    if "rounds" not in facts:
        return "not finished"
    return f"{facts['rounds']} jobs given to two workers each: {facts['orders']} orders"


def _schedules(facts: Facts) -> str:
    if "ranges" not in facts:
        return "not finished"
    played = " and ".join(f"{first} to {last}" for first, last in facts["ranges"])
    text = (
        f"{facts['seeds']} seeds, {played}: {facts['orders']} orders, {facts['withheld']} of them "
        f"withheld by our own gate, {facts['unknown']} of unknown fate, {facts['absent']} proven "
        "never accepted"
    )
    if not (resolved := times(facts["resolved"])):
        return text
    truth = f"p95 {percentile(resolved, 0.95):.2f} s, at most {max(resolved):.2f} s"
    return f"{text}; from unknown to known {truth}"


def _model(facts: Facts) -> str:
    if "examples" not in facts:
        return "not finished"
    played = f"{facts['examples']} examples of random acts on {facts['orders']} orders"
    return f"{played}, seed {facts['seed']}"


def _tests(facts: Facts) -> str:
    return f"the tests of the matrix: {facts.get('told', 'not finished')}"


def _plugs(facts: Facts) -> str:
    if "pulled" not in facts:
        return "not finished"
    return (
        f"plug pulled {facts['pulled']} times in a row, {facts['processes']} processes each, "
        f"PostgreSQL among them, {facts['in_flight']} orders then in flight: running again after "
        f"p95 {facts['ready_p95']} s, all of {facts['orders']} orders and {facts['fills']} trades "
        f"known and equal after p95 {facts['agreed_p95']} s, at most {facts['agreed_max']} s"
    )


def _outages(facts: Facts) -> str:
    if "cuts" not in facts:
        return "not finished"
    return (
        f"cut off {facts['cuts']} times for 6 to 15 s: told of after at most {facts['told_max']} "
        f"s, every order and trade known at most {facts['known_max']} s after the proxies' return; "
        f"{facts['breaches']} times a book was out of its threshold with all well: p50 "
        f"{facts['breach_p50']} s, p99 {facts['breach_p99']} s; of {facts['alerts']} that venues "
        f"let nobody hedge, all told of after at most {facts['alerted_max']} s; of "
        f"{facts['alarms']} that lasted, each was an alarm after at most {facts['alarm_max']} s"
    )


def _clocks(facts: Facts) -> str:
    if "shifts" not in facts:
        return "not finished"
    shifts = " and ".join(f"{seconds:+d} s" for seconds in facts["shifts"])
    return (
        f"workers and feeds by clocks {shifts} off the database's, the sentinel by one as far the "
        f"other way, set back 10 s while they run: {facts['orders']} orders claimed, none sent "
        "late, twice or never, and the stop done by who had the right to"
    )


def _slow_disk(facts: Facts) -> str:
    if "flushes" not in facts:
        return "not finished"
    return (
        f"every flush of PostgreSQL's took {facts['flush']:.0f} s, {facts['flushes']} of them: "
        f"{facts['claims']} orders claimed and none sent, a cancel at its venue after "
        f"{facts['cancelled']} s, those of an emergency stop after {facts['stop_cancelled']} s; "
        f"everything closed {facts['stopped']} s after the disk was quick again"
    )


def _plainly(facts: Facts) -> str:
    hidden = {"broken", "commit", "at", "seconds"}
    return ", ".join(f"{key} {value}" for key, value in facts.items() if key not in hidden)


_TOLD: Final[Mapping[str, Callable[[Facts], str]]] = {
    "sweep": _sweep,
    "dispatch": _dispatch,
    "schedules": _schedules,
    "plugs": _plugs,
    "outages": _outages,
    "clocks": _clocks,
    "slow": _slow_disk,
    "model": _model,
    "tests": _tests,
}

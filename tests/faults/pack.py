"""The fault pack: `make faults`, or `python -m tests.faults.pack --help`.

Each part leaves its figures in a file; the report is written from those files, so that long parts
may run one by one. Exits with 1 when a part has found something broken, 2 on usage.
"""

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = ROOT / "var" / "faults"
ADDABLE: Final = frozenset({"dispatch", "schedules"})
Part = Callable[[argparse.Namespace, Callable[[], None]], dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for, and write the report."""
    options = _options(arguments)
    parts = _parts()
    if options.add and set(options.only) - ADDABLE:
        sys.stderr.write(f"Figures are added only to {', '.join(sorted(ADDABLE))}.\n")
        return 2
    if unknown := sorted(set(options.only) - set(parts)):
        sys.stderr.write(f"There is no part {', '.join(unknown)}; there are {', '.join(parts)}.\n")
        return 2
    chosen = () if options.render else _playable(options.only, parts)
    if chosen is None:
        return 2
    results = Path(options.results)
    results.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        _run(name, parts[name], options, results)
    told = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))}
    if options.report:
        from tests.faults.rig.report import rendered

        Path(options.report).write_text(rendered(told))
    if options.json:
        sys.stdout.write(json.dumps(told) + "\n")
    return int(any(part["broken"] for part in told.values()))


def _playable(only: Sequence[str], parts: Mapping[str, Part]) -> Sequence[str] | None:
    """Return the parts to run: those asked for, None when this machine lacks what one needs.

    Of all parts, those that lack something are left out, which is said.
    """
    from tests.faults.rig.parts import NEEDS

    lacking = {name: NEEDS[name]() for name in only or parts if name in NEEDS}
    for name, lack in lacking.items():
        if lack:
            sys.stderr.write(f"{name} cannot run: {lack}.\n")
    if only and any(lacking.values()):
        return None
    return [name for name in only or parts if not lacking.get(name)]


def _run(name: str, part: Part, options: argparse.Namespace, results: Path) -> None:
    from tests.faults.rig.database import own_database

    began = time.monotonic()
    say(f"{name} begins")
    facts: dict[str, Any] = {"broken": []}
    try:
        with own_database() as fresh:
            facts |= part(options, fresh)
    except AssertionError as error:
        facts["broken"] = [str(error)]
    facts |= {
        "commit": options.commit or _commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began),
    }
    _keep(results / f"{name}.json", facts, adds=options.add)
    say(f"{name} ends: {len(facts['broken'])} broken, {facts['seconds']} s")
    for text in facts["broken"]:
        say(text)


def _keep(path: Path, facts: dict[str, Any], *, adds: bool) -> None:
    """Leave the figures, added to those of earlier runs if so asked; two may end at once."""
    from tests.faults.rig.adding import added

    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if adds and path.exists():
            facts = added(json.loads(path.read_text()), facts)
        path.write_text(json.dumps(facts, indent=1))


def say(text: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stderr.flush()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make faults", description="Break everything on purpose, and see what comes of it."
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="PART")
    parser.add_argument("--seeds", type=_count, default=200, help="fault schedules to play")
    parser.add_argument("--first-seed", type=_count, default=1)
    parser.add_argument("--rounds", type=_count, default=500, help="double dispatches")
    parser.add_argument("--plugs", type=_count, default=3, help="kill -9 of a running demo")
    parser.add_argument("--cuts", type=_count, default=5, help="losses of all connections")
    parser.add_argument(
        "--points", type=_count, help="kill at so many points of each flow; at all when unset"
    )
    parser.add_argument("--results", default=str(RESULTS), help="where figures are left")
    parser.add_argument(
        "--add",
        action="store_true",
        help="add to the figures that earlier runs of the part have left (schedules, dispatch)",
    )
    parser.add_argument("--report", default="", help="the report to write, Markdown")
    parser.add_argument(
        "--render", action="store_true", help="run nothing: report what earlier runs have left"
    )
    parser.add_argument("--commit", default="", help="what the report calls this version")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _commit() -> str:
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"


def _parts() -> Mapping[str, Part]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    os.environ.setdefault("LOG_LEVEL", "CRITICAL")
    import django

    django.setup()
    from tests.faults.rig import parts

    return parts.PARTS


if __name__ == "__main__":
    sys.exit(main())

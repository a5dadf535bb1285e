"""Take every guard out in turn and see its test fail: `make guards`, or this with `--help`.

`GUARDS.md` says which test holds which guard, `guards.toml` how a guard is taken out. It is done in
a copy of the tree. A text that is no longer found exactly once is refused: the guard has changed,
and so must the way to take it out. All take long: with `--keep FILE` a run goes on where the last
one of the same tree ended. Exits with 1 when a guard is missed by no test, or there is no way to
take it out, which it names; 2 on usage.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import time
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from itertools import count
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any, Final

TESTS: Final = Path(__file__).resolve().parents[1]
ROOT: Final = TESTS.parent
FORKING: Final = TESTS / "faults" / "forking.py"
LIST: Final = TESTS / "faults" / "GUARDS.md"
REMOVALS: Final = TESTS / "faults" / "guards.toml"
VAR: Final = ROOT / "var" / "guards"
"""Where the tests' PostgreSQL is kept, so that it is made once."""
LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv", "var", "__pycache__", ".*_cache", ".hypothesis"
)
LONGEST_SECONDS: Final = 900
SECONDS_A_TEST: Final = 20
"""What a test may take on a busy machine, when many are run."""
EACH: Final = "{each}"
NO_MATTER: Final = re.compile(r"__pycache__/|\.\w+_cache/|\.hypothesis/|\.md$|/guards\.toml$")
"""What does not tell one tree from another: no run depends on it."""
NAMED: Final = re.compile(r"`(test_[a-z0-9_]+)(…)?(\[[^`]*\])?`")
WRITTEN: Final = re.compile(r"^(?:async )?def (test_[a-z0-9_]+)", re.MULTILINE)
TROUBLED: Final = re.compile(r"^(FAILED|ERROR) (\S+)", re.MULTILINE)
OPTIONS: Final = ("-q", "-n", "0", "--tb=no")


class Unusable(Exception):
    """A guard that cannot be taken out as the list says."""


class Seen(StrEnum):
    """What the test said without its guard."""

    FAILED = "failed"
    """As it must."""
    PASSED = "passed"
    """Nothing would notice that the guard is gone."""
    BROKEN = "broken"
    """It could not run, or fails with the guard too: that proves nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a run of tests ended, and which failed, as far as that is known."""

    seen: Seen
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Removal:
    """One way to take a guard out: `old`, found once in `file`, becomes `new`.

    `which` tells it from others of the same guard that are made alike.
    """

    guard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    which: str = ""

    def __str__(self) -> str:
        return f"{self.guard}{f' [{self.which}]' if self.which else ''} ({self.file})"

    @property
    def key(self) -> str:
        """What tells it from all others."""
        way = json.dumps([self.guard, self.file, self.old, self.new, self.tests])
        return hashlib.sha256(way.encode()).hexdigest()[:16]

    def text(self, root: Path) -> str:
        """Return the file without the guard; raises Unusable when `old` is not there once."""
        before = (root / self.file).read_text()
        if (times := before.count(self.old)) != 1:
            raise Unusable(f"{self.guard}: found {times} times in {self.file}: {self.old!r}")
        return before.replace(self.old, self.new)


def guards() -> dict[str, tuple[str, ...]]:
    """Return what `GUARDS.md` says: of each guard, its tests as pytest names them."""
    lines = LIST.read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {row[0]: tuple(_tests(row[2])) for row in rows[2:]}


def removals() -> tuple[Removal, ...]:
    """Return every way to take a guard out; raises Unusable for one that is not listed."""
    listed = guards()
    told = tomllib.loads(REMOVALS.read_text())["without"]
    return tuple(it for entry in told for it in _removals(entry, listed))


def _removals(entry: Mapping[str, Any], listed: Mapping[str, tuple[str, ...]]) -> Iterator[Removal]:
    guard, file, old, new = (entry[name] for name in ("guard", "file", "old", "new"))
    if guard not in listed:
        raise Unusable(f"GUARDS.md has no guard {guard!r}.")
    for which, test in entry.get("each", {}).items():
        yield Removal(guard, file, old, new.replace(EACH, which), _named(test), which)
    if "each" not in entry:
        tests = _named(entry["test"]) if "test" in entry else listed[guard]
        yield Removal(guard, file, old, new, tests)


def _named(test: str) -> tuple[str, ...]:
    return tuple(_tests(f"`{test}`"))


def _tests(cell: str) -> Iterator[str]:
    for name, is_begun, case in NAMED.findall(cell):
        found = [it for it in _written() if (it.startswith(name) if is_begun else it == name)]
        if not found:
            raise Unusable(f"There is no test {name}.")
        yield from (f"{path}::{it}{case}" for it in found for path in _written()[it])


@cache
def _written() -> dict[str, list[str]]:
    """Return in which files the tests of each name are."""
    written: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for name in WRITTEN.findall(path.read_text()):
            written.setdefault(name, []).append(str(path.relative_to(ROOT)))
    return written


@contextmanager
def tree() -> Iterator[Path]:
    """Copy the tree to where guards may be taken out of it."""
    with TemporaryDirectory(prefix="guards-") as name:
        copy = Path(name) / "tree"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        yield copy


class Runner:
    """Runs tests in a copy of the tree."""

    def __init__(self, copy: Path, forker: Popen[str], output: Path) -> None:
        self.copy, self._forker, self._output = copy, forker, output
        self._seconds = count(1)

    def look(self, removal: Removal) -> Run:
        """Run the tests of a guard without it; the copy is put back as it was."""
        path = self.copy / removal.file
        before, made = path.read_text(), path.stat().st_mtime
        path.write_text(removal.text(self.copy))
        # Each a time of its own: what was compiled is known by size and seconds.
        os.utime(path, (made, made + next(self._seconds)))
        try:
            return self.run(removal.tests, first=True)
        finally:
            path.write_text(before)
            os.utime(path, (made, made))

    def run(self, tests: Collection[str], *, first: bool) -> Run:
        """Run tests until the `first` one fails or all of them."""
        code = self._answer(
            tree=str(self.copy),
            arguments=[*OPTIONS, *(["-x"] if first else []), *tests],
            output=str(self._output),
            seconds=max(LONGEST_SECONDS, SECONDS_A_TEST * len(tests)),
        )
        if code == 0:
            return Run(Seen.PASSED)
        told = self._output.read_text(errors="replace")
        troubles = dict.fromkeys(TROUBLED.findall(told)) if code == 1 else {}
        has_failed = any(kind == "FAILED" for kind, _test in troubles)
        failed = tuple(test for _kind, test in troubles)
        return Run(Seen.FAILED if has_failed else Seen.BROKEN, failed)

    def _answer(self, **order: object) -> int:
        assert self._forker.stdin is not None
        assert self._forker.stdout is not None
        self._forker.stdin.write(json.dumps(order) + "\n")
        self._forker.stdin.flush()
        return int(self._forker.stdout.readline())


@contextmanager
def runner(copy: Path) -> Iterator[Runner]:
    """Begin the process that runs tests, and end it."""
    with (
        TemporaryDirectory(prefix="guards-") as name,
        Popen(
            [sys.executable, str(FORKING)],
            env={"CONTROLPLANE_VAR": str(VAR), **os.environ},
            stdin=PIPE,
            stdout=PIPE,
            text=True,
        ) as forker,
    ):
        try:
            yield Runner(copy, forker, Path(name) / "output")
        finally:
            forker.terminate()


class Kept:
    """What was seen of one tree, line by line in a file, so that a long run can be gone on with."""

    def __init__(self, path: Path | None, copy: Path) -> None:
        self._path, self._tree = path, _digest(copy)
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        mine = [it for line in lines if (it := json.loads(line))["tree"] == self._tree]
        self.passed = {test for it in mine for test in it.get("passed", ())}
        self.seen = {it["removal"]: it for it in mine if it.get("seen") == Seen.FAILED}

    def add(self, **told: object) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps({"tree": self._tree, **told}) + "\n")


def _digest(copy: Path) -> str:
    """Return what tells this tree from every other one."""
    digest = hashlib.sha256()
    for path in sorted(it for it in copy.rglob("*") if it.is_file()):
        name = str(path.relative_to(copy))
        if not NO_MATTER.search(name):
            digest.update(f"{name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@dataclass(slots=True)
class Round:
    """One round of all that was asked for."""

    wanted: Sequence[Removal]
    runner: Runner
    kept: Kept
    found: list[dict[str, Any]] = field(default_factory=list)

    def prove(self) -> frozenset[str]:
        """Run what has not been seen to pass with all guards in place; return what does not."""
        every = sorted({test for it in self.wanted for test in it.tests} - self.kept.passed)
        if not every:
            return frozenset()
        ran = self.runner.run(every, first=False)
        if ran.seen is not Seen.PASSED and not ran.failed:
            return frozenset(every)
        names = {it.partition("[")[0] for it in ran.failed}
        failed = {test for test in every if test.partition("[")[0] in names}
        self.kept.add(passed=sorted(set(every) - failed))
        return frozenset(failed)

    def go(self, bad: Collection[str]) -> None:
        """Take each guard out whose tests are not `bad` already."""
        for removal in self.wanted:
            spoilt = sorted(set(removal.tests) & set(bad))
            row = None if spoilt else self.kept.seen.get(removal.key)
            if row is None:
                row = self._try(removal, spoilt)
                self.kept.add(**row)
            self.found.append(row)

    def _try(self, removal: Removal, bad: Sequence[str]) -> dict[str, Any]:
        began = time.monotonic()
        ran = Run(Seen.BROKEN, tuple(bad)) if bad else self.runner.look(removal)
        seconds = round(time.monotonic() - began)
        why = f"  fails with all guards in place: {', '.join(bad)}" if bad else ""
        _say(f"{ran.seen:<7} {seconds:>4} s  {removal}{why}")
        return {
            "removal": removal.key,
            "guard": removal.guard,
            "which": removal.which,
            "file": removal.file,
            "seen": str(ran.seen),
            "failed": list(ran.failed),
            "seconds": seconds,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Take out the guards that were asked for."""
    options = _options(arguments)
    try:
        every, listed = removals(), guards()
        for removal in every:
            removal.text(ROOT)
    except Unusable as error:
        return _say(str(error), 2)
    wanted = [it for it in every if _is_wanted(f"{it.guard} {it.file}", options.words)]
    firm = {it.guard for it in every}
    bare = [it for it in listed if it not in firm and _is_wanted(it, options.words)]
    if not wanted and not bare:
        return _say("No guard is called so.", 2)
    for guard in bare:
        _say(f"No way to take it out: {guard}")
    if options.list:
        sys.stdout.writelines(f"{it}\n" for it in wanted)
        return int(bool(bare))
    with tree() as copy, runner(copy) as running:
        done = Round(wanted, running, Kept(options.keep, copy))
        done.go(() if options.unproven else done.prove())
    _sum_up(done.found)
    if options.json:
        sys.stdout.write(json.dumps(done.found) + "\n")
    return int(bool(bare) or any(row["seen"] != Seen.FAILED for row in done.found))


def _sum_up(found: Sequence[Mapping[str, Any]]) -> None:
    missed = {row["guard"] for row in found if row["seen"] != Seen.FAILED}
    of_all = {row["guard"] for row in found}
    _say(
        f"Without {len(of_all - missed)} of {len(of_all)} guards a test fails whichever way they "
        f"are taken out ({len(found)} ways, {sum(row['seconds'] for row in found)} s)."
    )


def _say(text: str, code: int = 0) -> int:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    return code


def _is_wanted(text: str, words: Sequence[str]) -> bool:
    return not words or any(word in text for word in words)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make guards", description="Take every guard out in turn, and see its test fail."
    )
    parser.add_argument("words", nargs="*", help="of guards or files; all when none is given")
    parser.add_argument("--list", action="store_true", help="only say which guards are meant")
    parser.add_argument(
        "--unproven", action="store_true", help="do not run the tests with all guards first"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="add what is seen to FILE (under var/); do not do again what it says of the same tree",
    )
    parser.add_argument("--json", action="store_true", help="print what was seen as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(1))  # leave no copy behind
    sys.exit(main())

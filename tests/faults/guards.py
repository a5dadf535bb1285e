"""Take every guard out in turn and see its test fail: `make guards`, or this with `--help`.

`GUARDS.md` says which test holds which guard, `guards.toml` how a guard is taken out. It is done in
a copy of the tree. A text that is no longer found exactly once is refused: the guard has changed,
and so must the way to take it out. Exits with 1 when a guard is missed by no test, 2 on usage.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

TESTS: Final = Path(__file__).resolve().parents[1]
ROOT: Final = TESTS.parent
LIST: Final = TESTS / "faults" / "GUARDS.md"
REMOVALS: Final = TESTS / "faults" / "guards.toml"
VAR: Final = ROOT / "var" / "guards"
"""Where the tests' PostgreSQL is kept, so that it is made once."""
LEFT_OUT: Final = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache")
LONGEST_SECONDS: Final = 900
NAMED: Final = re.compile(r"`(test_[a-z0-9_]+)(…)?(\[[^`]*\])?`")
WRITTEN: Final = re.compile(r"^(?:async )?def (test_[a-z0-9_]+)", re.MULTILINE)
FAILED: Final = re.compile(r"^FAILED (\S+)", re.MULTILINE)


class Unusable(Exception):
    """A guard that cannot be taken out as the list says."""


class Seen(StrEnum):
    """What the test said without its guard."""

    FAILED = "failed"
    """As it must."""
    PASSED = "passed"
    """Nothing would notice that the guard is gone."""
    BROKEN = "broken"
    """It could not run, which proves nothing."""


@dataclass(frozen=True, slots=True)
class Removal:
    """One way to take a guard out: `old`, found once in `file`, becomes `new`."""

    guard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def text(self, root: Path) -> str:
        """Return the file without the guard; raises Unusable when `old` is not there once."""
        before = (root / self.file).read_text()
        if (count := before.count(self.old)) != 1:
            raise Unusable(f"{self.guard}: found {count} times in {self.file}: {self.old!r}")
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
    return tuple(_removal(entry, listed) for entry in told)


def _removal(entry: Mapping[str, str], listed: Mapping[str, tuple[str, ...]]) -> Removal:
    guard = entry["guard"]
    if guard not in listed:
        raise Unusable(f"GUARDS.md has no guard {guard!r}.")
    tests = tuple(_tests(f"`{entry['test']}`")) if "test" in entry else listed[guard]
    return Removal(guard, entry["file"], entry["old"], entry["new"], tests)


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


def look(removal: Removal, copy: Path) -> Seen:
    """Run the tests of a guard without it, in `copy`; that is put back as it was."""
    path = copy / removal.file
    before = path.read_text()
    path.write_text(removal.text(copy))
    try:
        return run(removal.tests, copy)
    finally:
        path.write_text(before)


def run(tests: Sequence[str], copy: Path) -> Seen:
    """Run tests in `copy` until one fails."""
    try:
        told = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "--tb=no", *tests],
            cwd=copy,
            env={"CONTROLPLANE_VAR": str(VAR), "PYTHONDONTWRITEBYTECODE": "1", **os.environ},
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Seen.BROKEN
    if told.returncode == 0:
        return Seen.PASSED
    return Seen.FAILED if told.returncode == 1 and FAILED.search(told.stdout) else Seen.BROKEN


def main(arguments: Sequence[str] | None = None) -> int:
    """Take out the guards that were asked for."""
    options = _options(arguments)
    try:
        wanted = [it for it in removals() if _is_wanted(it, options.words)]
        for removal in wanted:
            removal.text(ROOT)
    except Unusable as error:
        return _say(str(error), 2)
    if not wanted:
        return _say("No guard is called so.", 2)
    if options.list:
        sys.stdout.writelines(f"{it.guard}: {it.file}\n" for it in wanted)
        return 0
    with tree() as copy:
        every = sorted({test for it in wanted for test in it.tests})
        if not options.unproven and run(every, copy) is not Seen.PASSED:
            return _say("A test fails with all guards in place: that proves nothing.", 1)
        found = [_tried(removal, copy) for removal in wanted]
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    return int(any(row["seen"] != Seen.FAILED for row in found))


def _tried(removal: Removal, copy: Path) -> dict[str, object]:
    began = time.monotonic()
    seen = look(removal, copy)
    seconds = round(time.monotonic() - began)
    _say(f"{seen:<7} {seconds:>4} s  {removal.guard} ({removal.file})")
    return {"guard": removal.guard, "file": removal.file, "seen": str(seen), "seconds": seconds}


def _say(text: str, code: int = 0) -> int:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    return code


def _is_wanted(removal: Removal, words: Sequence[str]) -> bool:
    return not words or any(word in f"{removal.guard} {removal.file}" for word in words)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make guards", description="Take every guard out in turn, and see its test fail."
    )
    parser.add_argument("words", nargs="*", help="of guards or files; all when none is given")
    parser.add_argument("--list", action="store_true", help="only say which guards are meant")
    parser.add_argument(
        "--unproven", action="store_true", help="do not run the tests with all guards first"
    )
    parser.add_argument("--json", action="store_true", help="print what was seen as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Be one of the product's programs by a wall clock that is off, and can be set while it runs.

`python -m tests.faults.rig.shifted DATABASE PROGRAM`. The file in `SHIFT` holds by how many seconds
the clock is ahead, as `+60s`; unset, it is left alone (by us: libfaketime may have its hand in).
What the product takes wall time from is replaced, before the product is loaded.
"""

import os
import select
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from django.utils import timezone

ENVIRONMENT: Final = "SHIFT"
PRODUCT: Final = ("accounts", "controlplane", "hedging", "markets", "monitoring", "strategies")


def shift(path: Path) -> None:
    """Have `time.time` and `time.time_ns` say the right time and what the file says on top."""
    told = os.open(path, os.O_RDONLY)
    right = time.time_ns

    def wrong_ns() -> int:
        seconds = int(os.pread(told, 32, 0).strip().removesuffix(b"s"))
        return right() + seconds * 1_000_000_000

    time.time_ns = wrong_ns
    time.time = lambda: wrong_ns() / 1e9
    # What Django would tell if the product did not replace it: `datetime.now` is beyond our reach.
    timezone.now = lambda: datetime.fromtimestamp(wrong_ns() / 1e9, UTC)


def mend_sleep() -> None:
    """Have `time.sleep` work beside libfaketime 0.9.10, which refuses it any monotonic moment."""
    time.sleep = lambda seconds: select.select((), (), (), float(seconds)) and None


def main() -> None:
    database, name = sys.argv[1:]
    if path := os.environ.get(ENVIRONMENT):
        assert not [it for it in sys.modules if it.partition(".")[0] in PRODUCT]
        shift(Path(path))
    if "FAKETIME_TIMESTAMP_FILE" in os.environ:
        mend_sleep()
    import django

    django.setup()
    from django.db import connection

    connection.settings_dict |= {"NAME": database, "CONN_MAX_AGE": 600}
    _program(name)()


def _program(name: str) -> Callable[[], None]:
    from controlplane.supervision import clusters
    from controlplane.supervision.programs import command

    if name in ("sentinel", "feeds"):
        return partial(command, f"run_{name}")
    return partial(clusters.run, name)


if __name__ == "__main__":
    main()

"""The stage of emergency-stop: three paper venues in processes of their own, and a database.

Run as `python -m controlplane.benchmarks.stop_stage RESULT ACCOUNTS` in an environment that points
to an empty directory; leaves what it measured in the file RESULT.
"""

import json
import os
import sys
from pathlib import Path

import django

from controlplane.benchmarks.stop_venues import VENUES, Account, venues


def main() -> None:
    """Start the venues, measure both contenders, write the result."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    django.setup()
    from controlplane.benchmarks import stop_rounds, stop_rows
    from controlplane.benchmarks.rest_stub import expect_no_limits
    from controlplane.management.commands.demo import prepare_database
    from controlplane.supervision.programs import load_shared

    load_shared()  # as every program of the product begins
    result, count = Path(sys.argv[1]), int(sys.argv[2])
    prepare_database(result.parent, allow_url=False)
    ours = [Account(f"a{number}", number % VENUES) for number in range(count)]
    bare = [Account(f"b{number}", number % VENUES) for number in range(count)]
    with venues([*ours, *bare]) as places:
        for place in places:
            expect_no_limits(place.port)
        stop_rows.rows_write(ours, places)
        facts = stop_rounds.measure(ours, bare, places)
    result.write_text(json.dumps(facts))


if __name__ == "__main__":
    main()

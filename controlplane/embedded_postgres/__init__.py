"""A PostgreSQL server of our own, from a wheel, for a machine without one.

Used when `DATABASE_URL` is unset. The server starts at the first connection, keeps its data
under `var/postgres` and stops when the last process that uses it ends.
"""

from pathlib import Path
from typing import Any, Final

DATABASE_NAME: Final = "controlplane"


def database(var_dir: Path) -> dict[str, Any]:
    """Return Django's settings for the embedded server with its data under `var_dir`."""
    return {
        "ENGINE": "controlplane.embedded_postgres",
        "NAME": DATABASE_NAME,
        "USER": "postgres",
        "DATA_DIR": str(var_dir / "postgres"),
        "OPTIONS": {},
    }

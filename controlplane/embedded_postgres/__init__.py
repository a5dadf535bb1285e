"""A PostgreSQL server of our own, from a wheel, for a machine without one.

Used when `DATABASE_URL` is unset. The server starts at the first connection (again after it was
killed), keeps its data under `var/postgres` and stops when the last process that uses it ends,
however that process ends.
"""

from pathlib import Path
from typing import Any, Final

DATABASE_NAME: Final = "controlplane"


def database(var_dir: Path, *, durable: bool = True) -> dict[str, Any]:
    """Return Django's settings for the embedded server with its data under `var_dir`.

    A server that is not `durable` is faster and may lose its data in a crash: for tests.
    """
    return {
        "ENGINE": "controlplane.embedded_postgres",
        "NAME": DATABASE_NAME,
        "USER": "postgres",
        "DATA_DIR": str(var_dir / "postgres"),
        "DURABLE": durable,
        "OPTIONS": {},
    }

"""The product's settings on a data directory of the tests' own, where a crash may lose data."""

import os
from pathlib import Path

os.environ.setdefault(
    "CONTROLPLANE_VAR", str(Path(__file__).resolve().parent.parent / "var" / "tests")
)
os.environ.setdefault("EMBEDDED_POSTGRES_DURABLE", "0")

from controlplane.settings import *  # noqa: F403 - after the environment is set

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick sign-ins

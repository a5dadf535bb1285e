"""The product's settings on a data directory of the tests' own, where a crash may lose data."""

import os
from pathlib import Path

os.environ.setdefault(
    "CONTROLPLANE_VAR", str(Path(__file__).resolve().parent.parent / "var" / "tests")
)
os.environ.setdefault("EMBEDDED_POSTGRES_DURABLE", "0")

from controlplane.settings import *  # noqa: F403 - after the environment is set

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick sign-ins

# Threads of consumers end with their test; their connections must not outlive it.
DATABASES["default"]["CONN_MAX_AGE"] = 0  # noqa: F405 - from the product's settings

# Timers are set where a test is about them.
DEAD_MAN_SECONDS = 0

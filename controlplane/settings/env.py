"""The environment: what an operator sets, and what is made for a machine that sets nothing.

`CONTROLPLANE_ENV` is `local` (default: loopback only, keys generated under `var/`) or
`production`, where every missing or weak secret is refused at start.
"""

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

VAR_DIR = Path(env.str("CONTROLPLANE_VAR", default=str(BASE_DIR / "var")))
ENVIRONMENT = env.str("CONTROLPLANE_ENV", default="local")
if ENVIRONMENT not in {"local", "production"}:
    raise ImproperlyConfigured(
        f"CONTROLPLANE_ENV is {ENVIRONMENT!r}; it must be local or production."
    )
IS_PRODUCTION = ENVIRONMENT == "production"

MINIMUM_SECRET_LENGTH = 40


def secret_key() -> str:
    """Return Django's secret key; in production it must be set and long."""
    key = env.str("SECRET_KEY", default="")
    if not key and not IS_PRODUCTION:
        return str(_generated()["secret_key"])
    if _is_weak(key):
        raise ImproperlyConfigured(
            f"SECRET_KEY must be set to at least {MINIMUM_SECRET_LENGTH} random characters."
        )
    return key


def fernet_keys() -> list[str]:
    """Return the keys that encrypt credentials: the first encrypts, all of them decrypt."""
    keys: list[str] = env.list("FERNET_KEYS", default=[])
    if not keys and not IS_PRODUCTION:
        return list(_generated()["fernet_keys"])
    if not keys or any(_is_weak(key) for key in keys):
        raise ImproperlyConfigured(
            "FERNET_KEYS must list one or more keys of at least "
            f"{MINIMUM_SECRET_LENGTH} random characters, newest first, separated by commas."
        )
    return keys


def _is_weak(key: str) -> bool:
    return len(key) < MINIMUM_SECRET_LENGTH or len(set(key)) < 10


def _generated() -> dict[str, Any]:
    """Return the secrets kept under `var/`, made on the first start; two starters agree."""
    path = VAR_DIR / "secrets.json"
    if not path.exists():
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        made = {"secret_key": secrets.token_urlsafe(50), "fernet_keys": [secrets.token_urlsafe(43)]}
        draft = path.with_name(f"secrets.{os.getpid()}.tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(made, file)
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded

"""H05 · A stop while PostgreSQL is down: orders are cancelled, and the stop follows."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from controlplane.kernel.errors import Denied
from controlplane.sentinel import Sentinel
from hedging.emergency import spool
from hedging.emergency.offline import orders_cancel
from hedging.models import EmergencyStop
from tests.faults.conftest import Stage
from tests.faults.stopping import drive, states, system_hedge

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "VAR_DIR", tmp_path)
    return tmp_path


def stop_without_database(var: Path, **options: str) -> tuple[int, dict[str, Any], str]:
    """Run the command in a process of its own whose database is nowhere."""
    given = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [sys.executable, "manage.py", "emergency_stop", *given, "--json"],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "controlplane.settings",
            "DATABASE_URL": "postgres://nobody:nothing@127.0.0.1:9/none",
            "CONTROLPLANE_VAR": str(var),
            "FERNET_KEYS": ",".join(settings.FERNET_KEYS),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    told = json.loads(done.stdout) if done.stdout.strip() else {}
    return done.returncode, told, done.stderr


def test_h05_orders_are_cancelled_and_the_stop_is_engaged_afterwards(
    stage: Stage, var: Path
) -> None:
    system_hedge()
    assert stage.submit(stage.rest()) == ("submitted", "acknowledged")
    assert spool.routes_write() == 1
    code, told, said = stop_without_database(var, scope="all", reason="fire")
    assert (code, told) == (1, {"database": False, "accounts": {"alpha": ""}}), said
    assert "database does not answer" in said
    assert not stage.paper.server.core.engine.accounts["alpha"].open_orders

    Sentinel().round()  # the database is back
    stop = EmergencyStop.objects.get()
    assert (stop.scope, stop.reason, stop.flatten) == ("all", "fire", True)
    assert drive(stop)
    assert states(stop) == {"alpha": ("latched", True)}
    assert spool.asked_read() is None


@pytest.mark.parametrize(
    ("scope", "target", "code"),
    [
        ("world", "", "UNKNOWN_SCOPE"),
        ("module", "hedger", "UNKNOWN_SCOPE"),
        ("account", "nobody", "UNKNOWN_TARGET"),
        ("all", "alpha", "TARGET_NOT_EXPECTED"),
    ],
)
def test_h05_a_wrong_scope_is_refused(
    stage: Stage, var: Path, scope: str, target: str, code: str
) -> None:
    spool.routes_write()
    asked = spool.AskedStop(scope, target, "fire", flatten=True, drill=False)
    with pytest.raises(Denied, match=code):
        orders_cancel(asked)
    assert spool.asked_read() is None
    assert stage.requests("DELETE", "allOpenOrders") == 0


def test_h05_a_stop_without_a_reason_is_wrong_usage(stage: Stage, var: Path) -> None:
    spool.routes_write()
    code, told, said = stop_without_database(var, scope="all")
    assert (code, told) == (2, {})
    assert "REASON_REQUIRED" in said
    assert spool.asked_read() is None


def test_h05_without_routes_it_says_so(var: Path) -> None:
    code, _told, said = stop_without_database(var, scope="all", reason="fire")
    assert code == 1
    assert "emergency.routes" in said


def test_the_routes_on_disk_are_encrypted_and_for_their_owner_alone(
    stage: Stage, var: Path
) -> None:
    spool.routes_write()
    path = var / spool.ROUTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert b"secret-alpha" not in content
    assert b"alpha" not in content
    (kept,) = spool.routes_read()
    assert kept.route.credentials.api_secret.reveal() == "secret-alpha"
    assert "secret-alpha" not in repr(kept)
    path.write_bytes(content[:-4] + b"AAAA")
    with pytest.raises(spool.SpoolUnusable):
        spool.routes_read()

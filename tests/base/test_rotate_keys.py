"""Credentials move to a new key without a gap, and nothing else moves."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import InvalidToken
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import ExchangeAccount
from controlplane.base import rotation
from controlplane.kernel.secrets import Secret
from monitoring.models import AlertRoute, MonitoringEvent
from tests import factories

ROOT = Path(__file__).resolve().parent.parent.parent
OLD, NEW = "old-" + "k3yK4y" * 9, "new-" + "9zQw8x" * 9
UseKeys = Callable[..., None]


def forget_keys() -> None:
    for _model, columns in rotation.secret_models():
        for column in columns:
            for name in ("keys", "fernet_keys", "fernet"):
                column.__dict__.pop(name, None)


@pytest.fixture
def use_keys(settings: Any) -> Iterator[UseKeys]:
    def use(*keys: str) -> None:
        settings.FERNET_KEYS = list(keys)
        forget_keys()

    yield use
    forget_keys()


def rotate() -> dict[str, Any]:
    output = io.StringIO()
    call_command("rotate_keys", "--json", stdout=output)
    result: dict[str, Any] = json.loads(output.getvalue())
    return result


def everything_but_secrets() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account_id, updated_at, secrets_fingerprint FROM accounts_exchangeaccount"
        )
        accounts = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM accounts_exchangeaccountevent")
        return [*accounts, cursor.fetchone()]


@pytest.mark.django_db
class TestRotation:
    def test_old_rows_open_with_the_new_key_alone_afterwards(self, use_keys: UseKeys) -> None:
        use_keys(OLD)
        account = factories.account(api_secret="held-by-the-old-key")
        AlertRoute.objects.create(route_id="pager", name="Pager", target="json://nowhere/token")
        before = everything_but_secrets()
        use_keys(NEW, OLD)
        assert ExchangeAccount.objects.get().api_secret == Secret("held-by-the-old-key")

        assert rotate() == {"keys": 2, "values": 6, "rotated": 6, "unreadable": []}

        use_keys(NEW)
        assert ExchangeAccount.objects.get().api_secret == Secret("held-by-the-old-key")
        assert AlertRoute.objects.get().target == Secret("json://nowhere/token")
        assert everything_but_secrets() == before
        assert MonitoringEvent.objects.get(type="config").payload == {"unreadable": []}
        use_keys(OLD)
        with pytest.raises(InvalidToken):
            ExchangeAccount.objects.get(pk=account.pk)

    def test_second_run_finds_nothing_to_do(self, use_keys: UseKeys) -> None:
        use_keys(OLD)
        factories.account()
        use_keys(NEW, OLD)
        rotate()
        assert rotate()["rotated"] == 0

    def test_interrupted_run_goes_on_where_it_stopped(
        self, use_keys: UseKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use_keys(OLD)
        for _ in range(3):
            factories.account()
        use_keys(NEW, OLD)
        monkeypatch.setattr(rotation, "BATCH", 1)

        def stop(done: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            rotation.rotate(on_batch=stop)
        assert rotate()["rotated"] == 10

    def test_rows_no_key_opens_are_named_and_kept(self, use_keys: UseKeys) -> None:
        use_keys(OLD)
        lost = factories.account(account_id="lost")
        use_keys(NEW)
        kept = factories.account(account_id="kept")
        with pytest.raises(CommandError, match=r"accounts.ExchangeAccount lost api_key"):
            rotate()
        assert ExchangeAccount.objects.get(pk=kept.pk).api_key == kept.api_key
        use_keys(OLD)
        assert ExchangeAccount.objects.get(pk=lost.pk).api_key == lost.api_key


@pytest.mark.parametrize(
    ("keys", "secret_key", "message"),
    [
        ("", "s3cr3t-K3y-ABCDEF" * 4, "FERNET_KEYS must list"),
        ("short", "s3cr3t-K3y-ABCDEF" * 4, "FERNET_KEYS must list"),
        (NEW, "", "SECRET_KEY must be set"),
        (NEW, "a" * 60, "SECRET_KEY must be set"),
    ],
)
def test_production_refuses_to_start_with_missing_or_weak_keys(
    keys: str, secret_key: str, message: str, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "CONTROLPLANE_ENV": "production",
        "CONTROLPLANE_VAR": str(tmp_path),
        "FERNET_KEYS": keys,
        "SECRET_KEY": secret_key,
    }
    result = subprocess.run(
        [sys.executable, "manage.py", "rotate_keys"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=False,
    )
    assert result.returncode == 1
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []

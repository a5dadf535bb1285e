"""`sync_accounts` from a person's side."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AccountSyncJob
from accounts.observations import Observation
from tests.accounts.paper import Paper


def test_command_syncs_all_and_tells_of_each(live_paper: Paper, seen: list[Observation]) -> None:
    live_paper.account("alpha")
    live_paper.account("beta", api_key="nobody", api_secret="knows")
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("sync_accounts", "--json", stdout=out)
    assert ended.value.code == 1
    told = {row["accountId"]: row for row in json.loads(out.getvalue())["accounts"]}
    assert told["alpha"]["status"] == "success"
    assert (told["alpha"]["positions"], told["alpha"]["openOrders"]) == (2, 0)
    assert told["beta"]["status"] == "failed"
    assert told["beta"]["positions"] is None
    assert "authentication_failed" in told["beta"]["error"]


def test_command_shows_a_table_and_ends_well(live_paper: Paper, seen: list[Observation]) -> None:
    live_paper.account("alpha")
    out = io.StringIO()
    call_command("sync_accounts", "alpha", stdout=out)
    assert out.getvalue().splitlines()[1].split()[:2] == ["alpha", "success"]


@pytest.mark.django_db
def test_unknown_account_is_wrong_usage_and_nothing_is_synced() -> None:
    with pytest.raises(CommandError, match="nobody") as refused:
        call_command("sync_accounts", "nobody")
    assert refused.value.returncode == 2
    assert not AccountSyncJob.objects.exists()
